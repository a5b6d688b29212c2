# lda of MASS: discriminants, and posterior probabilities by the method "plug-in".

export_lda <- function(model, sample) {
  terms <- model$terms
  scope <- new_scope(sample, if (is.null(terms)) globalenv() else environment(terms), plain_levels(model$xlevels, terms))
  design <- if (is.null(terms)) plain_design(colnames(model$means), scope)
  else design_of(terms, scope, model$xlevels, model$contrasts)
  keep <- which(lengths(design$products) > 0L)
  if (length(keep) != ncol(model$means)) cannot_serialize("this formula", "its model matrix has other columns than the model")
  means <- colSums(model$prior * model$means)
  used <- seq_along(model$svd)
  centers <- (scale(model$means, center = means, scale = FALSE) %*% model$scaling)[, used, drop = FALSE]
  payload <- list(
    kind = json_any("discriminant"), design = design_json(design, keep), means = json_numbers(means),
    scaling = tokens_by_row(t(model$scaling[, used, drop = FALSE])), centers = tokens_by_row(centers),
    constants = json_numbers(0.5 * rowSums(centers^2) - log(model$prior)), answer = json_any("classes")
  )
  classes <- names(model$prior)
  predict <- function(rows) {
    if (is.null(terms)) rows <- data.matrix(rows)
    class_cells(suppressWarnings(stats::predict(model, rows))$posterior, classes)
  }
  exported_model(scope, payload, predict, "pass", response = response_of(terms), classes = classes)
}

# A matrix of the service's columns as they are.
plain_design <- function(names, scope) {
  if (is.null(names)) cannot_serialize("a model whose inputs have no names", "name the columns of the matrix that you fit it to")
  columns <- lapply(names, column_json_of, scope)
  other <- vapply(columns, function(column) !column$type %in% c("number", "logical"), NA)
  if (any(other)) bad_input("column '", names[other][1L], "' of sample is not numeric, and the model was fitted to numbers.")
  block <- numbers_block(vapply(columns, `[[`, "", "json"))
  list(blocks = list(block$json), products = as.list(seq_along(names) - 1L))
}
