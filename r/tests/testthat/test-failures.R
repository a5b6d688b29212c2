test_that("an unknown service, a version that exists and code that does not parse have classes", {
  local_login()
  expect_s3_class(caught(getService("nowhere")), "gristmill_unknown_service")
  expect_s3_class(caught(deleteService("nowhere", "1")), "gristmill_unknown_service")
  expect_s3_class(caught(listServices("nowhere", "1")), "gristmill_unknown_service")
  api <- local_service("once", code = "y <- 1", outputs = list(y = "numeric"))
  again <- caught(publishService(api$capabilities()$name, v = "1.0", code = "y <- 1"))
  expect_s3_class(again, "gristmill_conflict")
  expect_match(conditionMessage(again), "updateService")
  unparsed <- caught(publishService("never", v = "1", code = "y <- (1"))
  expect_s3_class(unparsed, "gristmill_bad_input")
  deleteService(api$capabilities()$name, "1.0")
  expect_s3_class(caught(api$consume()), "gristmill_unknown_service")
})

test_that("a missing input is told with what is expected", {
  local_login()
  api <- local_service("in", code = "y <- x", inputs = list(x = "numeric"), outputs = list(y = "numeric"))
  lacking <- caught(api$consume())
  expect_s3_class(lacking, "gristmill_bad_input")
  expect_match(conditionMessage(lacking), "x: numeric")
})

test_that("a column that the code misses is told with the columns that came", {
  local_login()
  cars_lm <- lm(mpg ~ hp + wt, mtcars)
  api <- local_service("cols", code = function(cars) predict(cars_lm, cars), model = cars_lm,
                       inputs = list(cars = "data.frame"), outputs = list(mpg = "vector"))
  wrong <- caught(api$consume(mtcars[1:2, "hp", drop = FALSE]))
  expect_s3_class(wrong, "gristmill_wrong_columns")
  expect_s3_class(wrong, "warning")
  expect_match(conditionMessage(wrong), "columns hp")
  result <- suppressWarnings(api$consume(mtcars[1:2, "hp", drop = FALSE]))
  expect_false(result$success)
  expect_match(result$errorMessage, "not found")
  expect_s3_class(caught(result$output("mpg")), c("gristmill_wrong_columns", "gristmill_code_error"))
  expect_output(print(result), "the code failed")
})

test_that("an example in the place of a type makes the server insist on its columns", {
  local_login()
  api <- local_service("strict", code = "n <- nrow(cars)", inputs = list(cars = mtcars[0, c("hp", "wt")]), outputs = list(n = "integer"))
  expect_identical(api$consume(mtcars[1:3, c("wt", "hp")])$output("n"), 3L)
  wrong <- caught(api$consume(mtcars[1:2, "hp", drop = FALSE]))
  expect_s3_class(wrong, c("gristmill_bad_input", "error"))
  expect_match(conditionMessage(wrong), "'wt' is missing")
})

test_that("a package that the server lacks is named", {
  local_login()
  by_code <- local_service("lib", code = "library(notthere); y <- 1", outputs = list(y = "numeric"))
  missing <- caught(by_code$consume())
  expect_s3_class(missing, "gristmill_missing_package")
  expect_match(conditionMessage(missing), "'notthere' installed")
  model <- structure(list(), class = "ranger")
  skip_if(nzchar(system.file(package = "ranger")), "ranger is installed, and would not be missing")
  by_class <- local_service("class", code = "y <- predict(model, 1)", model = model, outputs = list(y = "vector"))
  expect_s3_class(caught(by_class$consume()), "gristmill_missing_package")
})

test_that("a server that goes away is told as such", {
  local_login()
  connection <- current_connection()
  connection$endpoint <- "http://127.0.0.1:9"
  expect_s3_class(caught(listServices()), "gristmill_unreachable")
})

test_that("code that crashes its shell has a class, and the server goes on", {
  local_login()
  api <- local_service("crash", code = "if (x > 0) tools::pskill(Sys.getpid(), 9); y <- x", inputs = list(x = "numeric"), outputs = list(y = "numeric"))
  condition <- caught(api$consume(1))
  expect_s3_class(condition, c("gristmill_shell_died", "gristmill_code_error"))
  expect_match(condition$error_message, "SIGKILL")
  expect_identical(api$consume(0)$output("y"), 0)
})

test_that("a realtime service says what it takes", {
  local_login()
  expect_s3_class(caught(publishService("rt", code = NULL, model = loess(mpg ~ wt, mtcars), serviceType = "Realtime")), "gristmill_not_supported")
})
