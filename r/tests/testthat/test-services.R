cars_glm <- glm(am ~ hp + wt, data = mtcars, family = binomial)
manualTransmission <- function(hp, wt) {
  newdata <- data.frame(hp = hp, wt = wt)
  predict(cars_glm, newdata, type = "response")
}
expected <- unname(manualTransmission(120, 2.8))
cars_in <- list(hp = "numeric", wt = "numeric")
cars_out <- list(answer = "numeric")

test_that("a function and a model become a service, whose method is the function's name", {
  local_login()
  api <- local_service("mt", code = manualTransmission, model = cars_glm, inputs = cars_in, outputs = cars_out)
  expect_identical(api$manualTransmission(120, 2.8)$output("answer"), expected)
  expect_identical(api$consume(wt = 2.8, hp = 120)$outputParameters$answer, expected)
  expect_output(print(api), "manualTransmission(hp: numeric, wt: numeric)", fixed = TRUE)
  expect_identical(names(formals(api$manualTransmission)), c("hp", "wt"))
})

test_that("code and model may come from files", {
  local_login()
  local_folder()
  model <- cars_glm
  save(model, file = "transmission.RData")
  writeLines("model <- glm(am ~ hp + wt, data = mtcars, family = binomial)", "transmission.R")
  writeLines(c("newdata <- data.frame(hp = hp, wt = wt)", "answer <- predict(model, newdata, type = 'response')"), "code.R")
  for (file in c("transmission.RData", "transmission.R")) {
    api <- local_service("mt", code = "code.R", model = file, inputs = cars_in, outputs = cars_out, alias = "manualTransmission")
    expect_identical(api$manualTransmission(120, 2.8)$output("answer"), expected)
  }
})

test_that("capabilities and Swagger describe it", {
  local_login()
  api <- local_service("mt", code = manualTransmission, model = cars_glm, inputs = cars_in, outputs = cars_out, descr = "About")
  about <- api$capabilities()
  expect_identical(about$inputs[[2]], list(name = "wt", type = "numeric"))
  expect_identical(about$operation_id, "manualTransmission")
  expect_output(print(about), "hp: numeric")
  expect_identical(jsonlite::fromJSON(api$swagger())$swagger, "2.0")
  parts <- api$swagger(json = FALSE)
  expect_identical(parts$info$title, about$name)
  expect_output(cat(parts), "\"swagger\": \"2.0\"")
})

test_that("services are listed, oldest first, and the newest is got", {
  local_login()
  name <- paste0("listed-", sample(1e9, 1))
  for (v in c("1.0", "1.1")) publishService(name, v = v, code = paste0("y <- ", v), outputs = list(y = "numeric"), descr = "D")
  found <- listServices(name)
  expect_identical(vapply(found, function(each) each$version, ""), c("1.0", "1.1"))
  expect_identical(listServices(name, "1.1")[[1]]$description, "D")
  expect_identical(getService(name)$consume()$output("y"), 1.1)
  expect_identical(summary(found)$version, c("1.0", "1.1"))
  expect_output(print(found), "y <- 1.0")
  expect_false(any(grepl("y <-|about", capture.output(print(found, description = FALSE, code = FALSE)))))
  expect_identical(deleteService(name, "1.0"), paste("Service", name, "version 1.0 deleted."))
  deleteService(name, "1.1")
  expect_length(listServices(name), 0L)
})

test_that("without a version, one is made up", {
  local_login()
  name <- paste0("unversioned-", sample(1e9, 1))
  api <- publishService(name, code = "y <- 1", outputs = list(y = "numeric"))
  expect_match(api$capabilities()$version, "^[0-9a-f-]{36}$")
  deleteService(name, api$capabilities()$version)
})

test_that("an update changes what it is given, and nothing else", {
  local_login()
  api <- local_service("up", code = manualTransmission, model = cars_glm, inputs = cars_in, outputs = cars_out, descr = "old")
  about <- api$capabilities()
  updateService(about$name, about$version, descr = "new")
  expect_identical(getService(about$name)$manualTransmission(120, 2.8)$output("answer"), expected)
  api <- updateService(about$name, about$version, code = function(hp, wt) hp + wt)
  expect_identical(api$manualTransmission(1, 2)$output("answer"), 3)
  api <- updateService(about$name, about$version, code = "answer <- k * 2", model = "k.R.not", inputs = list(k = "numeric"))
  expect_identical(api$consume(4)$output("answer"), 8)
  expect_identical(api$capabilities()$description, "new")
})

