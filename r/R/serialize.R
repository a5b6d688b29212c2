#' Serialize a model for a realtime service
#'
#' @description
#' Turns a fitted model into the form that a realtime service takes: coefficients or trees, which the server scores
#' itself, without R. Pass the result to [publishService()] with `serviceType = "Realtime"`, or write it into a file with
#' [writeBin()]. `publishService()` does this by itself for a fitted model.
#'
#' @details
#' | model | what |
#' |---|---|
#' | `lm`, `glm` | all families and links of R's own; predictions as of `type = "response"` |
#' | `randomForest`, `ranger` | regression, classification, probabilities; no survival |
#' | `rpart` | anova, class, poisson; surrogate splits as R takes them |
#' | `gbm` | all its distributions; as of `type = "response"` |
#' | `nnet`, `multinom` | fitted by a formula |
#' | `glmnet`, `cv.glmnet` | gaussian, binomial, multinomial, poisson, and families of `glm`; for one `s` |
#' | `lda` of MASS | the default method, "plug-in" |
#'
#' Formulas may have factors with any contrasts, interactions, `I()`, arithmetic, comparisons, `exp()`, `log()`, `sqrt()`
#' and their like, `poly()`, `scale()`, `factor()` and `offset()`. For what is not scored exactly, such as splines or
#' functions of your own, there is an error of class `gristmill_not_supported` that names the term: publish such a model
#' as a standard service.
#'
#' The rows of `sample`, at most 100 of them, go along with the scores that R's [predict()] gives them. When the model is
#' published, the server scores them by itself and refuses the model if its scores differ.
#'
#' Ties between classes go to the first of them; `predict()` of randomForest draws one.
#'
#' @param model A fitted model.
#' @param sample A data frame with rows of the model's inputs, as `predict()` takes them. Where it is not given, the data
#'   that the model was fitted to are looked up.
#' @param ... For `gbm`: `n.trees`, as of its `predict()`.
#' @param s For `glmnet`: the penalty; for `cv.glmnet` also `"lambda.1se"` (the default) or `"lambda.min"`.
#' @return Raw bytes.
#' @seealso [publishService()]
#' @examples
#' cars_lm <- lm(mpg ~ log(hp) * factor(cyl) + poly(wt, 2), data = mtcars)
#' bytes <- serializeModel(cars_lm, sample = mtcars)
#' rawToChar(bytes[1:4])
#' @export
serializeModel <- function(model, sample = NULL, ..., s = NULL) {
  serialized(model, sample, parent.frame(), c(list(...), if (!is.null(s)) list(s = s)))
}

#' @rdname serializeModel
#' @export
rxSerializeModel <- serializeModel

# `caller` is where the data that the model was fitted to may be found.
serialized <- function(model, sample = NULL, caller = globalenv(), options = list()) {
  family <- exporter_of(model)
  if (is.null(sample)) sample <- sample_of_model(model, family, caller)
  sample <- sample_frame(sample)
  check_options(options, family$export)
  exported <- do.call(family$export, c(list(model, sample), options))
  rows <- sample_rows(sample, exported$columns)
  expected <- exported$predict(rows)
  container_bytes(description_json(exported, family$package, class(model)[1L], rows, expected), exported$payload)
}

check_options <- function(options, export) {
  known <- names(formals(export))[-(1:2)]
  odd <- setdiff(if (length(options)) names(options) %||% "", known)
  if (!length(odd)) return(invisible())
  bad_input("serializeModel() does not know the argument '", odd[1L], "' for this model",
            if (length(known)) paste0("; it takes ", toString(known)), ".")
}

# Class of model → the package that fits it, and what exports it.
exporters <- function() {
  glmnet <- list(package = "glmnet", export = export_glmnet)
  list(
    glm = list(package = "stats", export = export_glm),
    negbin = list(package = "MASS", export = export_glm),
    lm = list(package = "stats", export = export_lm),
    aov = list(package = "stats", export = export_lm),
    randomForest = list(package = "randomForest", export = export_random_forest),
    randomForest.formula = list(package = "randomForest", export = export_random_forest),
    rpart = list(package = "rpart", export = export_rpart), gbm = list(package = "gbm", export = export_gbm),
    nnet.formula = list(package = "nnet", export = export_nnet), nnet = list(package = "nnet", export = refuse_nnet_matrix),
    multinom = list(package = "nnet", export = export_multinom), lda = list(package = "MASS", export = export_lda),
    ranger = list(package = "ranger", export = export_ranger), glmnet = glmnet, elnet = glmnet, lognet = glmnet,
    multnet = glmnet, fishnet = glmnet, glmnetfit = glmnet, mrelnet = glmnet, coxnet = glmnet, cv.glmnet = glmnet
  )
}

# By the first class alone: a class that only inherits from `lm` may predict in a way of its own.
exporter_of <- function(model) {
  found <- exporters()[[class(model)[1L]]]
  if (is.null(found)) cannot_serialize(paste0("a model of class '", class(model)[1L], "'"), "the server does not know it")
  if (!requireNamespace(found$package, quietly = TRUE)) {
    bad_input("serializeModel() needs the package ", found$package, ", which fitted the model.")
  }
  found
}

can_serialize <- function(model) !is.null(exporters()[[class(model)[1L]]])

cannot_serialize <- function(what, why) {
  abort("gristmill_not_supported", paste0(what, " cannot be scored without R: ", why, "."),
        "Publish the model as a standard service: serviceType = \"Script\", with code that calls predict().")
}

# What an exporter returns: columns of the service, JSON for the server, and R's own predictions of rows.
exported_model <- function(scope, payload, predict, missing, unseen = "refuse", response = NULL, classes = NULL) {
  columns <- lapply(scope$columns, function(column) {
    c(column, list(missing = missing, unseen = if (column$type == "factor") unseen else "refuse"))
  })
  if (!length(columns)) bad_input("the model has no inputs: its prediction is a constant.")
  list(columns = columns, payload = json_object(c(list(format = "1"), payload)), predict = predict, response = response,
       classes = classes)
}

description_json <- function(exported, package, class, rows, expected) {
  packages <- list()
  packages[[package]] <- json_any(as.character(utils::packageVersion(package)))
  origin <- list(
    language = json_any(paste("R", getRversion())), model = json_any(class), packages = json_object(packages)
  )
  members <- list(
    format = "1", payload = json_any("r"),
    task = json_any(if (is.null(exported$classes)) "regression" else "classification"),
    origin = json_object(origin),
    response = if (length(exported$response)) json_any(exported$response[1L]),
    columns = json_listed(lapply(exported$columns, column_json)),
    classes = if (!is.null(exported$classes)) json_array(exported$classes, "the classes"),
    sample = json_object(list(columns = json_cells(rows), expected = json_cells(expected)))
  )
  json_object(members[!vapply(members, is.null, NA)])
}

column_json <- function(column) {
  members <- lapply(column[c("name", "type", "missing", "unseen")], json_any)
  if (column$type == "factor") members$levels <- json_array(column$levels, "the levels")
  json_object(members)
}
