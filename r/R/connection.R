# A login at one server: where it is, the tokens, and the remote session if there is one. An environment, because tokens
# are renewed in place; services keep the one that they came from.

the <- new.env(parent = emptyenv())
the$connection <- NULL

new_connection <- function(endpoint, user, tokens) {
  connection <- new.env(parent = emptyenv())
  connection$endpoint <- endpoint
  connection$user <- user
  connection$tokens <- tokens
  connection$session <- NULL
  connection$handle <- curl::new_handle()
  class(connection) <- "gristmill_connection"
  connection
}

#' @export
print.gristmill_connection <- function(x, ...) {
  cat("<Gristmill login> ", x$user, " at ", x$endpoint, if (!is.null(x$session)) ", with a remote session", "\n", sep = "")
  invisible(x)
}

# The current login. Raises gristmill_not_logged_in.
current_connection <- function() {
  if (is.null(the$connection)) {
    abort("gristmill_not_logged_in", "you are not logged in.",
          "Log in first: remoteLogin(\"http://host:12800\", session = FALSE)")
  }
  the$connection
}

# Tokens: list(access, expires (local clock, seconds since 1970), renew (tokens → tokens, or NULL), revoke (or NULL)).
new_tokens <- function(access, lifetime, ..., renew = NULL, revoke = NULL) {
  list(access = access, lifetime = lifetime, expires = seconds_now() + lifetime, ..., renew = renew, revoke = revoke)
}

seconds_now <- function() as.numeric(Sys.time())

# Renewed a little ahead of time, so that no request is refused for it.
access_token <- function(connection) {
  tokens <- connection$tokens
  margin <- min(60, tokens$lifetime / 10)
  if (seconds_now() > tokens$expires - margin && !is.null(tokens$renew)) renew_tokens(connection)
  connection$tokens$access
}

renew_tokens <- function(connection) {
  connection$tokens <- tryCatch(
    connection$tokens$renew(connection$tokens),
    gristmill_not_authenticated = function(problem) token_expired(connection),
    gristmill_bad_input = function(problem) token_expired(connection)
  )
}

token_expired <- function(connection) {
  abort(
    "gristmill_token_expired",
    paste0("the login of ", connection$user, " at ", connection$endpoint, " has expired or was revoked."),
    "Log in again with remoteLogin(); after that, getService() gives service objects that use the new login.",
    status = 401L
  )
}

# Send one request with the connection's token; a response as `exchange` gives it, if the server did not refuse. A token
# that is refused is renewed once; what may be sent again is. `classes` and `advice` refine what is raised: by the class it
# would have, another class before it, and what to do.
send <- function(connection, method, path, body = NULL, query = list(), to = NULL, classes = NULL, advice = NULL,
                 repeatable = method %in% c("GET", "HEAD")) {
  url <- paste0(connection$endpoint, path)
  if (length(query)) url <- paste0(url, "?", query_string(query))
  attempt <- function() send_authorized(connection, method, url, body, to, fresh = !repeatable)
  check_response(persistently(attempt, repeatable, known = TRUE), connection, classes, advice)
}

send_authorized <- function(connection, method, url, body, to, fresh) {
  token <- access_token(connection)
  response <- exchange(method, url, body, bearer(token), to, connection$handle, fresh)
  if (response$status != 401L || is.null(connection$tokens$renew)) return(response)
  if (identical(token, connection$tokens$access)) renew_tokens(connection)
  exchange(method, url, body, bearer(connection$tokens$access), to, connection$handle, fresh)
}

bearer <- function(token) list(Authorization = paste("Bearer", token))

check_response <- function(response, connection, classes = NULL, advice = NULL) {
  if (response$status < 300L) return(response)
  problem <- problem_of(response)
  # What was to be a download is an error's text.
  if (is.character(response$content)) unlink(response$content)
  if (is.null(problem)) not_gristmill(response)
  if (response$status == 401L && !is.null(connection)) token_expired(connection)
  class <- class_of_problem(response$status, problem$exceptionType)
  abort(
    unname(c(classes[class][!is.na(classes[class])], class)), problem$message,
    unname(if (is.na(advice[class] %||% NA)) advice_by_class[class] else advice[class]),
    status = response$status, exception = problem$exceptionType, request_id = headers_of(response)[["x-request-id"]]
  )
}

# The server's {"message", "link", "exceptionType"}, or NULL where it is none.
problem_of <- function(response) {
  content <- response$content
  if (is.character(content)) content <- readBin(content, "raw", 1e5)
  problem <- tryCatch(parse_json(content), error = function(condition) NULL)
  if (is.list(problem) && is.character(problem$message)) problem else NULL
}

not_gristmill <- function(response) {
  abort(
    "gristmill_protocol_error",
    paste0(sub("^(https?://[^/]+).*", "\\1", response$url), " answered, but not as a Gristmill server does (status ",
           response$status, ")."),
    "Check the address: it is that of the server itself, such as http://host:12800, without a path."
  )
}

# The JSON of a response.
content_of <- function(response) {
  force(response)
  tryCatch(parse_json(response$content), error = function(condition) not_gristmill(response))
}
