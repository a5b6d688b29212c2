# JSON has no factors, dates and times. Where an input was declared by an example, the service makes them again: a function
# per input in the init code, called in front of the code.

# The init code; "" where there is nothing to restore, NULL where the inputs say nothing.
restoring_init_code <- function(inputs) {
  if (is.null(inputs)) return(NULL)
  functions <- Filter(nzchar, vapply(stats::setNames(inputs, names_of(inputs)), restorer_source, ""))
  if (!length(functions)) return("")
  paste0(".gristmill_inputs <- list(\n", paste0("  ", r_names(names(functions)), " = ", functions, collapse = ",\n"), "\n)")
}

restorer_source <- function(definition) {
  if (is.null(definition$example)) return("")
  lines <- unlist(Map(column_source, definition$example, names(definition$example)))
  if (!length(lines)) return("")
  paste0("function(frame) {\n", paste0("    ", lines, collapse = "\n"), "\n    frame\n  }")
}

# "frame[["g"]] <- factor(...)"; NULL for a column that arrives as it is.
column_source <- function(column, name) {
  cell <- paste0("frame[[", r_text(name), "]]")
  made <- if (is.factor(column)) {
    ordered <- if (is.ordered(column)) ", ordered = TRUE"
    paste0("factor(", cell, ", levels = ", r_text(levels(column)), ordered, ")")
  } else if (inherits(column, "Date")) {
    paste0("as.Date(as.character(", cell, "))")
  } else if (inherits(column, "POSIXt")) {
    zone <- attr(as.POSIXct(column), "tzone") %||% ""
    utc <- paste0("as.POSIXct(strptime(", cell, ", \"%Y-%m-%dT%H:%M:%OSZ\", \"UTC\"))")
    paste0(".POSIXct(as.numeric(", utc, "), ", r_text(zone[1L]), ")")
  }
  if (!is.null(made)) paste(cell, "<-", made)
}

r_text <- function(text) paste(deparse(enc2utf8(text), width.cutoff = 500L), collapse = "")

r_names <- function(names) vapply(names, r_name, "", USE.NAMES = FALSE)

# In front of the code, on its first line: the lines of the code keep their numbers.
restoring_code <- function(block, init_code) {
  restored <- restored_inputs(init_code)
  if (!length(restored)) return(block)
  paste0(paste0(r_names(restored), " <- .gristmill_inputs[[", vapply(restored, r_text, ""), "]](", r_names(restored), "); ",
                collapse = ""), block)
}

# Names of the inputs for which an init code of ours has a function.
restored_inputs <- function(init_code) {
  if (is.null(init_code) || !startsWith(init_code, ".gristmill_inputs <- ")) return(character())
  names(eval(parse(text = init_code, keep.source = FALSE)[[1L]][[3L]], baseenv()))
}

# The code as it was before `restoring_code`.
without_restoring <- function(block, init_code) {
  added <- restoring_code("", init_code)
  if (nzchar(added) && startsWith(block, added)) substring(block, nchar(added) + 1L) else block
}
