# ranger: forests; of class probabilities, too.

export_ranger <- function(model, sample) {
  forest <- model$forest
  if (is.null(forest)) cannot_serialize("a forest without its trees", "it does not predict (see write.forest)")
  if (!forest$treetype %in% c("Regression", "Classification", "Probability estimation")) {
    cannot_serialize(paste0("ranger's forest of type '", forest$treetype, "'"), "the answer is not one score")
  }
  if (length(unlist(forest$nan_go_right))) cannot_serialize("a forest that learned from missing values", "the server does not know how")
  names <- forest$independent.variable.names
  levels <- Filter(Negate(is.null), stats::setNames(as.list(forest$covariate.levels), names(forest$covariate.levels)))
  scope <- new_scope(sample, levels = levels)
  features <- lapply(names, column_json_of, scope)
  classes <- ranger_classes(forest)
  payload <- c(
    list(kind = json_any("trees"), features = json_listed(lapply(features, `[[`, "json")), compare = json_any("leq")),
    ranger_trees(forest, scope, classes), list(divide = sprintf("%d", as.integer(forest$num.trees))),
    list(answer = json_any(if (length(classes)) "classes" else "score"))
  )
  exported_model(scope, payload, ranger_scores(model, classes), "refuse", if (length(levels)) "missing" else "refuse",
                 response = model$dependent.variable.name, classes = classes)
}

ranger_classes <- function(forest) {
  if (forest$treetype == "Regression") return(NULL)
  present <- sort(forest$class.values)
  if (is.null(forest$levels)) as.character(present) else forest$levels[present]
}

# Of a forest of votes their shares are the probabilities; a tie goes to the first class.
ranger_scores <- function(model, classes) {
  forest <- model$forest
  function(rows) {
    predicted <- function(...) stats::predict(model, data = rows, num.threads = 1L, ...)$predictions
    if (is.null(classes)) return(score_cells(predicted()))
    if (forest$treetype != "Classification") return(class_cells(matrix(predicted(), nrow(rows)), classes))
    votes <- matrix(predicted(predict.all = TRUE), nrow(rows))
    present <- sort(forest$class.values)
    class_cells(vapply(present, function(class) rowMeans(votes == class), numeric(nrow(rows))), classes)
  }
}

ranger_trees <- function(forest, scope, classes) {
  nodes <- bind_trees(lapply(seq_len(forest$num.trees), ranger_tree, forest = forest))
  sizes <- lengths(forest$split.varIDs)
  coded <- nodes$inner & coded_features(scope, nodes$feature)
  unordered <- nodes$inner & !forest$is.ordered[nodes$feature + 1L]
  packed <- nodes$threshold
  nodes$threshold <- packed - coded # codes count from 0 here, from 1 there
  sets <- which(unordered)
  members <- lapply(sets, function(node) {
    levels <- length(scope$columns[[nodes$feature[node] + 1L]]$levels)
    if (levels > 52L) cannot_serialize("a split of more than 52 unordered levels", "its number is not exact")
    json_object(list(left = json_integers(which(!bits_of(floor(packed[node]), levels)) - 1L)))
  })
  trees <- trees_json(sizes, nodes, members, match(seq_along(packed), sets))
  trees$outputs <- sprintf("%d", max(length(classes), 1L))
  present <- sort(forest$class.values)
  if (is.null(classes)) {
    trees$values <- leaf_values(nodes, packed)
  } else if (forest$treetype == "Classification") {
    trees$labels <- json_integers(ifelse(nodes$inner, 1L, match(packed, present)) - 1L)
  } else {
    counts <- unlist(forest$terminal.class.counts, recursive = FALSE)
    trees$values <- json_listed(lapply(match(present, forest$class.values), function(k) {
      values <- vapply(counts, function(count) if (length(count)) count[k] else 0, 0)
      json_numbers(ifelse(nodes$inner, 0, values), "a probability")
    }))
  }
  trees
}

ranger_tree <- function(k, forest) {
  children <- forest$child.nodeIDs[[k]]
  inner <- children[[1L]] > 0 | children[[2L]] > 0
  list(inner = inner, feature = as.integer(ifelse(inner, forest$split.varIDs[[k]], 0)), threshold = forest$split.values[[k]],
       left = children[[1L]], right = children[[2L]])
}
