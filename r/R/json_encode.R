# Values to JSON. Written here, because jsonlite rounds doubles to 15 significant digits: 17 give every double back, bit
# for bit. Whole doubles get a `.0`, so that they arrive as numeric and not as integer.

# One JSON token per element of an atomic vector, a factor, dates or times. `what` names it in errors.
json_tokens <- function(x, what) {
  if (is.object(x)) x <- plain_vector(x, what)
  switch(
    typeof(x),
    double = json_doubles(x),
    integer = replace(sprintf("%d", x), is.na(x), "null"),
    logical = replace(ifelse(x, "true", "false"), is.na(x), "null"),
    character = json_strings(x, what),
    bad_input(what, " is ", described(x), ", which has no place in JSON.")
  )
}

plain_vector <- function(x, what) {
  if (is.factor(x)) return(as.character(x))
  if (inherits(x, "Date")) return(format(x, "%Y-%m-%d"))
  if (inherits(x, "POSIXt")) return(instant(x))
  if (is.atomic(x) && !isS4(x) && !inherits(x, "integer64")) return(as.vector(unclass(x)))
  bad_input(what, " is ", described(x), ", which has no place in JSON.")
}

json_doubles <- function(x) {
  tokens <- sprintf("%.17g", x)
  whole <- !grepl("[.enN]", tokens)
  tokens[whole] <- paste0(tokens[whole], ".0")
  tokens[!is.finite(x)] <- "null"
  tokens
}

json_strings <- function(x, what = "a string") {
  if (!length(x)) return(character())
  missing <- is.na(x)
  x <- enc2utf8(as.vector(x))
  broken <- which(!missing & !validUTF8(x))
  if (length(broken)) bad_input(what, " has text that is not valid UTF-8, in element ", broken[1L], ".")
  x <- gsub("\\", "\\\\", x, fixed = TRUE)
  x <- gsub("\"", "\\\"", x, fixed = TRUE)
  if (any(grepl("[\001-\037\177]", x))) x <- escape_controls(x)
  replace(paste0("\"", x, "\""), missing, "null")
}

escape_controls <- function(x) {
  for (code in c(1:31, 127)) {
    x <- gsub(intToUtf8(code), sprintf("\\u%04x", code), x, fixed = TRUE)
  }
  x
}

# ISO 8601 in UTC, with microseconds where there are any.
instant <- function(x) {
  seconds <- as.vector(unclass(as.POSIXct(x)))
  micros <- round((seconds - floor(seconds)) * 1e6)
  whole <- floor(seconds) + (micros >= 1e6)
  micros[which(micros >= 1e6)] <- 0
  text <- format(.POSIXct(whole, "UTC"), "%Y-%m-%dT%H:%M:%S")
  fraction <- which(micros > 0)
  text[fraction] <- paste0(text[fraction], sprintf(".%06.0f", micros[fraction]))
  replace(paste0(text, "Z"), is.na(seconds), NA_character_)
}

json_array <- function(x, what) paste0("[", paste(json_tokens(x, what), collapse = ","), "]")

json_name <- function(name) json_strings(name, "a name")

# Members that are JSON already, under their names.
json_object <- function(members) {
  if (!length(members)) return("{}")
  paste0("{", paste0(json_name(names(members)), ":", unlist(members), collapse = ","), "}")
}

json_matrix <- function(x, what) {
  if (!nrow(x)) return("[]")
  tokens <- matrix(json_tokens(as.vector(x), what), nrow(x))
  paste0("[", paste0("[", apply(tokens, 1L, paste, collapse = ","), "]", collapse = ","), "]")
}

json_frame <- function(x, what) {
  columns <- frame_columns(x, what)
  json_object(lapply(stats::setNames(names(columns), names(columns)), function(name) {
    json_array(columns[[name]], paste0("column '", name, "' of ", what))
  }))
}

# The columns of a data.frame as a plain list of vectors; refuses what JSON cannot carry.
frame_columns <- function(x, what) {
  columns <- as.list(x)
  if (anyDuplicated(names(columns))) {
    bad_input(what, " has the column '", names(columns)[anyDuplicated(names(columns))], "' twice.")
  }
  for (name in names(columns)) {
    column <- columns[[name]]
    if (inherits(column, "POSIXlt")) column <- columns[[name]] <- as.POSIXct(column)
    label <- paste0("column '", name, "' of ", what)
    if (!is.atomic(column)) bad_input(label, " is ", described(column), "; make it a vector.")
    if (length(dim(column)) > 1L) bad_input(label, " is a matrix; give each of its columns a name.")
  }
  columns
}

# Any value, by its own shape: length one → scalar, unless it is marked by I().
json_any <- function(x, what = "the value") {
  if (is.null(x)) return("null")
  if (is.data.frame(x)) return(json_frame(x, what))
  if (is.matrix(x) && is.atomic(x)) return(json_matrix(x, what))
  if (inherits(x, "POSIXlt")) x <- as.POSIXct(x)
  if (is.atomic(x)) return(if (length(x) == 1L && !inherits(x, "AsIs")) json_tokens(x, what) else json_array(x, what))
  if (!is.list(x) || isS4(x)) bad_input(what, " is ", described(x), ", which has no place in JSON.")
  parts <- Map(json_any, x, paste0(what, "[[", seq_along(x), "]]"))
  if (is.null(names(x))) return(paste0("[", paste(unlist(parts), collapse = ","), "]"))
  json_object(stats::setNames(parts, names(x)))
}

# A short name for what a value is, for messages.
described <- function(x) {
  if (is.null(x)) return("NULL")
  if (is.data.frame(x)) return(paste0("a data.frame of ", nrow(x), " rows and ", length(x), " columns"))
  if (is.function(x)) return("a function")
  if (is.object(x)) return(paste0("an object of class '", class(x)[1L], "'"))
  if (!is.atomic(x) && !is.list(x)) return(paste0("of R's type '", typeof(x), "'"))
  kind <- if (is.double(x)) "numeric" else typeof(x)
  if (length(dim(x))) return(paste0("a ", kind, " array of ", paste(dim(x), collapse = " x ")))
  paste0("a ", kind, if (is.list(x)) " of " else " vector of ", "length ", length(x))
}
