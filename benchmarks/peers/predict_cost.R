# What `predict` alone costs in an R process, per call. Usage: Rscript predict_cost.R MODELS SECONDS ROWS...
# Prints JSON: {model: {rows: {"cpu_us": ..., "wall_us": ...}}}.
suppressPackageStartupMessages(library(randomForest))
arguments <- commandArgs(trailingOnly = TRUE)
cost <- function(model, frame, seconds) {
  predict(model, frame)
  calls <- 0
  start <- proc.time()
  while ((proc.time() - start)[["elapsed"]] < seconds) {
    predict(model, frame)
    calls <- calls + 1
  }
  used <- proc.time() - start
  sprintf(
    '{"cpu_us":%f,"wall_us":%f}',
    (used[["user.self"]] + used[["sys.self"]]) / calls * 1e6, used[["elapsed"]] / calls * 1e6
  )
}
members <- function(values) paste0("{", paste0('"', names(values), '":', values, collapse = ","), "}")
counts <- arguments[-(1:2)]
costs <- lapply(c(linear = "linear", forest = "forest"), function(name) {
  model <- readRDS(file.path(arguments[1], paste0(name, ".rds")))
  frames <- lapply(as.integer(counts), function(n) MASS::Boston[rep_len(seq_len(506), n), -14])
  members(setNames(lapply(frames, function(frame) cost(model, frame, as.numeric(arguments[2]))), counts))
})
cat(members(costs), "\n")
