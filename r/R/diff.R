#' How the remote R differs from this one
#'
#' Compares the versions of R and of the installed packages: what is installed here and not there, and what is there in
#' another version.
#'
#' @return A list of class `localRemoteDiff`: `R`, a named vector of the two versions; `missing`, the packages that are here
#'   only, with their versions; `versions`, a data frame of those that differ.
#' @examples
#' \dontrun{
#' diffLocalRemote()
#' }
#' @export
diffLocalRemote <- function() {
  connection <- session_connection()
  remote <- run_quietly(connection, remote_packages, outputs = ".gristmill")[[1L]]
  try_quietly(session_send("DELETE", "workspace", ".gristmill", connection = connection))
  local <- utils::installed.packages()[, c("Package", "Version"), drop = FALSE]
  local <- local[!duplicated(local[, "Package"]), , drop = FALSE]
  both <- merge(
    data.frame(package = local[, "Package"], local = local[, "Version"], stringsAsFactors = FALSE),
    data.frame(package = remote$package, remote = remote$version, stringsAsFactors = FALSE), by = "package", all.x = TRUE
  )
  differing <- both[!is.na(both$remote) & both$local != both$remote, ]
  missing <- both[is.na(both$remote), ]
  rownames(differing) <- NULL
  structure(list(
    R = c(local = as.character(getRversion()), remote = remote$version[remote$package == "R"]),
    missing = stats::setNames(missing$local, missing$package), versions = differing
  ), class = "localRemoteDiff")
}

remote_packages <- paste(
  ".gristmill <- utils::installed.packages()[, c('Package', 'Version'), drop = FALSE]",
  ".gristmill <- .gristmill[!duplicated(.gristmill[, 'Package']), , drop = FALSE]",
  ".gristmill <- data.frame(package = c('R', .gristmill[, 'Package']),",
  "  version = c(as.character(getRversion()), .gristmill[, 'Version']))",
  sep = "\n"
)

#' @export
print.localRemoteDiff <- function(x, ...) {
  same <- identical(x$R[["local"]], x$R[["remote"]])
  cat("R here ", x$R[["local"]], ", there ", x$R[["remote"]], if (same) " (the same)", "\n", sep = "")
  if (length(x$missing)) {
    cat(length(x$missing), "packages that are only here:\n")
    cat(strwrap(paste(names(x$missing), collapse = ", "), indent = 2L, exdent = 2L), sep = "\n")
  }
  if (nrow(x$versions)) {
    cat(nrow(x$versions), "packages of differing versions:\n")
    print(x$versions, row.names = FALSE)
  }
  if (!length(x$missing) && !nrow(x$versions)) cat("All packages that are here are there too, in the same versions.\n")
  invisible(x)
}
