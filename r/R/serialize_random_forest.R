# randomForest: its trees, with the counts of their votes.

export_random_forest <- function(model, sample) {
  forest <- model$forest
  if (is.null(forest) || !model$type %in% c("regression", "classification")) {
    cannot_serialize("a forest without its trees, or without a response", "it does not predict (see keep.forest)")
  }
  names <- forest_variables(model)
  by_formula <- inherits(model, "randomForest.formula")
  xlevels <- Filter(is.character, forest$xlevels)
  scope <- new_scope(sample, levels = xlevels)
  columns <- lapply(names, function(name) column_json_of(name, scope))
  trees <- forest_trees(model, scope)
  classes <- if (model$type == "classification") as.character(model$classes)
  payload <- c(
    list(kind = json_any("trees"), features = json_list(lapply(columns, `[[`, "json")), compare = json_any("leq")),
    trees, list(divide = sprintf("%d", forest$ntree), null_rows = "true"),
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
    weighed <- sweep(votes, 2L, model$forest$cutoff, "/")
    labels <- classes[apply(weighed, 1L, function(row) c(which.max(row), NA)[1L])]
    class_cells(votes, classes, labels)
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

# Nodes of all trees, one after another; children are numbered within their tree.
forest_trees <- function(model, scope) {
  forest <- model$forest
  regression <- model$type == "regression"
  nodes <- do.call(Map, c(list(c), lapply(seq_len(forest$ntree), forest_tree, forest = forest, regression = regression)))
  inner <- nodes$inner
  ncat <- forest$ncat[nodes$feature + 1L]
  levels <- lengths(lapply(scope$columns, `[[`, "levels"))
  ordered <- inner & levels[nodes$feature + 1L] > 0L & ncat == 1L
  threshold <- nodes$threshold - ordered # codes count from 0 here, from 1 there
  sets <- which(inner & ncat > 1L)
  split <- rep(-1L, length(inner))
  split[sets] <- seq_along(sets) - 1L
  threshold[!inner | split >= 0L] <- 0
  members <- lapply(sets, function(node) {
    left <- which(bits_of(nodes$threshold[node], ncat[node])) - 1L
    json_object(list(left = json_integers(left)))
  })
  list(
    sizes = json_integers(forest$ndbigtree), feature = json_integers(ifelse(inner, nodes$feature, -1L)),
    threshold = json_numbers(threshold, "a threshold"), left = json_integers(ifelse(inner, nodes$left, -1L)),
    right = json_integers(ifelse(inner, nodes$right, -1L)), split = if (length(sets)) json_integers(split) else "null",
    splits = json_list(members),
    values = if (regression) json_list(json_numbers(ifelse(inner, 0, nodes$value), "a prediction")) else "null",
    labels = if (regression) "null" else json_integers(ifelse(inner, 0L, nodes$value - 1L)),
    outputs = if (regression) "1" else sprintf("%d", forest$nclass)
  )
}

forest_tree <- function(k, forest, regression) {
  rows <- seq_len(forest$ndbigtree[k])
  left <- if (is.null(forest$treemap)) forest$leftDaughter[rows, k] else forest$treemap[rows, 1L, k]
  right <- if (is.null(forest$treemap)) forest$rightDaughter[rows, k] else forest$treemap[rows, 2L, k]
  inner <- left > 0L & forest$nodestatus[rows, k] != -1L
  list(
    inner = inner, feature = ifelse(inner, forest$bestvar[rows, k], 1L) - 1L, threshold = forest$xbestsplit[rows, k],
    left = left - 1L, right = right - 1L, value = forest$nodepred[rows, k]
  )
}

# Bits of a whole double, the lowest first.
bits_of <- function(x, count) x %/% 2^(seq_len(count) - 1L) %% 2 == 1
