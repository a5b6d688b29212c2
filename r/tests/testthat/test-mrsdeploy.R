# The functions of mrsdeploy 1.1.3, with their arguments and defaults.
reference <- alist(
  configureServicePool = function(name, version, initialPoolSize = 0, maxPoolSize = 0) NULL,
  deleteServicePool = function(name, version) NULL,
  getPoolStatus = function(name, version) NULL,
  createSnapshot = function(name) NULL,
  deleteRemoteFile = function(filename) NULL,
  deleteService = function(name, v) NULL,
  deleteSnapshot = function(snapshot_id) NULL,
  diffLocalRemote = function() NULL,
  downloadSnapshot = function(snapshot_id, file = NULL) NULL,
  getValidatedServiceType = function(type) NULL,
  getRemoteFile = function(filename, as = "text") NULL,
  getRemoteObject = function(obj, name = NULL) NULL,
  getRemoteWorkspace = function() NULL,
  getService = function(name, v = character(0), destination = NULL) NULL,
  listRemoteFiles = function() NULL,
  listServices = function(name = character(0), v = character(0)) NULL,
  listSnapshots = function() NULL,
  loadSnapshot = function(snapshot_id) NULL,
  publishService = function(name, code, model = NULL, snapshot = NULL, inputs = list(), outputs = list(),
                            artifacts = c(), v = character(0), alias = NULL, destination = NULL, descr = NULL,
                            serviceType = c("Script", "Realtime")) NULL,
  putLocalFile = function(filename) NULL,
  putLocalObject = function(obj, name = NULL) NULL,
  putLocalWorkspace = function() NULL,
  remoteCommandLine = function(prompt = "REMOTE> ", displayPlots = TRUE, writePlots = FALSE, recPlots = TRUE) NULL,
  remoteExecute = function(rcode, script = FALSE, inputs = NULL, outputs = NULL, displayPlots = FALSE,
                           writePlots = FALSE, recPlots = FALSE) NULL,
  remoteLogin = function(deployr_endpoint, session = TRUE, diff = TRUE, commandline = TRUE, prompt = "REMOTE> ",
                         username = NULL, password = NULL) NULL,
  remoteLoginAAD = function(deployr_endpoint, authuri = NULL, tenantid = NULL, clientid = NULL, resource = NULL,
                            session = TRUE, diff = TRUE, commandline = TRUE, prompt = "REMOTE> ", username = NULL,
                            password = NULL) NULL,
  remoteLogout = function() NULL,
  remoteScript = function(name, inputs = NULL, outputs = NULL, displayPlots = TRUE, writePlots = TRUE,
                          recPlots = TRUE, async = FALSE, closeOnComplete = FALSE) NULL,
  request = function(host = NULL) NULL,
  resume = function() NULL,
  serviceOption = function() NULL,
  serviceTypes = function() NULL,
  updateService = function(name, v, code = NULL, model = NULL, snapshot = NULL, inputs = NULL, outputs = NULL,
                           artifacts = c(), alias = NULL, destination = NULL, descr = NULL,
                           serviceType = c("Script", "Realtime")) NULL,
  pause = function() NULL
)

for (name in names(reference)) {
  test_that(paste0(name, "() has mrsdeploy's arguments and defaults"), {
    expect_identical(formals(getExportedValue("gristmill", name)), formals(eval(reference[[name]])))
  })
}

test_that("nothing else is exported but what makes models for realtime services", {
  expect_setequal(getNamespaceExports("gristmill"), c(names(reference), "serializeModel", "rxSerializeModel"))
})

test_that("the methods for lists of services and snapshots are there", {
  for (class in c("serviceDetails", "snapshotDetails")) for (generic in c("print", "summary")) {
    expect_true(is.function(utils::getS3method(generic, class)))
  }
  expect_identical(names(formals(utils::getS3method("print", "serviceDetails")))[2:3], c("description", "code"))
})

test_that("service types are checked", {
  expect_identical(serviceTypes(), list(Script = "Script", Realtime = "Realtime"))
  expect_identical(getValidatedServiceType("REALTIME"), "Realtime")
  expect_s3_class(caught(getValidatedServiceType("other")), "gristmill_bad_input")
})

test_that("options are kept, listed and cleared", {
  withr::defer(serviceOption()$set("base_dir", NULL))
  serviceOption()$set("base_dir", "/here")
  expect_identical(serviceOption()$get("base_dir"), "/here")
  expect_true("base_dir" %in% names(serviceOption()$get()))
  expect_output(print(serviceOption()), "base_dir")
})
