# lm and glm: a model matrix, coefficients, offsets, and a link.

export_lm <- function(model, sample) {
  export_linear(model, sample, list(name = json_any("identity")), function(rows) stats::predict(model, rows))
}

export_glm <- function(model, sample) {
  link <- link_json(stats::family(model))
  export_linear(model, sample, link, function(rows) stats::predict(model, rows, type = "response"))
}

export_linear <- function(model, sample, link, predict) {
  if (inherits(model, "mlm")) cannot_serialize("a model with several responses", "an answer has one score")
  terms <- stats::terms(model)
  scope <- new_scope(sample, environment(terms), plain_levels(model$xlevels, terms))
  design <- design_of(terms, scope, model$xlevels, model$contrasts)
  coefficients <- stats::coef(model)
  if (length(coefficients) != length(design$products)) {
    cannot_serialize("this formula", "its model matrix has columns that its terms do not explain")
  }
  keep <- which(!is.na(coefficients)) # those that are not, predict() leaves out
  payload <- list(
    kind = json_any("linear"), design = design_json(design, keep),
    coefficients = json_listed(json_numbers(coefficients[keep])), offsets = json_listed(offsets_of(model, terms, scope)),
    link = json_object(link), answer = json_any("score")
  )
  exported_model(scope, payload, function(rows) score_cells(suppressWarnings(predict(rows))), "pass",
                 response = response_of(terms))
}

# Levels of factors that stand in the formula as they are.
plain_levels <- function(xlevels, terms) xlevels[names(xlevels) %in% all.vars(terms)]

response_of <- function(terms) {
  if (isTRUE(attr(terms, "response") > 0L)) deparse_line(attr(terms, "variables")[[attr(terms, "response") + 1L]])
}

# offset() of the formula, and the argument `offset`.
offsets_of <- function(model, terms, scope) {
  variables <- as.list(attr(terms, "variables"))[-1L]
  expressions <- variables[attr(terms, "offset")]
  if (!is.null(model$call$offset)) expressions <- c(expressions, model$call$offset)
  vapply(expressions, function(e) {
    scope$term <- deparse_line(e)
    value <- read_expression(e, scope)
    if (value$type != "number") refuse_term(scope, "an offset has to be a number")
    value$json
  }, "")
}

known_links <- c("identity", "log", "inverse", "1/mu^2", "sqrt", "logit", "probit", "cauchit", "cloglog")

link_json <- function(family) {
  if (family$link %in% known_links) return(list(name = json_any(family$link)))
  power <- environment(family$linkinv)$lambda
  if (grepl("^mu\\^", family$link) && is.numeric(power) && length(power) == 1L) {
    return(list(name = json_any("power"), power = json_doubles(power)))
  }
  cannot_serialize(paste0("the link '", family$link, "' of the family ", family$family), "the server does not know it")
}
