# Rows that go with a model: the server compares its scores of them with R's.

most_sample_rows <- 100L

sample_frame <- function(sample) {
  if (is.matrix(sample)) sample <- as.data.frame(sample)
  if (!is.data.frame(sample) || !nrow(sample)) {
    bad_input("sample must be a data frame with rows of the model's inputs, as predict() takes them.")
  }
  as.data.frame(sample)
}

# The data that the model was fitted to: the model frame if it holds the variables themselves; else what the call names,
# as the formula or whoever called sees it.
sample_of_model <- function(model, family, caller) {
  terms <- model$terms %||% model$Terms
  wanted <- if (!is.null(terms)) all.vars(stats::delete.response(terms))
  frame <- if (inherits(model$model, "data.frame")) model$model
  if (!is.null(frame) && length(wanted) && all(wanted %in% names(frame))) return(frame)
  given <- call_of_model(model, family)
  for (argument in c("data", "x")) {
    for (place in list(environment(terms), caller)) {
      value <- tryCatch(eval(given[[argument]], place), error = function(condition) NULL)
      if ((is.data.frame(value) || is.matrix(value)) && all(wanted %in% colnames(value))) return(value)
    }
  }
  bad_input("the data that the model was fitted to are not there any more: pass some rows of its inputs as `sample`.")
}

# Arguments of the call that fitted a model, with their names.
call_of_model <- function(model, family) {
  call <- model$call %||% model$glmnet.fit$call
  if (is.name(call[[1L]])) {
    fit <- get0(as.character(call[[1L]]), asNamespace(family$package), mode = "function")
    if (!is.null(fit)) call <- tryCatch(match.call(fit, call), error = function(condition) call)
  }
  as.list(call)
}

# At most 100 rows, with the columns and the levels that the service has; some of them with a value missing, where the
# model allows that.
sample_rows <- function(sample, columns) {
  chosen <- unique(round(seq(1, nrow(sample), length.out = min(nrow(sample), 80L))))
  rows <- lapply(columns, function(column) as_column(sample[[column$name]][chosen], column))
  rows <- list2frame(stats::setNames(rows, vapply(columns, `[[`, "", "name")))
  usable <- rep(TRUE, nrow(rows))
  for (column in columns) {
    values <- rows[[column$name]]
    if (is.numeric(values)) usable <- usable & !is.infinite(values)
    if (column$missing == "refuse") usable <- usable & !is.na(values)
  }
  rows <- rows[usable, , drop = FALSE]
  if (!nrow(rows)) bad_input("sample has no row that the model can score: all have missing or infinite values.")
  with_missing(rows, columns)
}

list2frame <- function(columns) as.data.frame(columns, optional = TRUE, stringsAsFactors = FALSE)

as_column <- function(values, column) {
  switch(column$type, factor = factor(as.character(values), column$levels, ordered = isTRUE(column$ordered)),
         logical = as.logical(values), as.double(values))
}

with_missing <- function(rows, columns) {
  open <- which(vapply(columns, function(column) column$missing == "pass", NA))
  open <- utils::head(open, most_sample_rows - 80L)
  if (!length(open)) return(rows)
  more <- rows[rep_len(seq_len(nrow(rows)), length(open)), , drop = FALSE]
  for (i in seq_along(open)) more[[open[i]]][i] <- NA
  rows <- rbind(rows, more)
  row.names(rows) <- NULL
  rows
}

# Scores as columns of an answer.
score_cells <- function(scores) list(Score = as.double(scores))

# A label is the class that ranks first; `ranks` are the probabilities unless they are given.
class_cells <- function(probabilities, classes, ranks = probabilities, labels = NULL) {
  probabilities <- matrix(as.double(probabilities), ncol = length(classes))
  if (is.null(labels)) {
    ranks <- matrix(as.double(ranks), ncol = length(classes))
    labels <- classes[apply(ranks, 1L, function(row) if (anyNA(row)) NA_integer_ else which.max(row))]
  }
  cells <- lapply(seq_along(classes), function(k) probabilities[, k])
  c(list(PredictedLabel = as.character(labels)), stats::setNames(cells, paste0("Probability.", classes)))
}
