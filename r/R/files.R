#' Files of the remote session
#'
#' Files in the working directory of the remote session: list them, send one there, read one, delete one.
#'
#' @param filename `putLocalFile()`: path of a file here; it keeps its base name. Otherwise the name of a file there.
#' @param as `"text"`, or `"raw"` for bytes.
#' @return `listRemoteFiles()`: their names. `getRemoteFile()`: the content; `NULL` with a warning of class
#'   `gristmill_not_found` where there is no such file. The others: `TRUE`, invisibly.
#' @examples
#' \dontrun{
#' putLocalFile("survey.csv")
#' remoteExecute("survey <- read.csv('survey.csv')")
#' writeBin(getRemoteFile("Rplot001.png", as = "raw"), "plot.png")
#' }
#' @export
listRemoteFiles <- function() as.character(unlist(content_of(session_send("GET", "files"))))

#' @rdname listRemoteFiles
#' @export
putLocalFile <- function(filename) {
  if (!is_string(filename) || !file.exists(filename) || dir.exists(filename)) {
    bad_input("there is no file ", paste(filename, collapse = " "), " in ", getwd(), ".")
  }
  part <- curl::form_file(path.expand(filename), "application/octet-stream")
  session_send("POST", "files", body = form_body(file = part))
  invisible(TRUE)
}

#' @rdname listRemoteFiles
#' @export
getRemoteFile <- function(filename, as = "text") {
  as <- match.arg(as, c("text", "raw"))
  tryCatch({
    bytes <- session_send("GET", "files", filename)$content
    if (as == "raw") bytes else utf8_text(bytes)
  }, gristmill_not_found = function(condition) {
    soften(condition)
    NULL
  })
}

#' @rdname listRemoteFiles
#' @export
deleteRemoteFile <- function(filename) {
  session_send("DELETE", "files", filename)
  invisible(TRUE)
}
