# randomForest: its trees, with the counts of their votes.

export_random_forest <- function(model, sample) {
  forest <- model$forest
  if (is.null(forest) || !model$type %in% c("regression", "classification")) {
    cannot_serialize("a forest without its trees, or without a response", "it does not predict (see keep.forest)")
  }
  by_formula <- inherits(model, "randomForest.formula")
  scope <- new_scope(sample, levels = Filter(is.character, forest$xlevels))
  columns <- lapply(forest_variables(model), column_json_of, scope)
  classes <- if (model$type == "classification") as.character(model$classes)
  payload <- c(
    list(kind = json_any("trees"), features = json_listed(lapply(columns, `[[`, "json")), compare = json_any("leq")),
    forest_trees(model, scope), list(divide = sprintf("%d", as.integer(forest$ntree)), null_rows = "true"),
    if (length(classes)) list(cutoff = json_numbers(forest$cutoff), answer = json_any("classes"))
    else list(answer = json_any("score"), calibration = if (length(model$coefs)) json_numbers(model$coefs) else "null")
  )
  exported_model(scope, payload, random_forest_scores(model, classes), if (by_formula) "pass" else "refuse",
                 response = if (by_formula) response_of(model$terms), classes = classes)
}

# Scores of the rows. A tie goes to the first class, where randomForest would draw one.
random_forest_scores <- function(model, classes) {
  function(rows) {
    if (is.null(classes)) return(score_cells(stats::predict(model, rows)))
    votes <- unclass(stats::predict(model, rows, type = "prob"))
    class_cells(votes, classes, sweep(votes, 2L, model$forest$cutoff, "/"))
  }
}

forest_variables <- function(model) {
  names <- if (is.null(dim(model$importance))) names(model$importance) else rownames(model$importance)
  if (inherits(model, "randomForest.formula")) {
    computed <- setdiff(names, all.vars(model$terms))
    if (length(computed)) cannot_serialize(paste0("the term '", computed[1L], "'"), "a forest takes columns as they are")
  }
  names
}

forest_trees <- function(model, scope) {
  forest <- model$forest
  nodes <- bind_trees(lapply(seq_len(forest$ntree), forest_tree, forest = forest))
  ncat <- forest$ncat[nodes$feature + 1L]
  packed <- nodes$threshold
  ordered <- coded_features(scope, nodes$feature) & ncat == 1L
  nodes$threshold <- packed - ordered # codes count from 0 here, from 1 there
  sets <- which(nodes$inner & ncat > 1L)
  members <- lapply(sets, function(node) {
    json_object(list(left = json_integers(which(bits_of(packed[node], ncat[node])) - 1L)))
  })
  trees <- trees_json(forest$ndbigtree, nodes, members, match(seq_along(ncat), sets))
  if (model$type == "regression") return(c(trees, list(values = leaf_values(nodes, nodes$value), outputs = "1")))
  labels <- json_integers(ifelse(nodes$inner, 0L, nodes$value - 1L))
  c(trees, list(labels = labels, outputs = sprintf("%d", as.integer(forest$nclass))))
}

forest_tree <- function(k, forest) {
  rows <- seq_len(forest$ndbigtree[k])
  left <- if (is.null(forest$treemap)) forest$leftDaughter[rows, k] else forest$treemap[rows, 1L, k]
  right <- if (is.null(forest$treemap)) forest$rightDaughter[rows, k] else forest$treemap[rows, 2L, k]
  inner <- left > 0L & forest$nodestatus[rows, k] != -1L
  list(
    inner = inner, feature = ifelse(inner, forest$bestvar[rows, k], 1L) - 1L, threshold = forest$xbestsplit[rows, k],
    left = left - 1L, right = right - 1L, value = forest$nodepred[rows, k]
  )
}
