# nnet and multinom: a model matrix and the weights of units.

export_nnet <- function(model, sample) export_network(model, sample, FALSE, model$lev)

export_multinom <- function(model, sample) {
  if (length(attr(stats::terms(model), "offset"))) cannot_serialize("a multinom with an offset", "its predict() leaves it out")
  export_network(model, sample, TRUE, if (length(model$lev)) model$lev else model$lab)
}

refuse_nnet_matrix <- function(model, sample) {
  cannot_serialize("a network that was fitted to a matrix", "fit it by a formula, which says what its inputs are")
}

export_network <- function(model, sample, intercept, classes) {
  terms <- stats::terms(model)
  scope <- new_scope(sample, environment(terms), plain_levels(model$xlevels, terms))
  design <- design_of(terms, scope, model$xlevels, model$contrasts)
  keep <- if (intercept) seq_along(design$products) else which(lengths(design$products) > 0L)
  outputs <- model$n[3L]
  if (is.null(classes) && outputs != 1L) cannot_serialize("a network with several responses", "an answer has one score")
  if (length(keep) != model$n[1L]) cannot_serialize("this formula", "the network's inputs are not the columns of its terms")
  payload <- c(
    list(kind = json_any("network"), design = design_json(design, keep)), network_weights(model),
    list(answer = json_any(if (is.null(classes)) "score" else if (outputs == 1L) "binary" else "classes"))
  )
  predict <- function(rows) {
    scores <- stats::predict(model, rows, type = if (intercept) "probs" else "raw")
    if (is.null(classes)) return(score_cells(scores))
    if (outputs > 1L) return(class_cells(matrix(scores, nrow(rows)), classes))
    scores <- as.vector(scores)
    class_cells(cbind(1 - scores, scores), classes, cbind(0.5, scores))
  }
  exported_model(scope, payload, predict, "pass", response = response_of(terms), classes = classes)
}

# Weights by unit and source: 0 is the bias, then inputs, hidden units, outputs.
network_weights <- function(model) {
  n <- model$n
  into <- function(unit) {
    weights <- numeric(sum(n) + 1L)
    edges <- seq_len(model$nconn[unit + 2L] - model$nconn[unit + 1L]) + model$nconn[unit + 1L]
    weights[model$conn[edges] + 1L] <- model$wts[edges]
    weights
  }
  inputs <- 1L + seq_len(n[1L])
  hidden <- 1L + n[1L] + seq_len(n[2L])
  inner <- lapply(n[1L] + seq_len(n[2L]), into)
  outer <- lapply(n[1L] + n[2L] + seq_len(n[3L]), into)
  direct <- lapply(outer, `[`, inputs)
  activation <- if (isTRUE(as.logical(model$softmax))) "softmax" else if (model$nsunits < model$nunits) "identity" else "logistic"
  list(
    hidden = json_listed(lapply(inner, function(w) json_numbers(w[c(1L, inputs)]))),
    output = json_listed(lapply(outer, function(w) json_numbers(w[c(1L, hidden)]))),
    skip = if (any(unlist(direct) != 0)) json_listed(lapply(direct, json_numbers)) else "null",
    activation = json_any(activation)
  )
}
