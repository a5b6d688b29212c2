#' Objects of the remote session
#'
#' Copy objects from the workspace here to that of the remote session, and back. They keep everything that R's own
#' serialization keeps.
#'
#' @param obj Names of objects. `putLocalObject()` looks for them where it is called from.
#' @param name `NULL`; or the name of a list, made if necessary, in which the objects are put on the other side.
#' @return `getRemoteObject()` and `getRemoteWorkspace()`: the objects as a list by name, invisibly; they are assigned in the
#'   global environment too. The others: `TRUE`, invisibly.
#' @examples
#' \dontrun{
#' x <- rnorm(100)
#' putLocalObject("x")
#' remoteExecute("model <- lm(rev(x) ~ x)")
#' getRemoteObject("model")
#' }
#' @export
putLocalObject <- function(obj, name = NULL) {
  frame <- parent.frame()
  absent <- obj[!vapply(obj, exists, NA, envir = frame)]
  if (length(absent)) bad_input("there is no object ", paste0("'", absent, "'", collapse = ", "), " here.")
  put_objects(mget(obj, envir = frame, inherits = TRUE), name)
}

#' @rdname putLocalObject
#' @export
putLocalWorkspace <- function() {
  put_objects(mget(ls(globalenv()), envir = globalenv()), NULL)
}

put_objects <- function(objects, list_name) {
  connection <- session_connection()
  if (!is.null(list_name)) {
    put_object(connection, connection$session, ".gristmill", objects)
    return(invisible(run_quietly(connection, paste0(
      "if (!exists(", deparse(list_name), ", inherits = FALSE)) ", r_name(list_name), " <- list()\n",
      r_name(list_name), "[names(.gristmill)] <- .gristmill\nrm(.gristmill)"
    ))))
  }
  for (each in names(objects)) put_object(connection, connection$session, each, objects[[each]])
  invisible(TRUE)
}

#' @rdname putLocalObject
#' @export
getRemoteObject <- function(obj, name = NULL) {
  objects <- lapply(stats::setNames(obj, obj), get_object)
  give_objects(objects, name)
}

#' @rdname putLocalObject
#' @export
getRemoteWorkspace <- function() {
  names <- as.character(unlist(content_of(session_send("GET", "workspace"))))
  getRemoteObject(names)
}

# One object of the session.
get_object <- function(name) {
  path <- tempfile("gristmill-")
  on.exit(unlink(path))
  session_send("GET", "workspace", name, to = path)
  read_object(path, name)
}

# What save() or saveRDS() wrote.
read_object <- function(path, name) {
  found <- new.env()
  loaded <- tryCatch(suppressWarnings(load(path, envir = found)), error = function(problem) NULL)
  if (is.null(loaded)) return(readRDS(path))
  found[[if (name %in% loaded) name else loaded[1L]]]
}

# Into the global environment of this R, or into a list there.
give_objects <- function(objects, list_name) {
  here <- globalenv()
  if (!is.null(list_name)) {
    kept <- if (exists(list_name, envir = here, inherits = FALSE)) as.list(here[[list_name]]) else list()
    kept[names(objects)] <- objects
    here[[list_name]] <- kept
  } else {
    list2env(objects, here)
  }
  invisible(objects)
}