test_that("artifacts come back as bytes", {
  local_login()
  api <- local_service("files", code = "cat('hello', file = 'a.txt'); y <- 1", outputs = list(y = "numeric"), artifacts = c("a.txt", "no.txt"))
  result <- api$consume()
  expect_identical(rawToChar(result$artifact("a.txt")), "hello")
  expect_identical(result$artifact("a.txt", decode = FALSE), "aGVsbG8=")
  expect_identical(result$artifacts(), c("a.txt", "no.txt"))
  expect_s3_class(caught(result$artifact("no.txt")), "gristmill_not_found")
  expect_s3_class(caught(result$output("z")), "gristmill_bad_input")
  expect_output(print(result), "a.txt")
})

test_that("every type goes over and comes back as it was", {
  local_login()
  types <- c("logical", "integer", "numeric", "character", "vector", "matrix", "data.frame")
  names <- paste0("x", seq_along(types))
  api <- local_service(
    "types", code = paste0(sub("x", "y", names), " <- ", names, collapse = "; "),
    inputs = stats::setNames(as.list(types), names), outputs = stats::setNames(as.list(types), sub("x", "y", names))
  )
  frame <- data.frame(
    a = c(pi, NA, 5e-324), b = c(1L, NA, -3L), c = c("\u00e9\"\n", "NA", NA), d = c(TRUE, NA, FALSE), e = c(1, 2, 3),
    stringsAsFactors = FALSE
  )
  values <- list(TRUE, 3L, 0.1, "NA", c(NA, 1e-5), matrix(c(1.5, NA, 3, 4, 5, 6), 2), frame)
  expect_identical(unname(do.call(api$consume, values)$outputParameters), values)
  nothing <- list(NA, NA_integer_, NA_real_, NA_character_, logical(), matrix("a"), frame[0, ])
  expect_identical(unname(do.call(api$consume, nothing)$outputParameters[1:6]), nothing[1:6])
  wide <- as.data.frame(matrix(runif(2000), 1))
  expect_identical(api$consume(NA, NA, NA, "", 1, matrix(1), wide)$output("y7"), wide)
  refused <- list(
    list(NA, 1.5, 1, "", 1, matrix(1), frame), list(NA, 1, "x", "", 1, matrix(1), frame),
    list(NA, 1, 1, "", 1, 1, frame), list(NA, 1, 1, "", 1, matrix(1), 1)
  )
  for (inputs in refused) expect_s3_class(caught(do.call(api$consume, inputs)), "gristmill_bad_input")
})

test_that("factors and dates arrive as text, from which the code makes them again", {
  local_login()
  api <- local_service(
    "dates", code = "days <- as.numeric(as.Date(d$when) - as.Date('1970-01-01')); kinds <- levels(factor(d$kind)); t <- d$at",
    inputs = list(d = "data.frame"), outputs = list(days = "vector", kinds = "vector", t = "vector")
  )
  d <- data.frame(when = as.Date(c("2020-01-01", NA)), kind = factor(c("b", "a")), at = .POSIXct(c(0, 1.5), "Asia/Tokyo"))
  result <- api$consume(d)
  expect_identical(result$output("days"), c(18262, NA))
  expect_identical(result$output("kinds"), c("a", "b"))
  expect_identical(result$output("t"), c("1970-01-01T00:00:00Z", "1970-01-01T00:00:01.500000Z"))
})

test_that("a snapshot gives a service its workspace and files, and a model comes on top", {
  local_login(session = TRUE)
  local_folder()
  writeLines("7", "seven.txt")
  putLocalFile("seven.txt")
  remoteExecute("two <- 2")
  id <- createSnapshot("for a service")
  api <- local_service("snap", code = "y <- two * scan('seven.txt', quiet = TRUE)", snapshot = id, outputs = list(y = "numeric"))
  three <- 3
  both <- local_service("snap", code = "y <- two * three", model = three, snapshot = id, outputs = list(y = "numeric"))
  deleteSnapshot(id)
  expect_identical(api$consume()$output("y"), 14)
  expect_identical(both$consume()$output("y"), 6)
})

test_that("publishing leaves neither session nor snapshot behind", {
  local_login()
  before <- length(listSnapshots())
  local_service("clean", code = "y <- k", model = list(k = 1), outputs = list(y = "numeric"))
  expect_length(listSnapshots(), before)
  expect_length(request()$get("/sessions")$body, 0L)
})

test_that("a destination gets an R file that calls the service on its own", {
  local_login()
  folder <- local_folder()
  suppressMessages(api <- local_service("alone", code = manualTransmission, model = cars_glm, inputs = cars_in, outputs = cars_out,
                                        destination = folder))
  written <- list.files(folder, full.names = TRUE)
  alone <- new.env()
  sys.source(written, alone)
  connection <- current_connection()
  expect_equal(alone$manualTransmission(120, 2.8, connection$endpoint, connection$tokens$access)$answer, expected)
})
