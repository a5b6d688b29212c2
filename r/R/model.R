# The `model` argument → objects by name, as the service will find them.

# `expression` is what was passed, `frame` where it was: for the object's own name. `code` is the block.
model_objects <- function(model, expression, frame, code) {
  if (is.null(model)) return(list())
  if (is_path_of(model, "[.](RData|rda|Rdata)$")) return(objects_of_file(model, function(path, into) load(path, into)))
  if (is_path_of(model, "[.][Rr]$")) {
    return(objects_of_file(model, function(path, into) sys.source(path, into, keep.source = FALSE)))
  }
  if (is_path_of(model, "[.]rds$") && file.exists(data_path(model))) {
    bad_input("model names an .rds file, which holds an object without its name; pass the object: model = readRDS(...)")
  }
  stats::setNames(list(model), model_name(expression, frame, code))
}

objects_of_file <- function(file, read) {
  path <- data_path(file)
  if (!file.exists(path)) no_file("model", path)
  found <- new.env(parent = globalenv())
  tryCatch(read(path, found), error = function(problem) {
    bad_input("model: ", path, " cannot be read: ", conditionMessage(problem))
  })
  objects <- as.list(found, all.names = TRUE)
  if (!length(objects)) bad_input("model: ", path, " holds no objects.")
  objects
}

# The name of the object that was passed, looked up through the functions that passed it on. Of several names, that which
# the code speaks of; "model" where there is none.
model_name <- function(expression, frame, code) {
  names <- character()
  while (is.name(expression)) {
    names <- c(names, as.character(expression))
    outer <- passed_as(expression, frame)
    expression <- outer$expression
    frame <- outer$frame
  }
  if (!length(names)) return("model")
  spoken <- tryCatch(all.names(parse(text = code, keep.source = FALSE)), error = function(condition) character())
  c(names[names %in% spoken], names)[1L]
}

# What the caller of the function whose frame this is wrote for its argument, and the caller's frame.
passed_as <- function(name, frame) {
  number <- which(vapply(sys.frames(), identical, NA, frame))
  if (!length(number)) return(NULL)
  definition <- sys.function(number[1L])
  if (!as.character(name) %in% names(formals(definition))) return(NULL)
  expression <- eval(call("substitute", name), frame)
  if (identical(expression, name) || !is.name(expression)) return(NULL)
  parent <- sys.parents()[number[1L]]
  list(expression = expression, frame = if (parent == 0L) globalenv() else sys.frame(parent))
}
