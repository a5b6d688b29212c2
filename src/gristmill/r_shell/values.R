# Values on their way out: checked against the declared type and reduced to vectors without attributes. Factors keep
# `levels` and integer64 its class; the companion turns them into text and integers.

converters_to_compile <- c("to_numeric", "to_integer", "to_character", "to_logical", "to_vector", "to_matrix", "to_frame",
                           "plain", "bare", "text")

bare <- function(x) {
  if (!is.null(attributes(x))) attributes(x) <- NULL
  x
}

# An atomic vector without attributes; `what` names it in errors.
plain <- function(x, what) {
  if (is.object(x)) return(plain_object(x, what))
  switch(
    typeof(x),
    double = , integer = , logical = bare(x),
    character = text(bare(x), what),
    refuse(what, " is ", described(x), ", which has no place in JSON")
  )
}

text <- function(x, what) {
  if (!all(validEnc(x)) || any(Encoding(x) == "bytes")) refuse(what, " holds text that is not valid UTF-8")
  enc2utf8(x)
}

plain_object <- function(x, what) {
  if (inherits(x, "factor")) return(structure(bare(unclass(x)), levels = enc2utf8(as.character(levels(x)))))
  if (inherits(x, "Date")) return(format(structure(bare(unclass(x)), class = "Date"), "%Y-%m-%d"))
  if (inherits(x, "POSIXt")) return(instant(x))
  if (inherits(x, "integer64")) return(structure(bare(unclass(x)), class = "integer64"))
  if (is.atomic(x) && !isS4(x)) return(plain(bare(unclass(x)), what))
  refuse(what, " is ", described(x), ", which has no place in JSON")
}

# ISO 8601 in UTC, with microseconds where there are any.
instant <- function(x) {
  seconds <- bare(unclass(as.POSIXct(x)))
  whole <- floor(seconds)
  micros <- round((seconds - whole) * 1e6)
  carry <- which(micros >= 1e6)
  whole[carry] <- whole[carry] + 1
  micros[carry] <- 0
  shown <- format(.POSIXct(whole, "UTC"), "%Y-%m-%dT%H:%M:%S")
  part <- which(is.finite(micros) & micros > 0)
  shown[part] <- paste0(shown[part], sprintf(".%06d", as.integer(micros[part])))
  ifelse(is.na(shown), NA_character_, paste0(shown, "Z"))
}

described <- function(x) {
  if (is.null(x)) return("NULL")
  if (is.data.frame(x)) return(paste0("a data.frame of ", nrow(x), " rows and ", length(x), " columns"))
  if (is.function(x)) return("a function")
  if (is.object(x)) {
    classes <- paste0("'", class(x), "'", collapse = ", ")
    return(if (is.atomic(x)) paste0("a vector of class ", classes, " and length ", length(x))
           else paste0("an object of class ", classes))
  }
  if (is.environment(x)) return("an environment")
  if (!is.atomic(x) && !is.list(x)) return(paste0("of R's type '", typeof(x), "'"))
  kind <- if (is.double(x)) "numeric" else typeof(x)
  shape <- dim(x)
  if (is.list(x)) return(paste0("a list of length ", length(x)))
  kind <- paste(if (kind == "integer") "an" else "a", kind)
  if (length(shape)) return(paste0(kind, " array of ", paste(shape, collapse = " x ")))
  paste0(kind, " vector of length ", length(x))
}

mistyped <- function(x, name, type) refuse("output '", name, "' is declared ", type, ", and the code made it ", described(x))

one <- function(x, name, type) {
  if (!is.atomic(x) || length(x) != 1L) mistyped(x, name, type)
  plain(x, paste0("output '", name, "'"))
}

to_numeric <- function(x, name) {
  if (is.double(x) && length(x) == 1L && is.null(attributes(x))) return(x)
  value <- one(x, name, "numeric")
  if (is.character(value) || !is.null(attr(value, "levels"))) mistyped(x, name, "numeric")
  if (is.logical(value)) as.double(value) else value
}

to_integer <- function(x, name) {
  value <- one(x, name, "integer")
  if (is.character(value) || !is.null(attr(value, "levels"))) mistyped(x, name, "integer")
  if (!is.double(value)) return(as.integer(value))
  if (is.object(value) || is.na(value)) return(value)
  if (is.infinite(value) || value != trunc(value)) refuse("output '", name, "' is declared integer, and ", format(value, digits = 15L),
                                    " is not a whole number")
  value
}

