#' Shells for one service alone
#'
#' A service with a dedicated pool has R or Python processes of its own, started ahead and with everything loaded; it never
#' uses those that the other services share. `configureServicePool()` makes or changes the pool, `getPoolStatus()` tells
#' whether it is ready, `deleteServicePool()` gives it up.
#'
#' @param name,version The service.
#' @param initialPoolSize How many processes to start at once.
#' @param maxPoolSize How many there may be.
#' @return `configureServicePool()` and `deleteServicePool()`: the status of HTTP, 200, invisibly. `getPoolStatus()`: a data
#'   frame with a row per node and the columns `ComputeNodeEndpoint` and `Status`: `"Success"`, `"Pending"` or `"NotFound"`.
#' @examples
#' \dontrun{
#' configureServicePool("transmission", "1.0.0", initialPoolSize = 2, maxPoolSize = 4)
#' getPoolStatus("transmission", "1.0.0")
#' deleteServicePool("transmission", "1.0.0")
#' }
#' @export
configureServicePool <- function(name, version, initialPoolSize = 0, maxPoolSize = 0) {
  sizes <- list(InitialPoolSize = pool_size(initialPoolSize, "initialPoolSize"),
                MaxPoolSize = pool_size(maxPoolSize, "maxPoolSize"))
  pool_send("POST", name, version, json_body(json_object(sizes)))
}

#' @rdname configureServicePool
#' @export
getPoolStatus <- function(name, version) {
  path <- url_path("services", name, version, "pool")
  found <- content_of(send(current_connection(), "GET", path, classes = unknown_service, advice = see_list))
  field <- function(key) vapply(found, function(each) each[[key]] %||% NA_character_, "")
  data.frame(ComputeNodeEndpoint = field("ComputeNodeEndpoint"), Status = field("Status"), stringsAsFactors = FALSE)
}

#' @rdname configureServicePool
#' @export
deleteServicePool <- function(name, version) pool_send("DELETE", name, version)

pool_send <- function(method, name, version, body = NULL) {
  path <- url_path("services", name, version, "pool")
  response <- send(current_connection(), method, path, body, classes = unknown_service, advice = see_list)
  invisible(response$status)
}

pool_size <- function(size, argument) {
  if (!is.numeric(size) || length(size) != 1L || is.na(size) || size < 0 || size != trunc(size)) {
    bad_input(argument, " must be a whole number from 0 on.")
  }
  sprintf("%.0f", size)
}
