# Call the service from an R that has no gristmill: httr and jsonlite alone. Rscript consume.R [version]
library(httr)
url <- Sys.getenv("GRISTMILL_URL", "http://localhost:12800")
version <- c(commandArgs(TRUE), "1.0.0")[1]

# obtain an authentication token from the server
response <- POST(paste0(url, "/login"), encode = "json",
    body = list(username = "admin", password = Sys.getenv("GRISTMILL_PASSWORD")))
stop_for_status(response, "log in")
token <- content(response)$access_token

# do the prediction, passing input values in the request body
bos_json <- jsonlite::toJSON(list(inputData = MASS::Boston[1:10, ]), dataframe = "columns", digits = NA)
response <- POST(paste0(url, "/api/bos-rf/", version), content_type_json(),
    add_headers(Authorization = paste0("Bearer ", token)), body = bos_json)
if (http_error(response)) stop(content(response)$message)
answer <- content(response, "text", encoding = "UTF-8")
answer <- jsonlite::fromJSON(answer)
if (!answer$success) stop(answer$errorMessage)
pred <- answer$outputParameters$pred
print(pred)

# Who has the model can compare.
if (file.exists("bos_rf.rds")) {
    suppressPackageStartupMessages(library(randomForest))
    equal <- identical(pred, unname(predict(readRDS("bos_rf.rds"), MASS::Boston[1:10, ])))
    cat("10 rows scored by httr,", if (equal) "equal bit for bit to predict()" else "NOT equal to predict()", "\n")
    if (!equal) quit(status = 1)
}
