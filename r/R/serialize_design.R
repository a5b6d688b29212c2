# Terms of a formula → the columns of the model matrix, as products of base columns. As model.matrix() does it.

design_of <- function(terms, scope, xlevels = NULL, contrasts = NULL) {
  terms <- stats::delete.response(terms)
  written <- as.list(attr(terms, "variables"))[-1L]
  labels <- vapply(written, deparse_line, "")
  read <- as.list(attr(terms, "predvars") %||% attr(terms, "variables"))[-1L]
  classes <- attr(terms, "dataClasses")
  base <- new_base()
  variables <- Map(function(expression, label) {
    list(expression = expression, label = label, class = c(classes[label], NA)[[1L]], levels = xlevels[[label]],
         contrasts = contrasts[[label]])
  }, read, labels)
  codes <- coding_of(terms, variables)
  products <- if (attr(terms, "intercept")) list(integer()) else list()
  for (j in seq_len(ncol(codes))) {
    parts <- list(integer())
    for (i in which(codes[, j] > 0L)) {
      columns <- base_columns(base, variables[[i]], codes[i, j], scope)
      parts <- unlist(lapply(columns, function(column) lapply(parts, c, column)), recursive = FALSE)
    }
    products <- c(products, parts)
  }
  list(blocks = base$blocks, products = products)
}

design_json <- function(design, keep = seq_along(design$products)) {
  json_object(list(blocks = json_listed(design$blocks), products = json_listed(lapply(design$products[keep], json_integers))))
}

# Variables x terms: 0 not in it, 1 by contrasts, 2 by an indicator per level.
coding_of <- function(terms, variables) {
  codes <- attr(terms, "factors")
  if (!length(codes)) return(matrix(0L, length(variables), 0L))
  if (attr(terms, "intercept")) return(codes)
  categorical <- vapply(variables, function(v) length(v$levels) > 0L || identical(v$class, "logical"), NA)
  found <- which(codes > 0L & categorical)
  if (length(found)) codes[found[1L]] <- 2L
  codes
}

new_base <- function() {
  base <- new.env(parent = emptyenv())
  base$blocks <- list()
  base$known <- list()
  base$width <- 0L
  base
}

# 0-based numbers of the base columns that hold a variable in this coding.
base_columns <- function(base, variable, coding, scope) {
  key <- paste(coding, variable$label)
  if (is.null(base$known[[key]])) {
    scope$term <- variable$label
    block <- block_of(variable, coding, scope)
    base$known[[key]] <- base$width + seq_len(block$width) - 1L
    base$blocks <- c(base$blocks, block$json)
    base$width <- base$width + block$width
  }
  base$known[[key]]
}

block_of <- function(variable, coding, scope) {
  e <- variable$expression
  if (length(variable$levels)) return(factor_block(variable, coding, scope))
  name <- if (is.call(e) && is.name(e[[1L]])) as.character(e[[1L]]) else ""
  if (name == "poly") return(poly_block(e, scope))
  if (name == "scale") return(scale_block(e, scope))
  if (grepl("^nmatrix", variable$class %||% "") && is.name(e)) {
    refuse_term(scope, "it is a matrix; give each of its columns a term")
  }
  value <- read_expression(e, scope)
  if (value$type == "logical") {
    table <- coding_table(c("FALSE", "TRUE"), coding, variable)
    return(values_block(value$json, c(0, 1), table))
  }
  if (value$type != "number") refuse_term(scope, paste0("it is ", value$type, ", and the model took it for a number"))
  numbers_block(value$json)
}

numbers_block <- function(json) {
  list(json = json_object(list(kind = "\"numbers\"", expressions = json_listed(json))), width = length(json))
}

values_block <- function(json, values, table) {
  members <- list(kind = "\"values\"", expression = json, values = json_numbers(values), table = tokens_by_row(table))
  list(json = json_object(members), width = ncol(table))
}

# Levels x base columns.
coding_table <- function(levels, coding, variable) {
  if (coding == 2L) return(diag(length(levels)))
  how <- variable$contrasts
  if (is.null(how)) how <- getOption("contrasts")[[if (identical(variable$class, "ordered")) 2L else 1L]]
  if (is.matrix(how)) return(unname(how))
  values <- factor(levels, levels)
  stats::contrasts(values) <- how
  unname(stats::contrasts(values))
}

