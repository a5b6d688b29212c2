# Which package holds the predict method of a model: a fitted object does not say so itself.

package_of_class <- c(
  randomForest = "randomForest", rpart = "rpart", nnet = "nnet", multinom = "nnet", gbm = "gbm", gam = "mgcv",
  bam = "mgcv", svm = "e1071", naiveBayes = "e1071", train = "caret", ranger = "ranger", ranger.forest = "ranger",
  xgb.Booster = "xgboost", glmnet = "glmnet", cv.glmnet = "glmnet", coxph = "survival", survreg = "survival",
  survfit = "survival", lda = "MASS", qda = "MASS", polr = "MASS", rlm = "MASS", lqs = "MASS", negbin = "MASS",
  ksvm = "kernlab", cforest = "party", ctree = "partykit", party = "partykit", C5.0 = "C50", cubist = "Cubist",
  earth = "earth", mars = "mda", fda = "mda", lme = "nlme", gls = "nlme", nlme = "nlme", lmerMod = "lme4",
  glmerMod = "lme4", kknn = "kknn", ada = "ada", blackboost = "mboost", mboost = "mboost", glmboost = "mboost",
  lgb.Booster = "lightgbm", catboost.Model = "catboost", H2OModel = "h2o", Arima = "stats", ets = "forecast",
  forecast_ARIMA = "forecast", tbats = "forecast", bats = "forecast", nnetar = "forecast", prophet = "prophet",
  plsr = "pls", mvr = "pls", pcr = "pls", loess = "stats", gamlss = "gamlss", betareg = "betareg", zeroinfl = "pscl",
  hurdle = "pscl", clm = "ordinal", vglm = "VGAM", rq = "quantreg", lrm = "rms", ols = "rms", cph = "rms",
  Rforestry = "Rforestry", rfsrc = "randomForestSRC", bart = "dbarts", workflow = "workflows", model_fit = "parsnip",
  recipe = "recipes", knnreg = "caret", knn3 = "caret", preProcess = "caret", dummyVars = "caret", tbl_df = "tibble",
  data.table = "data.table", integer64 = "bit64", Surv = "survival", ns = "splines", bs = "splines", xts = "xts",
  zoo = "zoo", mlogit = "mlogit", felm = "lfe", fixest = "fixest", feglm = "fixest", IRT = "mirt"
)
# Data that are of use without their package.
not_needed <- c("tbl_df", "data.table", "integer64", "Surv", "ns", "bs", "xts", "zoo")

# Functions of formulas that predict() looks for on the search path.
package_of_function <- c(bs = "splines", ns = "splines", Surv = "survival", strata = "survival", rcs = "rms")

attach_packages_of_formula <- function(object, name) {
  used <- all.names(attr(object$terms, "predvars"))
  for (used in intersect(used, names(package_of_function))) {
    if (exists(used, envir = .GlobalEnv, mode = "function")) next
    need_package(package_of_function[used], name, used)
    library(package_of_function[used], character.only = TRUE, warn.conflicts = FALSE, quietly = TRUE)
  }
}

load_packages_of <- function(objects) {
  for (name in names(objects)) {
    object <- objects[[name]]
    if (is.list(object) && inherits(object$terms, "terms")) attach_packages_of_formula(object, name)
    classes <- attr(object, "class")
    if (is.null(classes)) next
    origin <- attr(classes, "package")
    if (isS4(object) && !is.null(origin) && origin != ".GlobalEnv") need_package(origin, name, classes)
    else if (is.list(object) || is.environment(object)) load_packages_of_model(object, classes, name)
  }
}

load_packages_of_model <- function(object, classes, name) {
  known <- package_of_class[classes[classes %in% names(package_of_class)]]
  for (package in known) need_package(package, name, names(known)[known == package][1L])
  if (!length(known) && !has_predict(classes)) for (class in classes) suppressWarnings(requireNamespace(class, quietly = TRUE))
  if (is.list(object) && inherits(object, c("train", "workflow", "model_fit")))
    for (part in c("finalModel", "fit")) {
      inner <- .subset2(object, part)
      if (!is.null(attr(inner, "class")) && is.list(inner)) load_packages_of_model(inner, attr(inner, "class"), name)
    }
}

has_predict <- function(classes) {
  any(vapply(classes, function(class) !is.null(utils::getS3method("predict", class, optional = TRUE)), NA))
}

need_package <- function(package, object, class) {
  if (package %in% loadedNamespaces() || requireNamespace(package, quietly = TRUE)) return(NULL)
  if (class %in% not_needed) return(NULL)
  refuse("object '", object, "' is of class '", class, "', which needs the R package '", package,
         "'; it is not installed on this server")
}
