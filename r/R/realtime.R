# Realtime services: a model that the server scores natively. It goes over as a file that holds it in the server's own form.

publish_realtime <- function(connection, method, name, v, model, descr, alias) {
  path <- realtime_file(model, required = method == "POST")
  parts <- list(description = descr, operationId = alias)
  parts <- parts[!vapply(parts, is.null, NA)]
  if (!is.null(path)) parts$model <- curl::form_file(path, "application/octet-stream")
  url <- do.call(url_path, c(list("realtime-services", name), as.list(v)))
  version_of(send(connection, method, url, do.call(form_body, parts)), v)
}

# The path of a serialized model: its bytes begin with "blob".
realtime_file <- function(model, required) {
  if (is.null(model) && !required) return(NULL)
  if (is_string(model) && file.exists(data_path(model))) path <- data_path(model)
  else if (is.raw(model)) writeBin(model, path <- tempfile("gristmill-", fileext = ".blob"))
  else path <- NULL
  if (is.null(path) || !identical(readBin(path, "raw", 4L), charToRaw("blob"))) {
    abort("gristmill_not_supported",
          "a realtime service takes a model that has been serialized for it, as a file or raw bytes.",
          "Publish it as a script instead: serviceType = \"Script\", with code that calls predict().")
  }
  path
}
