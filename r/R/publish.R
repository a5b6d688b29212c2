#' Publish a service
#'
#' @description
#' Makes a web service of R code and, usually, a model. The server keeps a copy of all that it needs; the session that you
#' publish from can end.
#'
#' @details
#' The code runs in an environment that holds the model's objects and the inputs, by name, and the outputs are read from
#' it by name. A function becomes such code: it is called with the inputs, and its value is the output. The function
#' itself goes over, but not what it finds around it; a warning of class `gristmill_unshipped_objects` says what that
#' would be.
#'
#' A model keeps its own name: with `model = bos_rf` the code finds `bos_rf`, also when functions of yours pass it on. A
#' model that is not the value of a variable is called `model`. The package that holds the `predict()` of the model's
#' class is loaded on the server; code that needs others loads them by [library()].
#'
#' On the way in and out, values change as JSON wants it: factors and dates become text, times ISO 8601 in UTC; row names
#' are dropped. Numbers keep every bit. Many models take text for a factor; where a model does not, or needs dates,
#' declare the input by an example of the data frame instead of by `"data.frame"`.
#'
#' @param name Name of the service.
#' @param code A function; or R code as text; or the path of a file that ends in `.R`. `NULL` for a realtime service.
#' @param model An object; or the path of an `.RData` file, whose objects are loaded; or of an `.R` file, which is run to
#'   make them. For a realtime service, a fitted model that [serializeModel()] knows, or what it returned, as raw bytes
#'   or as the path of a file.
#' @param snapshot Id of a snapshot ([createSnapshot()]), whose workspace and files the code finds. Objects of `model` are
#'   added to it.
#' @param inputs,outputs A list of types by name: `"numeric"`, `"integer"`, `"logical"`, `"character"`, `"vector"`,
#'   `"matrix"` or `"data.frame"`. In the place of an input's `"data.frame"` an example of one may stand, such as
#'   `train[0, ]`: the service then insists on its columns, and the code gets factors with their levels, dates and times.
#' @param artifacts Names of files that the code writes and the caller is to get.
#' @param v The version; a unique one is made up if it is not given.
#' @param alias The name of the function by which clients call the service. The name of `code`, if that is a function with
#'   one; else `"consume"`.
#' @param destination A directory, into which an R file is written that calls the service without this package.
#' @param descr A description.
#' @param serviceType `"Script"`, or `"Realtime"` for a model that is scored without R: see [serializeModel()].
#' @return An object that calls the service: see [service-object].
#' @seealso [updateService()], [getService()], [serviceOption()]
#' @examples
#' \dontrun{
#' cars_glm <- glm(am ~ hp + wt, data = mtcars, family = binomial)
#' manualTransmission <- function(hp, wt) {
#'   predict(cars_glm, data.frame(hp = hp, wt = wt), type = "response")
#' }
#' api <- publishService(
#'   "transmission", v = "1.0.0", code = manualTransmission, model = cars_glm,
#'   inputs = list(hp = "numeric", wt = "numeric"), outputs = list(answer = "numeric")
#' )
#' api$manualTransmission(120, 2.8)$output("answer")
#' }
#' @export
publishService <- function(name, code, model = NULL, snapshot = NULL, inputs = list(), outputs = list(), artifacts = c(),
                           v = character(0), alias = NULL, destination = NULL, descr = NULL,
                           serviceType = c("Script", "Realtime")) {
  connection <- current_connection()
  check_name(name, "name")
  if (length(v)) check_name(v, "v")
  if (getValidatedServiceType(serviceType) == "Realtime") {
    version <- publish_realtime(connection, "POST", name, v, model, descr, alias)
    return(finish(connection, name, version, destination))
  }
  expressions <- list(code = substitute(code), model = substitute(model))
  inputs <- definitions_of(inputs, "inputs")
  outputs <- definitions_of(outputs, "outputs")
  init_code <- restoring_init_code(inputs)
  block <- restoring_code(code_block(code, inputs, outputs), init_code)
  objects <- model_objects(model, expressions$model, parent.frame(), block)
  if (is.null(snapshot)) warn_of_globals(code, names(objects))
  fields <- request_fields(block, init_code, inputs, outputs, artifacts, alias %||% alias_of(expressions$code, code), descr)
  fields$runtimeType <- "\"R\""
  version <- with_snapshot(connection, objects, snapshot, function(id) post_service(connection, name, v, fields, id))
  finish(connection, name, version, destination)
}

