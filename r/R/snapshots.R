#' Snapshots
#'
#' A snapshot is the workspace and the files of a session, kept on the server under an id; only you see yours. Load one into
#' the remote session, whose workspace and files it replaces, or name it in [publishService()].
#'
#' @param name A name for the snapshot; may be left out.
#' @param snapshot_id The id, or an element of what `listSnapshots()` gives.
#' @param file Where to write the zip; `NULL` for its bytes.
#' @return `createSnapshot()`: the id. `listSnapshots()`: a list of class `snapshotDetails` with a record for each (`id`,
#'   `name`, `owner`, `creationTime`, `contentSize`), oldest first; [as.character()] gives the ids. `downloadSnapshot()`: raw
#'   bytes, or `TRUE` with a file. The others: `TRUE`, invisibly.
#' @examples
#' \dontrun{
#' id <- createSnapshot("data and model")
#' loadSnapshot(id)
#' deleteSnapshot(id)
#' }
#' @export
createSnapshot <- function(name) {
  connection <- session_connection()
  take_snapshot(connection, connection$session, if (!missing(name)) name)
}

#' @rdname createSnapshot
#' @export
listSnapshots <- function() {
  found <- content_of(send(current_connection(), "GET", "/snapshots"))
  structure(lapply(found, structure, class = "snapshotRecord"), class = "snapshotDetails")
}

#' @rdname createSnapshot
#' @export
loadSnapshot <- function(snapshot_id) {
  session_send("POST", "loadsnapshot", snapshot_id_of(snapshot_id))
  invisible(TRUE)
}

#' @rdname createSnapshot
#' @export
downloadSnapshot <- function(snapshot_id, file = NULL) {
  path <- url_path("snapshots", snapshot_id_of(snapshot_id))
  response <- send(current_connection(), "GET", path, to = if (!is.null(file)) path.expand(file))
  if (is.null(file)) response$content else invisible(TRUE)
}

#' @rdname createSnapshot
#' @export
deleteSnapshot <- function(snapshot_id) {
  send(current_connection(), "DELETE", url_path("snapshots", snapshot_id_of(snapshot_id)))
  invisible(TRUE)
}

#' @rdname print.serviceDetails
#' @export
print.snapshotDetails <- function(x, ...) {
  if (length(x)) print(summary(x)) else cat("No snapshots.\n")
  invisible(x)
}

#' @export
print.snapshotRecord <- function(x, ...) {
  cat("Snapshot ", x$id, " '", x$name, "' of ", x$owner, ", ", x$creationTime, ", ", x$contentSize, " bytes\n", sep = "")
  invisible(x)
}

#' @rdname print.serviceDetails
#' @export
summary.snapshotDetails <- function(object, ...) {
  field <- function(name) vapply(unclass(object), function(record) as.character(record[[name]] %||% NA), "")
  data.frame(
    id = field("id"), name = field("name"), owner = field("owner"), created = field("creationTime"),
    bytes = as.numeric(field("contentSize")), stringsAsFactors = FALSE
  )
}

#' @export
as.character.snapshotDetails <- function(x, ...) vapply(unclass(x), function(record) record$id, "")

#' @export
`[.snapshotDetails` <- function(x, i) structure(unclass(x)[i], class = "snapshotDetails")
