# Both R models as files for realtime services. Usage: Rscript serialize.R FOLDER LIBRARY
arguments <- commandArgs(trailingOnly = TRUE)
library(gristmill, lib.loc = arguments[2])
suppressPackageStartupMessages(library(randomForest))
sample <- head(MASS::Boston[setdiff(names(MASS::Boston), "medv")], 100)
for (name in c("linear", "forest")) {
  model <- readRDS(file.path(arguments[1], paste0(name, ".rds")))
  writeBin(serializeModel(model, sample), file.path(arguments[1], paste0(name, ".blob")))
}
