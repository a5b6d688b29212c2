# The `code` argument → the block that the server runs, and the alias that a function's name suggests.

# `code`: function, text or path of a file; `inputs` and `outputs`: definitions.
code_block <- function(code, inputs, outputs) {
  if (is.function(code)) return(function_block(code, inputs, outputs))
  if (!is.character(code) || !length(code) || anyNA(code)) {
    bad_input("code must be a function, R code as text, or the path of an R file; it is ", described(code), ".")
  }
  if (!is_path_of(code, "[.][Rr]$")) return(paste(code, collapse = "\n"))
  path <- data_path(code)
  if (!file.exists(path)) no_file("code", path)
  paste(readLines(path, warn = FALSE, encoding = "UTF-8"), collapse = "\n")
}

# A single word that ends as such files do is a path, anything else is not.
is_path_of <- function(x, ending) is_string(x) && grepl(ending, x) && !grepl("\n|<-", x)

no_file <- function(argument, path) {
  bad_input(argument, " names the file ", path, ", which is not there; the option data-dir of serviceOption() says where ",
            "files are looked for, ", getwd(), " if it is not set.")
}

function_block <- function(code, inputs, outputs) {
  if (is.primitive(code)) bad_input("code is a primitive function of R; wrap it: function(x) ", deparse(code)[1L])
  if (length(outputs) > 1L) {
    bad_input("a function gives one value, and there are ", length(outputs), " outputs; declare one, or give code as text.")
  }
  call <- paste0("(", function_source(code), ")(", call_arguments(code, names_of(inputs)), ")")
  if (length(outputs)) call <- paste(r_name(outputs[[1L]]$name), "<-", call)
  call
}

names_of <- function(definitions) vapply(definitions, function(each) each$name, "")

# By name where the function has arguments of these names, else in order.
call_arguments <- function(code, names) {
  arguments <- names(formals(code))
  if (length(names) > length(arguments) && !"..." %in% arguments) {
    bad_input("the function takes ", length(arguments), " arguments, and there are ", length(names), " inputs.")
  }
  values <- vapply(names, r_name, "", USE.NAMES = FALSE)
  if (!all(names %in% arguments)) return(paste(values, collapse = ", "))
  paste(values, values, sep = " = ", collapse = ", ")
}

# A name as R code spells it.
r_name <- function(name) paste(deparse(as.name(name), backtick = TRUE), collapse = "")

# As its author wrote it, if that is still what it does; else deparsed so that its numbers are exact.
function_source <- function(code) {
  written <- attr(code, "srcref")
  if (!is.null(written)) {
    text <- paste(as.character(written), collapse = "\n")
    again <- tryCatch(eval(parse(text = text, keep.source = FALSE)[[1L]], baseenv()), error = function(condition) NULL)
    if (is.function(again) && same_function(again, code)) return(text)
  }
  paste(deparse(code, width.cutoff = 100L, control = c("keepNA", "keepInteger", "niceNames", "showAttributes", "digits17")),
        collapse = "\n")
}

same_function <- function(one, other) {
  identical(formals(one), formals(other)) &&
    identical(utils::removeSource(one), utils::removeSource(other), ignore.environment = TRUE, ignore.bytecode = TRUE)
}

# "score" for `code = score`; NULL for anything that is not a plain name of a function.
alias_of <- function(expression, code) if (is.function(code) && is.name(expression)) as.character(expression)

# What a function uses from here, and will not find there. A warning of a class of its own: it is no failure.
warn_of_globals <- function(code, shipped) {
  if (!is.function(code) || !requireNamespace("codetools", quietly = TRUE)) return(invisible())
  used <- setdiff(codetools::findGlobals(code), shipped)
  here <- Filter(function(name) is_own(home_of(name, environment(code))), used)
  if (!length(here)) return(invisible())
  warning(structure(
    class = c("gristmill_unshipped_objects", "gristmill_warning", "warning", "condition"),
    list(message = paste0(
      "the code uses ", paste0("'", here, "'", collapse = ", "), " from this R, which the service does not have.\n",
      "Define it in the code, make it part of model, or put it into a session and publish its snapshot."
    ), call = NULL, objects = here)
  ))
}

# The environment in which a name is found, or NULL.
home_of <- function(name, env) {
  while (!identical(env, emptyenv())) {
    if (exists(name, envir = env, inherits = FALSE)) return(env)
    env <- parent.env(env)
  }
}

# Whether an environment is the user's, and not a package's.
is_own <- function(env) {
  if (is.null(env) || isNamespace(env) || identical(env, baseenv())) return(FALSE)
  !grepl("^(package|imports):|^Autoloads$", attr(env, "name") %||% "")
}
