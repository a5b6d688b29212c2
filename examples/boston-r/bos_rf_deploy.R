# Deploy the model: Rscript bos_rf_deploy.R [version]
#
# A script for mrsdeploy, but for the name of the package. Needs bos_rf.rds, which bos_rf.R makes.
library(gristmill)

bos_rf <- readRDS("bos_rf.rds")
bos_rf_score <- function(inputData) {
    predict(bos_rf, inputData)
}

# The password comes from where the caller keeps it, and never stands in a script.
remoteLogin(Sys.getenv("GRISTMILL_URL", "http://localhost:12800"), username = "admin",
            password = Sys.getenv("GRISTMILL_PASSWORD"), session = FALSE)

version <- c(commandArgs(TRUE), "1.0.0")[1]
api <- publishService("bos-rf", v = version, code = bos_rf_score, model = bos_rf,
                      inputs = list(inputData = "data.frame"), outputs = list(pred = "vector"))
api

# The method has the function's name. The server loads randomForest by itself; here it is for the comparison.
suppressPackageStartupMessages(library(randomForest))
rows <- MASS::Boston[1:10, ]
pred <- api$bos_rf_score(rows)$output("pred")
equal <- identical(pred, unname(predict(bos_rf, rows)))
cat("10 rows scored by the package,", if (equal) "equal bit for bit to predict()" else "NOT equal to predict()", "\n")

# The same twenty rows as two sets, on the server's own time.
batch <- api$batch(list(MASS::Boston[1:10, ], MASS::Boston[11:20, ]), parallelCount = 2)$start()
results <- batch$wait(timeout = 60, every = 0.2)
both <- c(results$execution(1)$output("pred"), results$execution(2)$output("pred"))
equal_batch <- identical(both, unname(predict(bos_rf, MASS::Boston[1:20, ])))
cat("batch of 2 sets of 10 rows:", results$state, "-", if (equal_batch) "equal" else "NOT equal", "\n")

remoteLogout()
if (!equal || !equal_batch) quit(status = 1)
