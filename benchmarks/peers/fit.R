# Export MASS::Boston and fit both R models on it. Usage: Rscript fit.R FOLDER
# Writes boston.csv, {linear,forest}.rds, expected.json (the predictions of every row) and versions.json.
folder <- commandArgs(trailingOnly = TRUE)[1]
write.csv(MASS::Boston, file.path(folder, "boston.csv"), row.names = FALSE)
versions <- list(R = paste(R.version$major, R.version$minor, sep = "."))
expected <- list()
keep <- function(name, model) {
  saveRDS(model, file.path(folder, paste0(name, ".rds")))
  expected[[name]] <<- unname(predict(model, MASS::Boston))
}
keep("linear", lm(medv ~ ., MASS::Boston))
if (requireNamespace("randomForest", quietly = TRUE)) {
  set.seed(1)
  keep("forest", randomForest::randomForest(medv ~ ., MASS::Boston, ntree = 100))
}
for (package in c("randomForest", "plumber", "jsonlite", "httpuv")) {
  if (requireNamespace(package, quietly = TRUE)) versions[[package]] <- as.character(packageVersion(package))
}
numbers <- function(values) paste0("[", paste(sprintf("%.17g", values), collapse = ","), "]")
members <- function(values) paste0("{", paste0('"', names(values), '":', values, collapse = ","), "}")
writeLines(members(lapply(expected, numbers)), file.path(folder, "expected.json"))
writeLines(members(lapply(versions, dQuote, FALSE)), file.path(folder, "versions.json"))
