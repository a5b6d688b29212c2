# Score two sets of ten of Boston's rows through the service bos-rf as a batch, and compare with predict() here.
#
# Run publish.R first: the comparison reads the model that it saved.
suppressPackageStartupMessages(library(randomForest))
source("rest.R")

authorization <- log_in()
service <- paste0(server, "/api/bos-rf/1.0.0")
sets <- list(MASS::Boston[1:10, ], MASS::Boston[11:20, ])

# Two items, of which two run at a time. The answer says where the batch is; by then the server has it for good.
started <- httr::POST(paste0(service, "/batch?parallelCount=2"), authorization, httr::content_type_json(),
                      body = as_json(lapply(sets, function(rows) list(inputData = rows))))
batch <- paste0(server, httr::headers(started)$location)
cat("accepted as", answer(started)$batchExecutionId, "\n")

repeat {
    now <- answer(httr::GET(paste0(batch, "?showPartialResults=true"), authorization))
    cat(sprintf("%s: %d of %d\n", now$state, now$completedItemCount, now$totalItemCount))
    if (now$state == "Complete") break
    if (now$state == "Failed") stop(now$message)
    Sys.sleep(0.2)
}

# The results stand in the order of the sets.
results <- now$batchExecutionResults
if (!all(results$success)) stop(results$errorMessage)
served <- results$outputParameters$pred
model <- readRDS("bos_rf.rds")
local <- lapply(sets, function(rows) unname(predict(model, rows)))

print(data.frame(set = rep(1:2, each = 10), served = unlist(served), local = unlist(local)), digits = 10)
equal <- identical(served, local)
cat(sprintf("2 sets of 10 rows scored as a batch, %s\n",
            if (equal) "equal bit for bit to predict()" else "NOT equal to predict()"))

invisible(answer(httr::DELETE(batch, authorization)))
if (!equal) quit(status = 1)
