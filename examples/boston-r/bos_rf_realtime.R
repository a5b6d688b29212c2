# The same model as a realtime service, which the server scores without R: Rscript bos_rf_realtime.R [version]
#
# Needs bos_rf.rds, which bos_rf.R makes.
library(gristmill)

bos_rf <- readRDS("bos_rf.rds")
remoteLogin(Sys.getenv("GRISTMILL_URL", "http://localhost:12800"), username = "admin",
            password = Sys.getenv("GRISTMILL_PASSWORD"), session = FALSE)

# The trees travel with a hundred rows and what predict() makes of them; the server compares before it publishes. Where
# the data that the model was fitted to are at hand, `model = bos_rf` is enough.
suppressPackageStartupMessages(library(randomForest))
version <- c(commandArgs(TRUE), "1.0.0")[1]
model <- serializeModel(bos_rf, sample = MASS::Boston)
api <- publishService("bos-rf-realtime", v = version, model = model, serviceType = "Realtime")
api

rows <- MASS::Boston[1:10, ]
answer <- api$consume(rows)
score <- answer$output("outputData")$Score
equal <- identical(score, unname(predict(bos_rf, rows)))
cat("10 rows scored without R,", if (equal) "equal bit for bit to predict()" else "NOT equal to predict()", "\n")

remoteLogout()
if (!equal) quit(status = 1)
