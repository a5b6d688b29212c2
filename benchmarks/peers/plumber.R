# plumber with both R models, as its documentation shows it. Usage: Rscript plumber.R MODELS PORT
library(plumber)
library(randomForest)

arguments <- commandArgs(trailingOnly = TRUE)
linear <- readRDS(file.path(arguments[1], "linear.rds"))
forest <- readRDS(file.path(arguments[1], "forest.rds"))

pr() |>
  pr_post("/linear", function(inputData) list(prediction = predict(linear, as.data.frame(inputData)))) |>
  pr_post("/forest", function(inputData) list(prediction = predict(forest, as.data.frame(inputData)))) |>
  pr_get("/health", function() list(status = "ready")) |>
  pr_set_docs(FALSE) |>
  pr_run(host = "127.0.0.1", port = as.integer(arguments[2]), quiet = TRUE)
