#' Conditions: what can go wrong, by class
#'
#' @description
#' Everything that this package signals is a condition of class `gristmill_error`, with a class of its own before it.
#' Its message says what happened and, on the lines below, what to do. Catch them with [tryCatch()]:
#'
#' ```r
#' tryCatch(
#'   getService("bos-rf", "9.9.9"),
#'   gristmill_unknown_service = function(e) listServices("bos-rf")
#' )
#' ```
#'
#' | class | when |
#' |---|---|
#' | `gristmill_not_logged_in` | no [remoteLogin()] came before |
#' | `gristmill_wrong_password` | the server refused the name and password |
#' | `gristmill_token_expired` | the login is over, and could not be renewed |
#' | `gristmill_unreachable` | nobody answers at the address; a server that you are logged in to was waited for |
#' | `gristmill_protocol_error` | something answers there that is not Gristmill |
#' | `gristmill_bad_input` | an argument, an input or a column is missing or of the wrong type |
#' | `gristmill_unknown_service` | there is no service of this name and version; also a `gristmill_not_found` |
#' | `gristmill_not_found` | no such file, object, snapshot, session or batch |
#' | `gristmill_conflict` | the name and version exist already; the session is busy |
#' | `gristmill_forbidden` | your role does not allow it |
#' | `gristmill_no_session` | a remote session is needed, and there is none |
#' | `gristmill_session_gone` | the remote session has ended, and its workspace with it |
#' | `gristmill_too_large`, `gristmill_too_many_attempts`, `gristmill_timed_out` | a limit of the server |
#' | `gristmill_overloaded` | the server is busy or shutting down; repeated a few times before you see it |
#' | `gristmill_shell_died` | the process that ran your code ended: it crashed, or went past a limit; also a `gristmill_code_error` where the code ended it |
#' | `gristmill_not_supported` | this server, or this version of it, does not do that |
#' | `gristmill_server_error` | a defect of the server |
#' | `gristmill_code_error` | the service's, or the session's, own code failed |
#' | `gristmill_missing_package` | the same, because an R package is not installed on the server |
#' | `gristmill_wrong_columns` | the same, because a column or an object is not there, or of another class than the model wants |
#'
#' Most are errors. Where scripts written for mrsdeploy expect a result that they ask for its success, the condition
#' is signalled as a warning, which the same classes catch, and the result is returned: a service call whose code
#' failed, [remoteExecute()] of code that failed, [getRemoteFile()] of a file that is not there.
#'
#' @section Sent again:
#' A server that is restarted, or replaced by its next version, costs time and no error: requests whose connection was
#' refused, and those that the server refused before it began, are sent again, 4 times, and to a server that you are
#' logged in to for 60 seconds. Where a connection breaks under way, nobody knows whether the server has done what it was
#' asked. What changes nothing is then sent again, up to 4 times: reads, logins, and calls of services, which may so run
#' twice; publishing, updating and deleting is not. `options(gristmill.retries = , gristmill.patience = )` set other
#' numbers of times and seconds; with 0 retries nothing is sent again.
#'
#' Besides `message` a condition has the fields `status` (of HTTP, or `NULL`), `exception` (the server's name for it)
#' and `request_id` (to find it in the server's log).
#'
#' @name gristmill-conditions
#' @aliases gristmill_error
#' @keywords internal
NULL

# Build a condition. `class` is without the tail that all share; `...` are fields; `advice` goes on lines of its own.
gristmill_condition <- function(class, message, advice = NULL, ..., severity = "error") {
  lines <- c(message, advice[!is.na(advice) & nzchar(advice)])
  structure(
    class = c(class, "gristmill_error", severity, "condition"),
    list(message = paste(lines, collapse = "\n"), call = NULL, ...)
  )
}

abort <- function(class, message, advice = NULL, ...) stop(gristmill_condition(class, message, advice, ...))

# Signal as a warning: for what mrsdeploy told by the value it returned.
warn <- function(class, message, advice = NULL, ...) {
  warning(gristmill_condition(class, message, advice, ..., severity = "warning"))
}

# The same condition, no longer an error.
soften <- function(condition) {
  class(condition) <- sub("^error$", "warning", class(condition))
  warning(condition)
}

bad_input <- function(...) abort("gristmill_bad_input", paste0(...))

# The server's `exceptionType` → class. What is not here goes by its status.
classes_by_exception <- c(
  RuntimeUnavailable = "gristmill_not_supported",
  ShellDied = "gristmill_shell_died",
  CallEndedShell = "gristmill_shell_died",
  LimitExceeded = "gristmill_shell_died",
  TooManyCalls = "gristmill_overloaded",
  TooManyRequests = "gristmill_overloaded"
)

classes_by_status <- c(
  "400" = "gristmill_bad_input",
  "401" = "gristmill_not_authenticated",
  "403" = "gristmill_forbidden",
  "404" = "gristmill_not_found",
  "409" = "gristmill_conflict",
  "410" = "gristmill_session_gone",
  "413" = "gristmill_too_large",
  "422" = "gristmill_bad_input",
  "429" = "gristmill_too_many_attempts",
  "501" = "gristmill_not_supported",
  "503" = "gristmill_overloaded",
  "504" = "gristmill_timed_out",
  "507" = "gristmill_overloaded"
)

# What to do about each, unless the caller knows better.
advice_by_class <- c(
  gristmill_forbidden = "Ask an owner of the server, or log in as another user.",
  gristmill_session_gone = "Log in again for a new one; its workspace and files start empty, or from loadSnapshot().",
  gristmill_too_large = "Send less at a time, or ask the server's administrator to raise the limit.",
  gristmill_too_many_attempts = "Wait, then log in with the right password.",
  gristmill_overloaded = "Try again in a moment.",
  gristmill_shell_died = "Look at what the code does with memory, files and processes; then try again.",
  gristmill_timed_out = "Make the code faster, send less at a time, or ask for a longer limit.",
  gristmill_server_error = "Tell the server's administrator; the reference above is in its log."
)

class_of_problem <- function(status, exception) {
  found <- classes_by_exception[exception %||% ""]
  if (is.na(found)) found <- classes_by_status[as.character(status)]
  if (is.na(found)) found <- "gristmill_server_error"
  unname(found)
}

`%||%` <- function(x, y) if (is.null(x)) y else x
