# The records of a batch → the JSON array of its items. Rows of a data frame are made at one go, column by column.

json_records <- function(records, definitions) {
  if (is.data.frame(records) && !nrow(records)) bad_input("the batch has no records: its data frame has no rows.")
  if (is.data.frame(records)) {
    items <- json_rows(records, definitions)
  } else if (is.list(records) && length(records)) {
    items <- vapply(seq_along(records), function(i) json_item(records[[i]], definitions, i), "")
  } else {
    bad_input("the records of a batch are a data frame or a list of items; this is ", described(records), ".")
  }
  json_list(items)
}

# One item of a list: the inputs by name, or the value of the only input.
json_item <- function(item, definitions, number) {
  names <- names_of(definitions)
  if (length(names) == 1L && (is.data.frame(item) || !is.list(item))) item <- stats::setNames(list(item), names)
  absent <- setdiff(names, names(item))
  if (!is.list(item) || length(absent)) {
    bad_input("item ", number, " of the records lacks ", paste0("'", absent, "'", collapse = " and "),
              "; the inputs are ", signature_of(definitions), ".")
  }
  json_inputs(item, definitions)
}

json_rows <- function(records, definitions) {
  frame <- length(definitions) == 1L && definitions[[1L]]$type == "data.frame"
  columns <- frame_columns(if (frame) records else input_columns(records, definitions), "the records")
  if (!length(columns)) bad_input("the records have no columns.")
  name <- if (frame) json_name(definitions[[1L]]$name)
  wrap <- if (frame || any(vapply(definitions, function(each) each$type == "vector", NA))) c("[", "]") else c("", "")
  members <- Map(function(column, label, whole) {
    what <- paste0("column '", label, "' of the records")
    tokens <- if (whole) json_wholes(column, what) else json_tokens(column, what)
    paste0(json_name(label), ":", wrap[1L], tokens, wrap[2L])
  }, columns, names(columns), if (frame) FALSE else vapply(definitions, function(each) each$type == "integer", NA))
  items <- paste0("{", do.call(paste, c(unname(members), sep = ",")), "}")
  if (frame) paste0("{", name, ":", items, "}") else items
}

json_wholes <- function(column, what) {
  if (!is.double(column) || is.object(column)) return(json_tokens(column, what))
  strange <- which(column != trunc(column))
  if (length(strange)) bad_input(what, " is declared integer, and row ", strange[1L], " is not a whole number.")
  replace(sprintf("%.0f", column), is.na(column), "null")
}

# The columns that are the inputs: by name, or all of them in order where no name fits and the number does.
input_columns <- function(records, definitions) {
  names <- names_of(definitions)
  absent <- setdiff(names, names(records))
  if (!length(absent)) return(records[names])
  if (length(absent) == length(names) && length(records) == length(names)) return(stats::setNames(records, names))
  bad_input("the records lack the column ", paste0("'", absent, "'", collapse = " and "), "; the inputs are ",
            signature_of(definitions), ".")
}
