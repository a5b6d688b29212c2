# rpart: one tree, with the surrogate splits that decide where a value is missing.

export_rpart <- function(model, sample) {
  if (!model$method %in% c("anova", "class", "poisson")) {
    cannot_serialize(paste0("rpart's method '", model$method, "'"), "the server knows anova, class and poisson")
  }
  terms <- stats::delete.response(model$terms)
  xlevels <- attr(model, "xlevels")
  scope <- new_scope(sample, environment(terms), plain_levels(xlevels, terms))
  features <- rpart_features(terms, xlevels, scope)
  frame <- model$frame
  classes <- attr(model, "ylevels")
  values <- if (length(classes)) frame$yval2[, 1L + length(classes) + seq_along(classes), drop = FALSE] else frame$yval
  payload <- c(
    list(kind = json_any("partition"), features = json_listed(features)), rpart_nodes(model, names(features)),
    list(values = tokens_by_row(t(as.matrix(values)), "a prediction")),
    if (length(classes)) list(labels = json_integers(frame$yval - 1L)),
    list(answer = json_any(if (length(classes)) "classes" else "score"))
  )
  predict <- function(rows) {
    if (!length(classes)) return(score_cells(stats::predict(model, rows, type = "vector")))
    labels <- stats::predict(model, rows, type = "class")
    class_cells(stats::predict(model, rows, type = "prob"), classes, labels = labels)
  }
  exported_model(scope, payload, predict, "pass", response = response_of(model$terms), classes = classes)
}

# JSON by the names that the model's splits have.
rpart_features <- function(terms, xlevels, scope) {
  variables <- as.list(attr(terms, "predvars") %||% attr(terms, "variables"))[-1L]
  labels <- vapply(as.list(attr(terms, "variables"))[-1L], deparse_line, "")
  used <- rowSums(attr(terms, "factors") > 0L) > 0L
  features <- Map(function(expression, label) feature_json(expression, label, scope), variables[used], labels[used])
  stats::setNames(features, labels[used])
}

# A variable that trees split by: a number, a truth value, or a factor as it is.
feature_json <- function(expression, label, scope) {
  scope$term <- label
  value <- read_expression(expression, scope)
  if (value$type == "factor" && !is.name(expression)) refuse_term(scope, "it is a factor that is computed")
  value$json
}

rpart_nodes <- function(model, features) {
  frame <- model$frame
  numbers <- as.integer(row.names(frame))
  leaf <- frame$var == "<leaf>"
  child <- function(side) ifelse(leaf, 0L, match(2L * numbers + side, numbers, 0L)) - 1L
  left <- child(0L)
  right <- child(1L)
  uses <- model$control$usesurrogate %||% 2L
  majority <- ifelse(leaf | uses < 2L, 0L, sign(frame$n[pmax(right, 0L) + 1L] - frame$n[pmax(left, 0L) + 1L]))
  before <- c(0L, cumsum((!leaf) + frame$ncompete + frame$nsurrogate))
  if (sum(!leaf) * (1L + max(frame$nsurrogate) * (uses > 0L)) > 2500L) {
    cannot_serialize("a tree of so many splits and surrogates", "a row would take too much memory; prune it")
  }
  tests <- lapply(seq_len(nrow(frame)), function(i) {
    if (leaf[i]) return("[]")
    surrogates <- if (uses > 0L) frame$ncompete[i] + seq_len(frame$nsurrogate[i])
    json_listed(vapply(before[i] + 1L + c(0L, surrogates), rpart_test, "", model = model, features = features))
  })
  list(left = json_integers(left), right = json_integers(right), tests = json_listed(tests), majority = json_integers(majority))
}

rpart_test <- function(row, model, features) {
  split <- model$splits[row, ]
  feature <- match(rownames(model$splits)[row], features)
  if (is.na(feature)) cannot_serialize(paste0("the term '", rownames(model$splits)[row], "'"), "it has several columns")
  members <- list(feature = sprintf("%d", feature - 1L))
  if (abs(split[["ncat"]]) < 2) {
    members$threshold <- json_numbers(split[["index"]], "a threshold")
    members$threshold <- substr(members$threshold, 2L, nchar(members$threshold) - 1L)
    members$direction <- sprintf("%d", as.integer(split[["ncat"]]))
  } else {
    members$directions <- json_integers(model$csplit[split[["index"]], seq_len(split[["ncat"]])] - 2L)
  }
  json_object(members)
}
