# Realtime services: a model that the server scores natively. It goes over as a file that holds it in the server's own form.

# `caller` called publishService(): there the data may be that a fitted model's sample rows are taken from.
publish_realtime <- function(connection, method, name, v, model, descr, alias, caller = parent.frame(2L)) {
  path <- realtime_file(model, required = method == "POST", caller = caller)
  parts <- list(description = descr, operationId = alias)
  parts <- parts[!vapply(parts, is.null, NA)]
  if (!is.null(path)) parts$model <- curl::form_file(path, "application/octet-stream")
  url <- do.call(url_path, c(list("realtime-services", name), as.list(v)))
  answer <- send(connection, method, url, do.call(form_body, parts))  # sent now, whether or not its answer is needed
  version_of(answer, v)
}

# The path of a serialized model: its bytes begin with "blob". A fitted model is serialized now.
realtime_file <- function(model, required, caller = globalenv()) {
  if (is.null(model) && !required) return(NULL)
  if (can_serialize(model)) model <- serialized(model, caller = caller)
  if (is_string(model) && file.exists(data_path(model))) path <- data_path(model)
  else if (is.raw(model)) writeBin(model, path <- tempfile("gristmill-", fileext = ".blob"))
  else path <- NULL
  if (is.null(path) || !identical(readBin(path, "raw", 4L), charToRaw("blob"))) {
    abort("gristmill_not_supported",
          paste0("a realtime service takes a fitted model that serializeModel() knows, or what it returned as raw bytes or ",
                 "a file; this is ", if (is.null(path)) described(model) else "something else", "."),
          "Publish it as a script instead: serviceType = \"Script\", with code that calls predict().")
  }
  path
}
