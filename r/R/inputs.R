# A call's inputs → the body of its request, by the types that the service declares.

json_inputs <- function(inputs, definitions) {
  json_object(lapply(stats::setNames(definitions, names_of(definitions)), function(definition) {
    json_input(inputs[[definition$name]], definition$type, definition$name)
  }))
}

json_input <- function(value, type, name) {
  what <- paste0("input '", name, "'")
  switch(
    type,
    data.frame = json_frame(as_frame(value, what), what),
    matrix = json_matrix(as_matrix(value, what), what),
    vector = json_array(as_vector(value, what), what),
    json_scalar(value, type, what)
  )
}

json_scalar <- function(value, type, what) {
  if (inherits(value, "POSIXlt")) value <- as.POSIXct(value)
  if (is.null(value) || !is.atomic(value) || length(value) != 1L) mistyped(value, type, what)
  if (type == "integer" && is.double(value) && !is.object(value)) return(json_whole(value, what))
  json_tokens(value, what)
}

json_whole <- function(value, what) {
  if (is.na(value)) return("null")
  if (value != trunc(value)) {
    bad_input(what, " is declared integer, and ", format(value, digits = 15L), " is not a whole number.")
  }
  sprintf("%.0f", value)
}

as_vector <- function(value, what) {
  if (inherits(value, "POSIXlt")) value <- as.POSIXct(value)
  if (is.list(value) && !is.object(value) && all(lengths(value) == 1L)) value <- unlist(value)
  if (is.null(value) || !is.atomic(value)) mistyped(value, "vector", what)
  value
}

as_matrix <- function(value, what) {
  if (is.data.frame(value)) value <- as.matrix(value)
  if (!is.atomic(value) || length(dim(value)) != 2L) mistyped(value, "matrix", what)
  value
}

# A data.frame; or a matrix with column names; or columns in a list.
as_frame <- function(value, what) {
  if (is.data.frame(value)) return(value)
  if (is.matrix(value) && !is.null(colnames(value))) return(as.data.frame(value, stringsAsFactors = FALSE))
  named <- is.list(value) && !is.object(value) && length(value) && !is.null(names(value)) && all(nzchar(names(value)))
  if (!named || length(unique(lengths(value))) > 1L) mistyped(value, "data.frame", what)
  value
}

mistyped <- function(value, type, what) {
  expected <- switch(type, vector = "a vector", matrix = "a matrix", data.frame = "a data.frame", paste("one", type, "value"))
  bad_input(what, " must be ", expected, "; it is ", described(value), ".")
}
