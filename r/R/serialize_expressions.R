# R expressions of a formula → JSON that the server computes exactly as R does. Of each the type is known, too.

# What expressions are read with: columns that they use so far, and what is known of the data.
new_scope <- function(sample, env = globalenv(), levels = list()) {
  scope <- new.env(parent = emptyenv())
  scope$sample <- sample
  scope$env <- env %||% globalenv()
  scope$levels <- levels # of factors, where the model knows them
  scope$columns <- list()
  scope$term <- ""
  scope
}

refuse_term <- function(scope, why) cannot_serialize(paste0("the term '", scope$term, "'"), why)

arithmetic <- c("+", "-", "*", "/", "^")
comparisons <- c("<", "<=", ">", ">=", "==", "!=")
connectives <- c("&", "|")
functions <- c("exp", "log", "log2", "log10", "log1p", "expm1", "sqrt", "abs", "floor", "ceiling", "sin", "cos", "tanh")

typed <- function(json, type = "number", levels = NULL) list(json = json, type = type, levels = levels)

call_json <- function(name, ...) {
  arguments <- vapply(list(...), function(part) if (is.list(part)) part$json else part, "")
  json_object(list(kind = "\"call\"", name = json_any(name), args = json_listed(arguments)))
}

number_json <- function(x) json_object(list(kind = "\"number\"", number = json_doubles(as.double(x))))

# The 0-based number of a column, which the service has from now on.
use_column <- function(name, scope) {
  known <- match(name, vapply(scope$columns, `[[`, "", "name"))
  if (is.na(known)) {
    scope$columns[[length(scope$columns) + 1L]] <- column_of(name, scope)
    known <- length(scope$columns)
  }
  known - 1L
}

column_of <- function(name, scope) {
  if (!name %in% names(scope$sample)) {
    bad_input("sample has no column '", name, "', which the model uses: pass a data frame that has it as `sample`.")
  }
  values <- scope$sample[[name]]
  levels <- scope$levels[[name]]
  if (is.factor(values) || is.character(values) || length(levels)) {
    if (is.null(levels)) levels <- if (is.factor(values)) levels(values) else sort(unique(values))
    return(list(name = name, type = "factor", levels = levels, ordered = is.ordered(values)))
  }
  if (length(dim(values)) > 1L || is.object(values) || !(is.numeric(values) || is.logical(values))) {
    cannot_serialize(paste0("column '", name, "'"), paste0("it is ", described(values), ", not a number, a truth value or a factor"))
  }
  list(name = name, type = if (is.logical(values)) "logical" else "numeric")
}

column_json_of <- function(name, scope) {
  number <- use_column(name, scope)
  column <- scope$columns[[number + 1L]]
  json <- json_object(list(kind = "\"column\"", column = sprintf("%d", number)))
  typed(json, switch(column$type, numeric = "number", column$type), column$levels)
}

read_expression <- function(e, scope) {
  if (is.numeric(e) || is.logical(e)) {
    if (length(e) != 1L || !is.finite(e)) refuse_term(scope, paste0("'", deparse_line(e), "' is not a finite number"))
    return(typed(number_json(e), if (is.logical(e)) "logical" else "number"))
  }
  if (is.character(e) && length(e) == 1L) return(typed(e, "text"))
  if (is.name(e)) return(read_name(as.character(e), scope))
  if (is.call(e) && is.call(e[[1L]])) refuse_term(scope, paste0("the server does not know ", deparse_line(e[[1L]]), "()"))
  if (!is.call(e) || !is.name(e[[1L]])) refuse_term(scope, paste0("'", deparse_line(e), "' is not plain arithmetic"))
  read_call(as.character(e[[1L]]), as.list(e)[-1L], scope)
}

deparse_line <- function(e) if (is.name(e)) as.character(e) else paste(trimws(deparse(e, width.cutoff = 500L)), collapse = " ")

# A column; or a number that the formula finds in its environment, as it is now.
read_name <- function(name, scope) {
  if (name %in% names(scope$sample)) return(column_json_of(name, scope))
  value <- get0(name, scope$env)
  if (is.numeric(value) && length(value) == 1L && is.finite(value) && !is.object(value)) return(typed(number_json(value)))
  column_json_of(name, scope)
}

read_call <- function(name, arguments, scope) {
  if (name %in% c("(", "I", "offset") && length(arguments) == 1L) return(read_expression(arguments[[1L]], scope))
  if (!name %in% c(arithmetic, comparisons, connectives, functions, "!", "ifelse", "as.numeric")) {
    refuse_term(scope, paste0("the server does not know ", name, "()"))
  }
  if (name == "log" && length(arguments) == 2L) return(read_log_of_base(arguments, scope))
  if (!is.null(names(arguments)) && name != "ifelse") arguments <- unname(arguments)
  parts <- lapply(arguments, read_expression, scope)
  if (name %in% comparisons && length(parts) == 2L) return(read_comparison(name, parts, scope))
  types <- vapply(parts, `[[`, "", "type")
  if (any(!types %in% c("number", "logical"))) refuse_term(scope, paste0(name, "() of text or of a factor"))
  count <- length(parts)
  if (name == "as.numeric" && count == 1L) return(typed(parts[[1L]]$json))
  if (name == "!" && count == 1L || name %in% connectives && count == 2L) {
    if (any(types != "logical")) refuse_term(scope, paste0("'", name, "' of what is not a truth value"))
    return(typed(do.call(call_json, c(list(name), parts)), "logical"))
  }
  if (name == "ifelse" && count == 3L) return(read_ifelse(parts, types, scope))
  if (name == "-" && count == 1L) return(typed(call_json("neg", parts[[1L]])))
  if (name == "+" && count == 1L) return(typed(parts[[1L]]$json))
  expected <- if (name %in% arithmetic) 2L else if (name %in% functions) 1L else -1L
  if (count != expected) refuse_term(scope, paste0(name, "() with ", count, " arguments"))
  typed(do.call(call_json, c(list(name), parts)))
}

read_log_of_base <- function(arguments, scope) {
  named <- match.call(function(x, base) NULL, as.call(c(list(as.name("log")), arguments)))
  parts <- lapply(as.list(named)[c("x", "base")], read_expression, scope)
  if (any(vapply(parts, `[[`, "", "type") != "number")) refuse_term(scope, "log() of what is not a number")
  typed(call_json("/", typed(call_json("log", parts$x)), typed(call_json("log", parts$base))))
}

read_ifelse <- function(parts, types, scope) {
  if (types[1L] != "logical") refuse_term(scope, "ifelse() of what is not a truth value")
  json <- do.call(call_json, c(list("ifelse"), unname(parts)))
  typed(json, if (all(types == "logical")) "logical" else "number")
}

# A factor is compared with text by the number of the level; an unknown level is equal to none.
read_comparison <- function(name, parts, scope) {
  types <- vapply(parts, `[[`, "", "type")
  if (setequal(types, c("factor", "text"))) {
    if (!name %in% c("==", "!=")) refuse_term(scope, paste0("'", name, "' of a factor"))
    levels <- parts[[which(types == "factor")]]$levels
    text <- which(types == "text")
    parts[[text]] <- typed(number_json(match(parts[[text]]$json, levels, 0L) - 1L))
  } else if (any(!types %in% c("number", "logical"))) {
    refuse_term(scope, paste0("'", name, "' of text or of a factor"))
  }
  typed(do.call(call_json, c(list(name), parts)), "logical")
}
