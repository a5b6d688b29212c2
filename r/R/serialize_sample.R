# Rows that go with a model: the server compares its scores of them with R's.

most_sample_rows <- 100L

sample_frame <- function(sample) {
  if (is.matrix(sample)) sample <- as.data.frame(sample)
  if (!is.data.frame(sample) || !nrow(sample)) {
    bad_input("sample must be a data frame with rows of the model's inputs, as predict() takes them.")
  }
  as.data.frame(sample)
}

# The data that the model was fitted to: the model frame if it holds the variables themselves; else what the call names.
sample_of_model <- function(model) {
  terms <- tryCatch(stats::delete.response(stats::terms(model)), error = function(condition) NULL)
  wanted <- all.vars(terms)
  frame <- if (inherits(model$model, "data.frame")) model$model
  if (!is.null(frame) && length(wanted) && all(wanted %in% names(frame))) return(frame)
  data <- model_call_value(model, "data", terms)
  if (is.data.frame(data)) return(data)
  x <- model_call_value(model, "x", terms)
  if (is.matrix(x) || is.data.frame(x)) return(x)
  bad_input("the data that the model was fitted to are not there any more: pass some rows of its inputs as `sample`.")
}

model_call_value <- function(model, argument, terms) {
  expression <- as.list(model$call)[[argument]]
  if (is.null(expression)) return(NULL)
  place <- if (is.null(terms)) globalenv() else environment(terms) %||% globalenv()
  tryCatch(eval(expression, place), error = function(condition) NULL)
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

class_cells <- function(probabilities, classes, labels = NULL) {
  probabilities <- matrix(as.double(probabilities), ncol = length(classes))
  if (is.null(labels)) labels <- classes[apply(probabilities, 1L, function(row) c(which.max(row), NA)[1L])]
  cells <- stats::setNames(
    lapply(seq_along(classes), function(k) probabilities[, k]), paste0("Probability.", classes)
  )
  c(list(PredictedLabel = as.character(labels)), cells)
}
