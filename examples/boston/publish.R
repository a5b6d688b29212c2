# Fit a random forest to Boston's housing data and publish it as the service bos-rf, version 1.0.0.
#
#   GRISTMILL_URL=http://127.0.0.1:12800 GRISTMILL_PASSWORD=… Rscript publish.R
suppressPackageStartupMessages(library(randomForest))
source("rest.R")

# The model: median house price as a function of the other variables.
Boston <- MASS::Boston
set.seed(1978)
bos_rf <- randomForest(medv ~ ., data = Boston, ntree = 100)
saveRDS(bos_rf, "bos_rf.rds")
cat(sprintf("fitted randomForest(medv ~ .), %d trees, on %d rows\n", bos_rf$ntree, nrow(Boston)))

# What the service does with a request.
bos_rf_score <- function(inputData) {
    predict(bos_rf, inputData)
}

# The model travels in a session's workspace; a snapshot of the session is what the service is made of.
authorization <- log_in()
session <- answer(httr::POST(paste0(server, "/sessions"), authorization, httr::content_type_json(),
                             body = as_json(list(name = "boston", runtimeType = "R"))))$sessionId
invisible(answer(httr::POST(paste0(server, "/sessions/", session, "/workspace/bos_rf"), authorization,
                            httr::content_type("application/octet-stream"),
                            body = httr::upload_file("bos_rf.rds", type = "application/octet-stream"))))
snapshot <- answer(httr::POST(paste0(server, "/sessions/", session, "/snapshot"), authorization,
                              httr::content_type_json(), body = as_json(list(name = "bos-rf"))))$snapshotId

# A function becomes a block of code: its source, called with the inputs, its value assigned to the output.
code <- sprintf("pred <- (%s)(inputData)", paste(deparse(bos_rf_score), collapse = "\n"))
published <- answer(httr::POST(paste0(server, "/services/bos-rf/1.0.0"), authorization, httr::content_type_json(),
    body = as_json(list(
        runtimeType = "R",
        description = "Median house price in Boston's suburbs, by random forest",
        operationId = "price",
        snapshotId = snapshot,
        initCode = "library(randomForest)",
        code = code,
        inputParameterDefinitions = list(list(name = "inputData", type = "data.frame")),
        outputParameterDefinitions = list(list(name = "pred", type = "vector"))))))
cat("published bos-rf 1.0.0\n")

# The service has its own copy of everything.
invisible(answer(httr::DELETE(paste0(server, "/sessions/", session), authorization)))
invisible(answer(httr::DELETE(paste0(server, "/snapshots/", snapshot), authorization)))