#' Change a published service
#'
#' Changes what is given, in place: the version stays, and all callers have the change at once. Calls that are running
#' finish with what was there. A `model` or a `snapshot` replaces all objects and files that the service had.
#'
#' @inheritParams publishService
#' @param v The version.
#' @param code,model,snapshot,inputs,outputs,artifacts,alias,descr As for [publishService()]; what is `NULL` stays as it
#'   is, an empty list clears it.
#' @return An object that calls the service: see [service-object].
#' @examples
#' \dontrun{
#' updateService("transmission", "1.0.0", descr = "Fitted anew in March", model = cars_glm)
#' }
#' @export
updateService <- function(name, v, code = NULL, model = NULL, snapshot = NULL, inputs = NULL, outputs = NULL,
                          artifacts = c(), alias = NULL, destination = NULL, descr = NULL,
                          serviceType = c("Script", "Realtime")) {
  connection <- current_connection()
  if (getValidatedServiceType(serviceType) == "Realtime") {
    publish_realtime(connection, "PATCH", name, v, model, descr, alias)
    return(finish(connection, name, v, destination))
  }
  expressions <- list(code = substitute(code), model = substitute(model))
  now <- one_service(connection, name, v)
  inputs <- definitions_of(inputs, "inputs")
  outputs <- definitions_of(outputs, "outputs")
  init_code <- restoring_init_code(inputs)
  block <- if (!is.null(code)) {
    plain <- code_block(code, inputs %||% now$inputParameterDefinitions, outputs %||% now$outputParameterDefinitions)
    restoring_code(plain, init_code %||% now$initCode)
  } else if (!is.null(init_code)) {
    restoring_code(without_restoring(now$code, now$initCode), init_code)
  }
  objects <- model_objects(model, expressions$model, parent.frame(), block %||% now$code)
  fields <- request_fields(block, init_code, inputs, outputs, artifacts, alias %||% alias_of(expressions$code, code), descr)
  with_snapshot(connection, objects, snapshot, function(id) patch_service(connection, name, v, fields, id))
  finish(connection, name, v, destination)
}

check_name <- function(value, argument) {
  if (!is_string(value) || !nzchar(value)) bad_input(argument, " must be a string, such as \"", argument, "-1\".")
}

# Members of the request, as JSON; those that say nothing are left out.
request_fields <- function(block, init_code, inputs, outputs, artifacts, alias, descr) {
  fields <- list(
    code = if (!is.null(block)) json_any(block),
    initCode = if (!is.null(init_code)) json_any(init_code),
    inputParameterDefinitions = if (!is.null(inputs)) definitions_json(inputs),
    outputParameterDefinitions = if (!is.null(outputs)) definitions_json(outputs),
    outputFileNames = if (!is.null(artifacts)) json_array(as.character(artifacts)),
    operationId = if (!is.null(alias)) json_any(alias),
    description = if (!is.null(descr)) json_any(paste(descr, collapse = "\n")),
    batchable = if (isTRUE(the$options$batchable)) "true"
  )
  fields[!vapply(fields, is.null, NA)]
}

# The version under which it was published.
post_service <- function(connection, name, v, fields, snapshot) {
  if (!is.null(snapshot)) fields$snapshotId <- json_any(snapshot)
  path <- do.call(url_path, c(list("services", name), as.list(v)))
  response <- send(connection, "POST", path, json_body(json_object(fields)), advice = c(
    gristmill_conflict = "Publish under another version, or change this one by updateService().",
    gristmill_bad_input = "", gristmill_not_found = "Is the snapshot yours, and still there? See listSnapshots()."
  ))
  version_of(response, v)
}

version_of <- function(response, v) {
  if (length(v)) return(v)
  curl::curl_unescape(sub(".*/", "", headers_of(response)[["location"]] %||% not_gristmill(response)))
}

patch_service <- function(connection, name, v, fields, snapshot) {
  if (!is.null(snapshot)) fields$snapshotId <- json_any(snapshot)
  send(connection, "PATCH", url_path("services", name, v), json_body(json_object(fields)), classes = unknown_service)
}

finish <- function(connection, name, version, destination) {
  service <- new_service(connection, one_service(connection, name, version))
  if (!is.null(destination)) write_client(service, destination)
  service
}
