# JSON of the parts of a model: numbers keep every bit, whole numbers that count or point are integers.

# Elements that are JSON already.
tokens_of <- function(tokens) paste0("[", paste(unlist(tokens), collapse = ","), "]")

json_numbers <- function(x, what = "a coefficient") {
  x <- as.double(x)
  if (any(!is.finite(x))) cannot_serialize(paste0("a model with ", what, " that is not a finite number"), "it has no value")
  tokens_of(json_doubles(x))
}

json_integers <- function(x) tokens_of(sprintf("%d", as.integer(x)))

# Rows of a matrix.
tokens_by_row <- function(x, what = "a coefficient") {
  tokens_of(lapply(seq_len(nrow(x)), function(i) json_numbers(x[i, ], what)))
}

# Columns of a data frame; a value that is missing or infinite is null.
json_cells <- function(frame) {
  cells <- lapply(names(frame), function(name) tokens_of(frame[[name]], paste0("column '", name, "' of the sample")))
  json_object(stats::setNames(cells, names(frame)))
}
