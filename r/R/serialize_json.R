# JSON of the parts of a model: numbers keep every bit, whole numbers that count or point are integers.

# Elements that are JSON already.
json_listed <- function(tokens) paste0("[", paste(unlist(tokens), collapse = ","), "]")

json_numbers <- function(x, what = "a coefficient") {
  x <- as.double(x)
  if (any(!is.finite(x))) cannot_serialize(paste0("a model with ", what, " that is not a finite number"), "it has no value")
  json_listed(json_doubles(x))
}

json_integers <- function(x) json_listed(sprintf("%d", as.integer(x)))

# Rows of a matrix.
tokens_by_row <- function(x, what = "a coefficient") {
  json_listed(lapply(seq_len(nrow(x)), function(i) json_numbers(x[i, ], what)))
}

# Columns of a data frame; a value that is missing or infinite is null.
json_cells <- function(frame) {
  cells <- lapply(names(frame), function(name) json_array(frame[[name]], paste0("column '", name, "' of the sample")))
  json_object(stats::setNames(cells, names(frame)))
}
