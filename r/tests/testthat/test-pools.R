test_that("a service gets shells of its own, and gives them up", {
  local_login()
  api <- local_service("pool", code = "y <- Sys.getpid()", outputs = list(y = "integer"))
  name <- api$capabilities()$name
  expect_identical(unless_not_supported(configureServicePool(name, "1.0", initialPoolSize = 1, maxPoolSize = 1)), 200L)
  status <- getPoolStatus(name, "1.0")
  expect_named(status, c("ComputeNodeEndpoint", "Status"))
  deadline <- Sys.time() + 30
  while (any(getPoolStatus(name, "1.0")$Status == "Pending") && Sys.time() < deadline) Sys.sleep(0.1)
  expect_identical(unique(getPoolStatus(name, "1.0")$Status), "Success")
  expect_identical(api$consume()$output("y"), api$consume()$output("y"))
  expect_identical(deleteServicePool(name, "1.0"), 200L)
  expect_identical(unique(getPoolStatus(name, "1.0")$Status), "NotFound")
})

test_that("sizes are whole numbers, and the service is known", {
  local_login()
  expect_s3_class(caught(configureServicePool("x", "1", initialPoolSize = -1)), "gristmill_bad_input")
  expect_s3_class(caught(unless_not_supported(getPoolStatus("nowhere", "1"))), "gristmill_unknown_service")
})
