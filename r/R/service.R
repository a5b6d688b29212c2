#' The object that calls a service
#'
#' @description
#' [publishService()], [updateService()] and [getService()] give an object of class `Service` (R6). It has a method of the
#' name that is the service's alias, whose arguments are the inputs:
#'
#' ```r
#' api <- getService("transmission", "1.0.0")
#' result <- api$manualTransmission(120, 2.8)
#' result$output("answer")
#' ```
#'
#' | method | |
#' |---|---|
#' | `$consume(...)`, and the alias | calls the service; the arguments are its inputs |
#' | `$capabilities()` | name, version, inputs, outputs and more, as a list |
#' | `$swagger(json = TRUE)` | the Swagger description: its text, or with `FALSE` a value whose parts can be taken by `$` |
#' | `$batch(records, parallelCount = 10)` | a batch of many inputs, not yet started: see [batch-object] |
#' | `$getBatchExecutions()` | ids of the service's batches |
#' | `$getBatch(id)` | one of them |
#' | `$print()` | shows all this |
#'
#' @section The result:
#' A call gives a `ServiceResult` (R6), with
#'
#' * `$output(name)`: the value of an output, converted as its type says: a `data.frame` with text in the place of factors,
#'   a vector, a matrix, a scalar. Where the code failed, it raises the failure.
#' * `$outputParameters`: all of them as a list by name, empty where the code failed.
#' * `$success`, `$errorMessage`: whether the code ran to its end, and R's own message and traceback if not.
#' * `$consoleOutput`, `$changedFiles`: what it printed and which files it wrote.
#' * `$artifact(name, decode = TRUE)`: a file of the service's `artifacts`, as raw bytes, or in base64; `$artifacts()`: their
#'   names.
#'
#' A call whose code failed signals a warning of class `gristmill_code_error`; what the server refuses (a wrong type, a missing
#' column, an unknown service) is an error. See [gristmill-conditions].
#'
#' @name service-object
#' @aliases Service ServiceResult
NULL

Service <- R6Class(
  "Service",
  cloneable = FALSE, lock_objects = FALSE,
  public = list(
    consume = NULL,
    initialize = function(connection, record) {
      private$connection <- connection
      private$record <- record
      self$consume <- caller_of(function(inputs) consume(connection, record, inputs), record$inputParameterDefinitions)
      alias <- record$operationId
      if (!is.null(alias) && !alias %in% names(self)) self[[alias]] <- self$consume
    },
    capabilities = function() capabilities_of(private$connection, private$record),
    swagger = function(json = TRUE) swagger_of(private$connection, private$record, json),
    batch = function(records, parallelCount = 10) {
      Batch$new(private$connection, private$record, records = records, parallelCount = parallelCount)
    },
    getBatchExecutions = function() batch_ids(private$connection, private$record),
    getBatch = function(id) Batch$new(private$connection, private$record, id = id),
    print = function(...) {
      print_service(private$connection, private$record)
      invisible(self)
    }
  ),
  private = list(connection = NULL, record = NULL)
)

new_service <- function(connection, record) Service$new(connection, record)

# A function whose arguments are the inputs, and which gives them to `call` as a list.
caller_of <- function(call, definitions) {
  names <- names_of(definitions)
  caller <- function() NULL
  formals(caller) <- stats::setNames(rep(list(quote(expr = )), length(names)), names)
  body(caller) <- quote(.call(environment()))
  environment(caller) <- list2env(
    list(.call = function(frame) call(given_inputs(frame, definitions))), parent = baseenv()
  )
  caller
}

given_inputs <- function(frame, definitions) {
  names <- names_of(definitions)
  missing <- vapply(names, function(name) eval(call("missing", as.name(name)), frame), NA)
  if (any(missing)) {
    bad_input("the call lacks ", paste0("'", names[missing], "'", collapse = " and "), "; the inputs are ",
              signature_of(definitions), ".")
  }
  mget(names, envir = frame)
}

service_path <- function(record, ...) url_path("api", record$name, record$version, ...)

consume <- function(connection, record, inputs) {
  body <- json_body(json_inputs(inputs, record$inputParameterDefinitions))
  response <- send(connection, "POST", service_path(record), body, classes = unknown_service, advice = see_list,
                   repeatable = TRUE)
  result <- result_of(parse_json(response$content), record, inputs)
  if (!result$success) {
    code_failed(label_of(record), result$errorMessage, context_of(inputs), severity = "warning")
  }
  result
}

label_of <- function(record) paste0("the code of service ", record$name, " ", record$version)

# Which columns came: what one wants to know of most failures.
context_of <- function(inputs) {
  frames <- inputs[vapply(inputs, is.data.frame, NA)]
  vapply(names(frames), function(name) {
    shown <- names(frames[[name]])
    if (length(shown) > 30L) shown <- c(shown[1:30], "...")
    paste0("It was given ", name, " with the columns ", paste(shown, collapse = ", "), ".")
  }, "")
}

capabilities_of <- function(connection, record) {
  structure(list(
    api = service_path(record), name = record$name, version = record$version,
    published_by = record$versionPublishedBy, creation_time = record$creationTime, runtime = record$runtimeType,
    description = record$description, snapshot_id = record$snapshotId,
    inputs = record$inputParameterDefinitions, outputs = record$outputParameterDefinitions,
    artifacts = record$outputFileNames, operation_id = record$operationId %||% "consume",
    swagger = paste0(connection$endpoint, service_path(record, "swagger.json"))
  ), class = "serviceCapabilities")
}

#' @export
print.serviceCapabilities <- function(x, ...) {
  shown <- unclass(x)
  shown$inputs <- signature_of(x$inputs)
  shown$outputs <- signature_of(x$outputs)
  shown <- shown[vapply(shown, function(each) length(each) > 0L && nzchar(each[1L]), NA)]
  cat(paste0(format(names(shown)), "  ", vapply(shown, paste, "", collapse = ", "), "\n"), sep = "")
  invisible(x)
}

print_service <- function(connection, record) {
  call <- record$operationId %||% "consume"
  cat("<Service> ", record$name, " ", record$version, " at ", connection$endpoint, "\n", sep = "")
  if (nzchar(record$description %||% "")) cat(record$description, "\n", sep = "")
  cat("  $", call, "(", signature_of(record$inputParameterDefinitions), ")\n", sep = "")
  cat("      gives ", signature_of(record$outputParameterDefinitions), "\n", sep = "")
  if (length(record$outputFileNames)) cat("      and files ", paste(record$outputFileNames, collapse = ", "), "\n", sep = "")
  cat("  $capabilities(), $swagger(), $batch(records), $getBatchExecutions(), $getBatch(id)\n")
}

# With `json` false the text knows its parts: cat() shows it, `$` and `[[` take them.
swagger_of <- function(connection, record, json) {
  text <- utf8_text(send(connection, "GET", service_path(record, "swagger.json"), classes = unknown_service)$content)
  pretty <- as.character(jsonlite::prettify(text, indent = 2L))
  if (isTRUE(json)) pretty else structure(pretty, class = "swagger")
}

#' @export
`$.swagger` <- function(x, name) parse_json(unclass(x))[[name]]

#' @export
`[[.swagger` <- function(x, i, ...) parse_json(unclass(x))[[i]]

#' @export
names.swagger <- function(x) names(parse_json(unclass(x)))

#' @export
as.list.swagger <- function(x, ...) parse_json(unclass(x))

#' @export
print.swagger <- function(x, ...) {
  cat(x, "\n", sep = "")
  invisible(x)
}
