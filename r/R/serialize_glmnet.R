# glmnet: coefficients for one penalty.

export_glmnet <- function(model, sample, s = NULL) {
  if (inherits(model, "cv.glmnet")) {
    s <- cv_penalty(model, s %||% "lambda.1se")
    model <- model$glmnet.fit
  }
  kind <- class(model)[1L]
  if (!kind %in% c("elnet", "lognet", "multnet", "fishnet", "glmnetfit")) {
    cannot_serialize(paste0("a glmnet of class '", kind, "'"), "the answer is not one score")
  }
  if (isTRUE(model$offset)) cannot_serialize("a glmnet with an offset", "its rows have no column for it")
  if (is.null(s) && length(model$lambda) == 1L) s <- model$lambda
  if (!is.numeric(s) || length(s) != 1L || !is.finite(s)) {
    bad_input("serializeModel() of a glmnet needs s, the one penalty to score with, such as s = 0.01.")
  }
  coefficients <- glmnet_coefficients(model, s)
  used <- which(colSums(coefficients != 0)[-1L] > 0) # the product with a sparse matrix skips the others, even if missing
  scope <- new_scope(sample)
  names <- colnames(coefficients)[-1L]
  design <- plain_design(names, scope)
  products <- c(list(integer()), design$products[used])
  classes <- if (kind %in% c("lognet", "multnet")) model$classnames
  payload <- list(
    kind = json_any("linear"), design = design_json(list(blocks = design$blocks, products = products)),
    coefficients = tokens_by_row(coefficients[, c(1L, used + 1L), drop = FALSE]), link = json_object(glmnet_link(model, kind)),
    answer = json_any(switch(kind, lognet = "binary", multnet = "classes", "score"))
  )
  exported_model(scope, payload, glmnet_scores(model, s, names, classes), "pass", classes = classes)
}

cv_penalty <- function(model, s) {
  if (is.character(s)) s <- model[[match.arg(s, c("lambda.1se", "lambda.min"))]]
  s
}

# Predictors x (intercept, columns).
glmnet_coefficients <- function(model, s) {
  found <- stats::coef(model, s = s)
  if (!is.list(found)) return(t(as.matrix(found)))
  do.call(rbind, lapply(found, function(part) t(as.matrix(part))))
}

glmnet_link <- function(model, kind) {
  if (kind == "glmnetfit") return(link_json(model$family))
  list(name = json_any(switch(kind, elnet = "identity", lognet = "logistic", multnet = "softmax", fishnet = "exp")))
}

glmnet_scores <- function(model, s, names, classes) {
  function(rows) {
    scores <- stats::predict(model, data.matrix(rows)[, names, drop = FALSE], s = s, type = "response")
    if (is.null(classes)) return(score_cells(scores))
    if (length(dim(scores)) == 3L) return(class_cells(matrix(scores, nrow(rows)), classes))
    scores <- as.vector(scores)
    class_cells(cbind(1 - scores, scores), classes, cbind(0.5, scores))
  }
}
