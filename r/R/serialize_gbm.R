# gbm: boosted trees whose nodes have three children: below, above, and missing.

export_gbm <- function(model, sample, n.trees = NULL) {
  n.trees <- gbm_count(model, n.trees)
  levels <- stats::setNames(model$var.levels, model$var.names)
  scope <- new_scope(sample, environment(model$Terms), Filter(is.character, levels))
  features <- lapply(model$var.names, function(name) {
    feature_json(if (name %in% names(sample) || is.null(model$Terms)) as.name(name) else str2lang(name), name, scope)
  })
  classes <- if (model$distribution$name == "multinomial") as.character(model$classes)
  sums <- max(length(classes), 1L)
  payload <- c(
    list(kind = json_any("trees"), features = json_listed(features), compare = json_any("lt")),
    gbm_trees(model, n.trees, sums),
    list(outputs = sprintf("%d", sums), start = json_numbers(rep(model$initF, sums)), link = json_object(gbm_link(model)),
         answer = json_any(if (sums > 1L) "classes" else "score"))
  )
  predict <- function(rows) {
    scores <- suppressWarnings(stats::predict(model, rows, n.trees = n.trees, type = "response"))
    if (sums > 1L) class_cells(scores, classes) else score_cells(scores)
  }
  exported_model(scope, payload, predict, "pass", "missing", response = model$response.name, classes = classes)
}

# As predict() chooses it.
gbm_count <- function(model, n.trees) {
  if (is.null(n.trees)) {
    n.trees <- if (model$train.fraction < 1) suppressMessages(gbm::gbm.perf(model, method = "test", plot.it = FALSE))
    else if (!is.null(model$cv.error)) suppressMessages(gbm::gbm.perf(model, method = "cv", plot.it = FALSE))
    else length(model$train.error)
  }
  if (!is.numeric(n.trees) || length(n.trees) != 1L || !is.finite(n.trees) || n.trees < 1) {
    bad_input("n.trees must be one number of trees.")
  }
  min(as.integer(n.trees), model$n.trees)
}

gbm_link <- function(model) {
  link <- switch(model$distribution$name, bernoulli = , pairwise = "logistic", poisson = "exp", adaboost = "logistic2",
                 multinomial = "softmax", "identity")
  list(name = json_any(link))
}

gbm_trees <- function(model, n.trees, sums) {
  trees <- model$trees[seq_len(n.trees * sums)]
  sizes <- lengths(lapply(trees, `[[`, 1L))
  nodes <- bind_trees(lapply(trees, function(tree) {
    list(inner = tree[[1L]] >= 0L, feature = tree[[1L]], threshold = tree[[2L]], left = tree[[3L]], right = tree[[4L]],
         missing = tree[[5L]])
  }))
  by_levels <- nodes$inner & model$var.type[pmax(nodes$feature, 0L) + 1L] > 0
  set_of <- ifelse(by_levels, as.integer(nodes$threshold) + 1L, NA_integer_)
  used <- sort(unique(set_of[by_levels]))
  sets <- lapply(model$c.splits[used], function(sides) {
    json_object(list(left = json_integers(which(sides == -1) - 1L), right = json_integers(which(sides == 1) - 1L)))
  })
  parts <- trees_json(sizes, nodes, sets, match(set_of, used))
  parts$values <- leaf_values(nodes, nodes$threshold) # of a leaf the field holds its prediction
  if (sums > 1L) parts$targets <- json_integers((seq_along(trees) - 1L) %% sums)
  parts
}
