#' Log in to a server, and out
#'
#' @description
#' `remoteLogin()` asks a server for a token, which all other functions then use; it is renewed by itself before it
#' expires. Unless told otherwise it also opens a remote R session, shows how the R there differs from the R here, and
#' puts you at the prompt `REMOTE>`, where what you type runs on the server (see [remoteCommandLine()]).
#'
#' `remoteLogout()` closes the remote session, if there is one, and makes the tokens invalid.
#'
#' There is one current login. Another `remoteLogin()` takes its place and closes its remote session; service objects that
#' came from the former go on with the login they came from.
#'
#' @param deployr_endpoint Address of the server with its port, such as `"http://localhost:12800"`.
#' @param session Whether to open a remote R session.
#' @param diff Whether to show how the remote session differs from this one ([diffLocalRemote()]). Only with a session.
#' @param commandline Whether to go to the remote command line. Only with a session, and where R is interactive.
#' @param prompt What to show there.
#' @param username,password Who you are. Where R is interactive you are asked for what is `NULL`.
#' @return `TRUE`, invisibly.
#' @seealso [remoteLoginAAD()] for tokens of an OpenID Connect issuer; [gristmill-conditions] for what can go wrong.
#' @examples
#' \dontrun{
#' remoteLogin("http://localhost:12800", username = "admin", password = "...", session = FALSE)
#' listServices()
#' remoteLogout()
#' }
#' @export
remoteLogin <- function(deployr_endpoint, session = TRUE, diff = TRUE, commandline = TRUE, prompt = "REMOTE> ",
                        username = NULL, password = NULL) {
  endpoint <- checked_endpoint(deployr_endpoint)
  username <- username %||% ask("Username: ")
  password <- password %||% ask_secret("Password: ")
  connection <- new_connection(endpoint, username, log_in(endpoint, username, password))
  begin(connection, session, diff, commandline, prompt)
}

#' @rdname remoteLogin
#' @export
remoteLogout <- function() {
  connection <- current_connection()
  end(connection)
  the$connection <- NULL
  invisible(TRUE)
}

checked_endpoint <- function(endpoint) {
  if (!is_string(endpoint) || !grepl("^https?://[^/ ]+/*$", endpoint)) {
    bad_input("deployr_endpoint must be the address of a server, such as \"http://localhost:12800\".")
  }
  sub("/+$", "", endpoint)
}

is_string <- function(x) is.character(x) && length(x) == 1L && !is.na(x)

ask <- function(prompt) {
  if (!interactive()) bad_input("username and password are needed here: R is not interactive, so it cannot ask for them.")
  readline(prompt)
}

ask_secret <- function(prompt) {
  if (!interactive()) return(ask(prompt))
  if (requireNamespace("askpass", quietly = TRUE)) return(askpass::askpass(prompt) %||% bad_input("no password was given."))
  hidden <- .Platform$OS.type == "unix" && isatty(stdin()) && system("stty -echo", ignore.stderr = TRUE) == 0L
  if (hidden) on.exit({ system("stty echo"); cat("\n") })
  readline(prompt)
}

log_in <- function(endpoint, username, password) {
  body <- json_body(json_object(list(username = json_any(username), password = json_any(password))))
  attempt <- function() exchange("POST", paste0(endpoint, "/login"), body)
  response <- persistently(attempt, repeatable = TRUE, known = FALSE)
  if (response$status == 401L) {
    abort(
      "gristmill_wrong_password", paste0(endpoint, " refused the name and password of ", username, "."),
      "Check both, and that this is the server you mean; then call remoteLogin() again.", status = 401L
    )
  }
  tokens_of(endpoint, content_of(check_response(response, NULL)))
}

tokens_of <- function(endpoint, answer) {
  new_tokens(
    answer$access_token, as.numeric(answer$expires_in %||% 3600), refresh = answer$refresh_token,
    renew = function(tokens) {
      body <- json_body(json_object(list(refreshToken = json_any(tokens$refresh))))
      # Good for one use: a second could pass for a thief's, and revoke all.
      attempt <- function() exchange("POST", paste0(endpoint, "/login/refreshToken"), body, fresh = TRUE)
      response <- tryCatch(persistently(attempt, repeatable = FALSE, known = TRUE), gristmill_unreachable = function(problem) {
        problem$broken <- FALSE
        stop(problem)
      })
      tokens_of(endpoint, content_of(check_response(response, NULL)))
    },
    revoke = function(tokens) {
      query <- query_string(list(refreshToken = tokens$refresh))
      exchange("DELETE", paste0(endpoint, "/login/refreshToken?", query))
    }
  )
}

# Make a login the current one, and open what was asked for.
begin <- function(connection, session, diff, commandline, prompt) {
  former <- the$connection
  the$connection <- connection
  if (!is.null(former)) try_quietly(close_session(former))
  if (!session) return(invisible(TRUE))
  open_session(connection)
  if (diff) print(diffLocalRemote())
  if (commandline && interactive()) remoteCommandLine(prompt)
  invisible(TRUE)
}

end <- function(connection) {
  try_quietly(close_session(connection))
  if (!is.null(connection$tokens$revoke)) try_quietly(connection$tokens$revoke(connection$tokens))
  connection$tokens <- new_tokens("", 0)
}

# For cleaning up: what it was about is over, whether or not this works.
try_quietly <- function(expression) tryCatch(expression, gristmill_error = function(condition) NULL)
