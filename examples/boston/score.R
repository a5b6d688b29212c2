# Score Boston's first ten rows through the service bos-rf, compare with predict() here, and see an error.
#
# Run publish.R first: the comparison reads the model that it saved.
suppressPackageStartupMessages(library(randomForest))
source("rest.R")

authorization <- log_in()
service <- paste0(server, "/api/bos-rf/1.0.0")
rows <- MASS::Boston[1:10, ]

result <- answer(httr::POST(service, authorization, httr::content_type_json(),
                            body = as_json(list(inputData = rows))))
if (!result$success) stop(result$errorMessage)
served <- result$outputParameters$pred
local <- unname(predict(readRDS("bos_rf.rds"), rows))

print(data.frame(medv = rows$medv, served = served, local = local), digits = 10)
equal <- identical(served, local)
cat(sprintf("10 rows scored over REST, %s\n", if (equal) "equal bit for bit to predict()" else "NOT equal to predict()"))

# What goes wrong inside the service's code comes back as data: the runtime's own message.
wrong <- answer(httr::POST(service, authorization, httr::content_type_json(),
                           body = as_json(list(inputData = rows[names(rows) != "lstat"]))))
cat("without the column lstat: success is", wrong$success, "\n")
cat(paste0("  ", strsplit(wrong$errorMessage, "\n")[[1]], "\n"), sep = "")

if (!equal || wrong$success) quit(status = 1)
