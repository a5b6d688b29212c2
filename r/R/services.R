#' Find services
#'
#' `listServices()` tells what is published, `getService()` gives an object that calls one of them, and
#' `deleteService()` removes one version.
#'
#' @param name Name of the service. `listServices()` without it lists all.
#' @param v The version; for `getService()` the newest if it is not given.
#' @param destination A directory, into which an R file is written that calls the service without this package.
#' @return `listServices()`: a list of class `serviceDetails` with one record per version, oldest first; its fields are
#'   those of the protocol (`name`, `version`, `description`, `inputParameterDefinitions` ...). `getService()`: see
#'   [service-object]. `deleteService()`: a message.
#' @seealso [publishService()], [print.serviceDetails()]
#' @examples
#' \dontrun{
#' listServices("transmission")
#' api <- getService("transmission", "1.0.0")
#' deleteService("transmission", "1.0.0")
#' }
#' @export
listServices <- function(name = character(0), v = character(0)) {
  connection <- current_connection()
  if (length(v) && !length(name)) bad_input("a version alone names nothing: give the name too.")
  path <- do.call(url_path, c(list("services"), as.list(name), as.list(v)))
  found <- content_of(send(connection, "GET", path, classes = unknown_service))
  structure(lapply(found, service_record), class = "serviceDetails")
}

#' @rdname listServices
#' @export
getService <- function(name, v = character(0), destination = NULL) {
  connection <- current_connection()
  check_name(name, "name")
  service <- new_service(connection, one_service(connection, name, v))
  if (!is.null(destination)) write_client(service, destination)
  service
}

#' @rdname listServices
#' @export
deleteService <- function(name, v) {
  check_name(name, "name")
  check_name(v, "v")
  send(current_connection(), "DELETE", url_path("services", name, v), classes = unknown_service, advice = see_list)
  paste0("Service ", name, " version ", v, " deleted.")
}

unknown_service <- c(gristmill_not_found = "gristmill_unknown_service")
see_list <- c(gristmill_not_found = "listServices() shows what there is.")

# The record of a version, of the newest one if none is given. Raises gristmill_unknown_service.
one_service <- function(connection, name, v) {
  path <- do.call(url_path, c(list("services", name), as.list(v)))
  found <- content_of(send(connection, "GET", path, classes = unknown_service, advice = see_list))
  if (!length(found)) {
    abort(c("gristmill_unknown_service", "gristmill_not_found"), paste0("there is no service '", name, "'."), see_list,
          status = 404L)
  }
  service_record(found[[length(found)]])
}

service_record <- function(sent) {
  sent$inputParameterDefinitions <- definitions_from(sent$inputParameterDefinitions)
  sent$outputParameterDefinitions <- definitions_from(sent$outputParameterDefinitions)
  sent$outputFileNames <- as.character(unlist(sent$outputFileNames))
  structure(sent, class = "serviceRecord")
}

#' Show services and snapshots
#'
#' Methods for what [listServices()] and [listSnapshots()] give.
#'
#' @param x,object The list.
#' @param description,code Whether to show each service's description, and its code.
#' @param ... Not used.
#' @return `print()`: the list, invisibly. `summary()`: a data frame with a row for each.
#' @export
print.serviceDetails <- function(x, description = TRUE, code = TRUE, ...) {
  if (!length(x)) cat("No services.\n")
  for (record in unclass(x)) {
    print(record, description = description, code = code)
    cat("\n")
  }
  invisible(x)
}

#' @export
print.serviceRecord <- function(x, description = TRUE, code = TRUE, ...) {
  cat("Service  ", x$name, " ", x$version, "\n", sep = "")
  cat("  runtime  ", x$runtimeType, ", published by ", x$versionPublishedBy, " at ", x$creationTime, "\n", sep = "")
  if (description && nzchar(x$description %||% "")) cat("  about    ", x$description, "\n", sep = "")
  cat("  call     ", x$operationId %||% "consume", "(", signature_of(x$inputParameterDefinitions), ")\n", sep = "")
  cat("  gives    ", signature_of(x$outputParameterDefinitions), "\n", sep = "")
  if (length(x$outputFileNames)) cat("  files    ", paste(x$outputFileNames, collapse = ", "), "\n", sep = "")
  if (code && nzchar(x$code %||% "")) {
    cat("  code\n", paste0("    ", strsplit(x$code, "\n", fixed = TRUE)[[1L]], "\n"), sep = "")
  }
  invisible(x)
}

#' @rdname print.serviceDetails
#' @export
summary.serviceDetails <- function(object, ...) {
  field <- function(name) vapply(unclass(object), function(record) as.character(record[[name]] %||% NA), "")
  data.frame(
    name = field("name"), version = field("version"), runtime = field("runtimeType"), by = field("versionPublishedBy"),
    created = field("creationTime"), description = field("description"), stringsAsFactors = FALSE
  )
}

#' @export
`[.serviceDetails` <- function(x, i) structure(unclass(x)[i], class = "serviceDetails")