# A factor of the data; or factor(x) in the formula, of a column of any type.
factor_block <- function(variable, coding, scope) {
  e <- variable$expression
  table <- coding_table(variable$levels, coding, variable)
  if (is.call(e)) {
    plain <- as.character(e[[1L]])[1L] %in% c("factor", "as.factor", "ordered", "as.ordered")
    if (!plain || any(c("labels", "exclude") %in% names(e)) || !is.name(e[[2L]])) {
      refuse_term(scope, "of what makes a factor only factor(x) is known, where x is a column")
    }
    e <- e[[2L]]
    source <- column_of(as.character(e), scope)
    if (source$type != "factor") {
      values <- if (source$type == "logical") as.logical(variable$levels) else as.numeric(variable$levels)
      return(values_block(column_json_of(as.character(e), scope)$json, values, table))
    }
  }
  if (!is.name(e)) refuse_term(scope, "it is text or a factor that is computed")
  name <- as.character(e)
  if (is.null(scope$levels[[name]])) scope$levels[[name]] <- variable$levels
  number <- use_column(name, scope)
  order <- match(scope$columns[[number + 1L]]$levels, variable$levels)
  members <- list(kind = "\"levels\"", column = sprintf("%d", number), table = tokens_by_row(table[order, , drop = FALSE]))
  if (anyNA(order)) refuse_term(scope, "its levels are not those of the column")
  list(json = json_object(members), width = ncol(table))
}

# poly() as it was fitted: by the recurrence of predict.poly(), or plain powers.
poly_block <- function(e, scope) {
  given <- match.call(stats::poly, e)
  if (any(!names(given)[-1L] %in% c("x", "degree", "coefs", "raw", "simple"))) {
    given <- poly_arguments(e, scope)
  }
  x <- read_expression(given$x, scope)
  if (x$type != "number") refuse_term(scope, "poly() of what is not a number")
  if (isTRUE(eval(given$raw, scope$env))) {
    degree <- eval(given$degree, scope$env) %||% 1
    powers <- vapply(seq_len(degree), function(k) call_json("^", x, number_json(k)), "")
    return(numbers_block(powers))
  }
  coefs <- eval(given$coefs, scope$env)
  if (!is.list(coefs) || is.null(coefs$alpha) || is.null(coefs$norm2)) {
    refuse_term(scope, "of poly() the coefficients are not known, or it has several variables")
  }
  members <- list(kind = "\"poly\"", expression = x$json, alpha = json_numbers(coefs$alpha), norms = json_numbers(coefs$norm2))
  list(json = json_object(members), width = length(coefs$alpha))
}

# poly(x, 2): the degree is in the dots.
poly_arguments <- function(e, scope) {
  given <- as.list(e)[-1L]
  named <- if (is.null(names(given))) rep("", length(given)) else names(given)
  bare <- given[named == ""]
  rest <- given[named != ""]
  if (is.null(rest$x)) {
    rest$x <- bare[[1L]]
    bare <- bare[-1L]
  }
  if (is.null(rest$degree) && length(bare)) {
    rest$degree <- bare[[1L]]
    bare <- bare[-1L]
  }
  if (length(bare)) refuse_term(scope, "poly() of several variables")
  rest
}

scale_block <- function(e, scope) {
  given <- match.call(base::scale, e)
  x <- read_expression(given$x, scope)
  if (x$type != "number") refuse_term(scope, "scale() of what is not a number")
  center <- eval(given$center, scope$env)
  by <- eval(given$scale, scope$env)
  for (part in list(center, by)) {
    if (!identical(part, FALSE) && !(is.numeric(part) && length(part) == 1L)) {
      refuse_term(scope, "of scale() the center and the scale are not known")
    }
  }
  if (is.numeric(center)) x <- typed(call_json("-", x, number_json(center)))
  if (is.numeric(by)) x <- typed(call_json("/", x, number_json(by)))
  numbers_block(x$json)
}
