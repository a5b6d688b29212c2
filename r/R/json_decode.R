# JSON to values. jsonlite reads doubles exactly; its own simplification is not used, because it takes the text "NA" for a
# missing value.

parse_json <- function(text) {
  if (is.raw(text)) text <- utf8_text(text)
  jsonlite::parse_json(text, simplifyVector = FALSE)
}

utf8_text <- function(bytes) {
  text <- rawToChar(bytes)
  Encoding(text) <- "UTF-8"
  text
}

# A parsed output → a value of the declared type.
from_json <- function(value, type) {
  switch(
    type,
    logical = value %||% NA,
    integer = value %||% NA_integer_,
    numeric = as.double(value %||% NA_real_),
    character = value %||% NA_character_,
    vector = vector_of(value),
    matrix = matrix_of(value),
    data.frame = frame_of(value),
    guess_value(value)
  )
}

# An array of plain values, null being NA.
vector_of <- function(array) {
  if (!length(array)) return(logical())
  array[lengths(array) == 0L] <- list(NA)
  unlist(array, use.names = FALSE)
}

matrix_of <- function(rows) {
  if (!length(rows)) return(matrix(NA, 0L, 0L))
  matrix(unlist(lapply(rows, vector_of)), length(rows), length(rows[[1L]]), byrow = TRUE)
}

frame_of <- function(columns) {
  rows <- if (length(columns)) length(columns[[1L]]) else 0L
  columns <- lapply(columns, vector_of)
  structure(columns, names = names(columns) %||% character(), row.names = .set_row_names(rows), class = "data.frame")
}

# A value without a declared type: an object of arrays of one length is a data.frame, an array of arrays of one length a
# matrix, an array of plain values a vector.
guess_value <- function(x) {
  if (!is.list(x)) return(x %||% NA)
  if (is.null(names(x)) && all(vapply(x, is_plain, NA))) return(vector_of(x))
  table <- length(x) && all(vapply(x, is_plain_array, NA)) && length(unique(lengths(x))) == 1L
  if (table) return(if (is.null(names(x))) matrix_of(x) else frame_of(x))
  lapply(x, guess_value)
}

is_plain <- function(x) is.null(x) || is.atomic(x)

is_plain_array <- function(x) is.list(x) && is.null(names(x)) && all(vapply(x, is_plain, NA))