to_logical <- function(x, name) {
  value <- one(x, name, "logical")
  if (is.logical(value)) value else mistyped(x, name, "logical")
}

to_character <- function(x, name) {
  value <- one(x, name, "character")
  if (is.logical(value) && is.na(value)) return(NA_character_)
  if (is.character(value) || !is.null(attr(value, "levels"))) value else mistyped(x, name, "character")
}

# A matrix of one row or column is taken for a vector, as many models predict such.
to_vector <- function(x, name) {
  if (is.double(x) && !is.object(x) && is.null(dim(x))) return(bare(x))
  if (inherits(x, "POSIXlt")) x <- as.POSIXct(x)
  if (!is.atomic(x)) mistyped(x, name, "vector")
  shape <- dim(x)
  if (length(shape) > 1L && sum(shape != 1L) > 1L)
    refuse("output '", name, "' is declared vector, and the code made it ", described(x), "; declare it matrix")
  plain(x, paste0("output '", name, "'"))
}

# Row after row: list(c(rows, columns), values). A vector is a matrix of one column; a data.frame must be of one kind.
to_matrix <- function(x, name) {
  what <- paste0("output '", name, "'")
  if (is.data.frame(x)) {
    if (length(unique(vapply(x, function(column) mode(plain(column, what)), ""))) > 1L)
      refuse(what, " is declared matrix, and the code made it a data.frame whose columns are of different kinds")
    x <- as.matrix(x)
  }
  if (isS4(x) && inherits(x, "Matrix")) x <- as.matrix(x)
  if (!is.atomic(x) || length(dim(x)) > 2L) mistyped(x, name, "matrix")
  shape <- dim(x)
  if (length(shape) < 2L) return(list(c(length(x), 1L), plain(x, what)))
  list(shape, plain(t(x), what))
}

to_frame <- function(x, name) {
  if (!is.data.frame(x)) {
    if (length(dim(x)) == 2L && is.atomic(x)) x <- as.data.frame(x, stringsAsFactors = FALSE)
    else if (!is_columns(x)) mistyped(x, name, "data.frame")
  }
  names <- names(x)
  if (anyDuplicated(names))
    refuse("output '", name, "' has the column '", names[anyDuplicated(names)], "' twice; give each a name of its own")
  x <- unclass(x)
  for (k in seq_along(x)) {
    column <- x[[k]]
    if (is.double(column) && is.null(attributes(column))) next
    what <- paste0("column '", names[k], "' of output '", name, "'")
    if (is.list(column) && !inherits(column, "POSIXlt"))
      refuse(what, " is a list column; make it an atomic vector, a factor or a date")
    if (length(dim(column)) > 1L) refuse(what, " is a matrix; give each of its columns a column of its own")
    x[[k]] <- plain(column, what)
  }
  attributes(x) <- list(names = enc2utf8(names))
  x
}

is_columns <- function(x) {
  is.list(x) && !is.object(x) && length(x) && !is.null(names(x)) && all(nzchar(names(x))) &&
    all(vapply(x, is.atomic, NA)) && length(unique(lengths(x))) == 1L
}

converters <- list(
  logical = to_logical, integer = to_integer, numeric = to_numeric, character = to_character, vector = to_vector,
  matrix = to_matrix, data.frame = to_frame
)

# A value without a declared type: list(form, value). Forms: scalar, vector, matrix, frame, list, null.
to_any <- function(x, name) {
  what <- paste0("output '", name, "'")
  if (is.null(x)) return(list("null", NULL))
  if (is.data.frame(x)) return(list("frame", to_frame(x, name)))
  if (inherits(x, "POSIXlt")) x <- as.POSIXct(x)
  if (is.atomic(x)) {
    if (length(dim(x)) == 2L) return(list("matrix", to_matrix(x, name)))
    if (length(dim(x)) > 2L) refuse(what, " is ", described(x), "; only matrices have a form in JSON")
    return(list(if (length(x) == 1L) "scalar" else "vector", plain(x, what)))
  }
  if (is.list(x) && !isS4(x)) {
    items <- lapply(seq_along(x), function(k) {
      label <- names(x)[k]
      to_any(.subset2(x, k), paste0(name, "$", if (is.null(label) || !nzchar(label)) k else label))
    })
    if (!is.null(names(x)) && all(nzchar(names(x))) && !anyDuplicated(names(x))) names(items) <- enc2utf8(names(x))
    return(list("list", items))
  }
  refuse(what, " is ", described(x), ", which has no place in JSON; read it as a workspace object")
}
