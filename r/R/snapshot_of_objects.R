# Objects travel in a session's workspace; a snapshot of the session is what a service is made of.

# Call `use` with the id of a snapshot that holds `objects` on top of what snapshot `base` holds; NULL if there is
# nothing. Session and snapshot are deleted after it: the service has its own copy.
with_snapshot <- function(connection, objects, base, use) {
  base <- snapshot_id_of(base)
  if (!length(objects)) return(use(base))
  session <- create_session(connection, base, "publishing")
  on.exit(try_quietly(delete_session(connection, session)), add = TRUE)
  for (name in names(objects)) put_object(connection, session, name, objects[[name]])
  snapshot <- take_snapshot(connection, session, "publishing")
  on.exit(try_quietly(send(connection, "DELETE", url_path("snapshots", snapshot))), add = TRUE)
  use(snapshot)
}

# Serialize to a file, so that a large object is in memory once, and send that.
put_object <- function(connection, session, name, object) {
  path <- tempfile("gristmill-", fileext = ".rds")
  on.exit(unlink(path))
  saveRDS(object, path, compress = isTRUE(the$options$compress))
  invisible(send(connection, "POST", url_path("sessions", session, "workspace", name), file_body(path)))
}

take_snapshot <- function(connection, session, name = NULL) {
  body <- json_body(json_object(if (is.null(name)) list() else list(name = json_any(name))))
  content_of(send(connection, "POST", url_path("sessions", session, "snapshot"), body))$snapshotId
}

# An id, from an id or from an element of listSnapshots().
snapshot_id_of <- function(snapshot) {
  if (is.list(snapshot)) snapshot <- if (is.null(snapshot$id)) snapshot[[1L]]$id else snapshot$id
  if (!is.null(snapshot) && !is_string(snapshot)) bad_input("a snapshot is given by its id; see listSnapshots().")
  snapshot
}
