#' HTTP requests to a server
#'
#' For what the other functions do not cover: a small object that sends requests with the token of the current login.
#'
#' @param host Address of a server; `NULL` for that of the current login. The token goes to no other host.
#' @return An object (R6) with the methods `$get(path, query)`, `$post(path, body)`, `$put(path, body)`, `$patch(path, body)`
#'   and `$delete(path, query)`. `query` is a list; a `body` that is a list is sent as JSON, text as it is. Each gives a list
#'   of `status`, `headers` and `body`, which is parsed where it is JSON and raw where it is not. What the server refuses is a
#'   condition: see [gristmill-conditions].
#' @examples
#' \dontrun{
#' request()$get("/status")$body$statusCode
#' }
#' @export
request <- function(host = NULL) Request$new(host)

Request <- R6Class(
  "Request",
  cloneable = FALSE,
  public = list(
    initialize = function(host) private$host <- if (!is.null(host)) checked_endpoint(host),
    get = function(path, query = list()) private$send("GET", path, query = query),
    post = function(path, body = list()) private$send("POST", path, body),
    put = function(path, body = list()) private$send("PUT", path, body),
    patch = function(path, body = list()) private$send("PATCH", path, body),
    delete = function(path, query = list()) private$send("DELETE", path, query = query),
    print = function(...) {
      cat("<Request> to ", private$host %||% current_connection()$endpoint, "\n", sep = "")
      invisible(self)
    }
  ),
  private = list(
    host = NULL,
    send = function(method, path, body = NULL, query = list()) request_answer(private$host, method, path, body, query)
  )
)

request_answer <- function(host, method, path, body, query) {
  if (!is_string(path) || !startsWith(path, "/")) bad_input("path must begin with a slash, such as \"/services\".")
  if (!is.null(body)) body <- json_body(if (is_string(body)) body else if (length(body)) json_any(body) else "{}")
  connection <- the$connection
  if (is.null(host) || identical(host, connection$endpoint)) {
    response <- send(current_connection(), method, path, body, query)
  } else {
    url <- paste0(host, path, if (length(query)) paste0("?", query_string(query)))
    response <- check_response(exchange(method, url, body), NULL)
  }
  parsed <- if (grepl("json", headers_of(response)[["content-type"]] %||% "")) content_of(response) else response$content
  list(status = response$status, headers = headers_of(response), body = parsed)
}
