# The `inputs` and `outputs` arguments ↔ the definitions of the protocol.

parameter_types <- c("logical", "integer", "numeric", "character", "vector", "matrix", "data.frame")

# A named list or vector of types → list of list(name, type). A data.frame in the place of a type is an example of one:
# its columns are asked for, and their classes given back to them. NULL stays NULL: nothing is said.
definitions_of <- function(given, argument) {
  if (is.null(given)) return(NULL)
  if (!length(given)) return(list())
  if (is.null(names(given)) || !all(nzchar(names(given))) || anyDuplicated(names(given))) {
    bad_input(argument, " must name each parameter, once: list(", argument, " = \"data.frame\")")
  }
  unname(Map(function(type, name) definition_of(type, name, argument), as.list(given), names(given)))
}

definition_of <- function(type, name, argument) {
  if (is.data.frame(type)) return(list(name = name, type = "data.frame", columns = names(type), example = type[0L, ]))
  if (is_string(type) && type == "dataframe") type <- "data.frame"
  if (!is_string(type) || !type %in% parameter_types) {
    bad_input(argument, ": the type of '", name, "' is ", if (is_string(type)) paste0("\"", type, "\"") else described(type),
              "; it must be one of ", paste(parameter_types, collapse = ", "), ".")
  }
  list(name = name, type = type)
}

definitions_json <- function(definitions) {
  json_list(vapply(definitions, function(each) {
    members <- list(name = json_any(each$name), type = json_any(each$type))
    if (length(each$columns)) members$columns <- json_array(each$columns)
    json_object(members)
  }, ""))
}

json_list <- function(parts) paste0("[", paste(parts, collapse = ","), "]")

# What the server sent → the same form.
definitions_from <- function(sent) {
  lapply(sent, function(each) {
    c(list(name = each$name, type = each$type), if (length(each$columns)) list(columns = unlist(each$columns)))
  })
}

# "hp: numeric, wt: numeric"
signature_of <- function(definitions) {
  if (!length(definitions)) return("none")
  paste(vapply(definitions, function(each) paste0(each$name, ": ", each$type), ""), collapse = ", ")
}
