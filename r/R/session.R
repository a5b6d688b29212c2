# The remote session of a login.

open_session <- function(connection, snapshot = NULL) {
  connection$session <- create_session(connection, snapshot, "gristmill-r")
  # What is left open when R ends is closed with it.
  reg.finalizer(connection, function(connection) try_quietly(close_session(connection)), onexit = TRUE)
  message(
    "A remote R session is open at ", connection$endpoint, ". At its prompt:\n",
    "  pause()  leaves it waiting and comes back to this R; resume() goes on there\n",
    "  exit     closes it and logs out"
  )
}

create_session <- function(connection, snapshot = NULL, name = NULL) {
  fields <- list(runtimeType = "\"R\"")
  if (!is.null(name)) fields$name <- json_any(name)
  if (!is.null(snapshot)) fields$snapshotId <- json_any(snapshot)
  content_of(send(connection, "POST", "/sessions", json_body(json_object(fields))))$sessionId
}

close_session <- function(connection) {
  id <- connection$session
  connection$session <- NULL
  if (!is.null(id)) delete_session(connection, id)
}

delete_session <- function(connection, id) send(connection, "DELETE", paste0(url_path("sessions", id), "/force"))

# A request about the current session. A session that has ended, or was closed for being idle, is forgotten.
session_send <- function(method, ..., body = NULL, to = NULL, classes = NULL, connection = session_connection()) {
  path <- url_path("sessions", connection$session, ...)
  tryCatch(
    send(connection, method, path, body, to = to, classes = classes),
    gristmill_session_gone = function(condition) session_gone(connection, condition),
    gristmill_not_found = function(condition) {
      if (startsWith(conditionMessage(condition), "there is no session")) session_gone(connection, condition)
      stop(condition)
    }
  )
}

session_gone <- function(connection, condition) {
  # What is left of it on the server would count among the sessions that one may have.
  try_quietly(close_session(connection))
  class(condition) <- c("gristmill_session_gone", "gristmill_error", "error", "condition")
  if (is.null(condition$status) || condition$status == 404L) {
    condition$message <- paste0("the remote session was closed, perhaps because it was idle for long.\n",
                                advice_by_class[["gristmill_session_gone"]])
  }
  stop(condition)
}

# The current login, if it has a session. Raises gristmill_no_session.
session_connection <- function() {
  connection <- current_connection()
  if (is.null(connection$session)) {
    abort("gristmill_no_session", "there is no remote session.",
          "Log in with one: remoteLogin(\"http://host:12800\", session = TRUE)")
  }
  connection
}
