# Factors, dates and times, which JSON has not.
withr::local_seed(1)
train <- data.frame(
  y = rnorm(60), g = factor(rep(c("a", "b", "c"), 20)), x = rnorm(60), day = as.Date("2020-01-01") + 1:60,
  o = factor(rep(c("lo", "mid", "hi"), each = 20), levels = c("lo", "mid", "hi"), ordered = TRUE),
  at = .POSIXct(1e9 + (1:60) * 3600.25, "America/New_York")
)

test_that("an input declared by an example has its classes in the code", {
  local_login()
  api <- local_service(
    "classes", code = "text <- vapply(d, function(column) class(column)[1], ''); levels <- levels(d$o); at <- as.numeric(d$at)",
    inputs = list(d = train[0, ]), outputs = list(text = "vector", levels = "vector", at = "vector")
  )
  result <- api$consume(train[41:43, ])
  expect_identical(result$output("text"), c("numeric", "factor", "numeric", "Date", "ordered", "POSIXct"))
  expect_identical(result$output("levels"), c("lo", "mid", "hi"))
  expect_identical(result$output("at"), as.numeric(train$at[41:43]))
  none <- train[1, ]
  none[1, ] <- NA
  expect_identical(api$consume(none)$output("at"), NA)
})

test_that("models that refuse text, or misread it, then score as they do here", {
  local_login()
  fits <- list(time = lm(y ~ at, train))
  if (nzchar(system.file(package = "randomForest"))) fits$forest <- randomForest::randomForest(y ~ g + o + x, train, ntree = 10)
  if (nzchar(system.file(package = "rpart"))) fits$tree <- rpart::rpart(y ~ g + o + x, train)
  for (fitted in fits) {
    by_name <- local_service("text", code = function(d) predict(fitted, d), model = fitted,
                             inputs = list(d = "data.frame"), outputs = list(p = "vector"))
    refused <- caught(by_name$consume(train[1:4, -1]))
    expect_s3_class(refused, "gristmill_wrong_columns")
    expect_match(conditionMessage(refused), "by an example")
    by_example <- local_service("example", code = function(d) predict(fitted, d), model = fitted,
                                inputs = list(d = train[0, -1]), outputs = list(p = "vector"))
    expect_identical(by_example$consume(train[1:4, -1])$output("p"), as.vector(predict(fitted, train[1:4, ])))
  }
})

test_that("an update keeps the classes, or gives them up with the example", {
  local_login()
  about <- local_service("kept", code = "k <- class(d$g)", inputs = list(d = train[0, ]), outputs = list(k = "character"))$capabilities()
  expect_identical(updateService(about$name, "1.0", code = "k <- paste('a', class(d$g))")$consume(train)$output("k"), "a factor")
  api <- updateService(about$name, "1.0", inputs = list(d = "data.frame"))
  expect_identical(api$consume(train)$output("k"), "a character")
  expect_identical(listServices(about$name)[[1]]$code, "k <- paste('a', class(d$g))")
})
