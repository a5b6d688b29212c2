# Publish the R models as a user of the package does: Rscript publish.R FOLDER NAME...
# FOLDER has a NAME.rds of each; the services are called r-NAME.
library(gristmill)

arguments <- commandArgs(TRUE)
remoteLogin(Sys.getenv("GRISTMILL_URL"), username = "admin", password = Sys.getenv("GRISTMILL_PASSWORD"), session = FALSE)
for (name in arguments[-1]) {
    model <- readRDS(file.path(arguments[1], paste0(name, ".rds")))
    publishService(paste0("r-", name), v = "1.0.0", code = function(inputData) predict(model, inputData), model = model,
                   inputs = list(inputData = "data.frame"), outputs = list(prediction = "vector"))
}
remoteLogout()
