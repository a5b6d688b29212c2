# Build the model: median house price as a function of the other variables. Run offline, once.
suppressPackageStartupMessages(library(randomForest))

data(Boston, package = "MASS")

set.seed(1978)
bos_rf <- randomForest(medv ~ ., data = Boston, ntree = 100)

# save the model
saveRDS(bos_rf, "bos_rf.rds")
cat("bos_rf.rds: randomForest(medv ~ .),", bos_rf$ntree, "trees, on", nrow(Boston), "rows\n")
