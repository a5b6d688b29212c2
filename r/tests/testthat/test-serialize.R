# What serializeModel() writes, and what it refuses. That the server's scores are R's is tested with the server.

parts_of <- function(bytes) {
  number <- function(from, size) sum(as.numeric(bytes[from + seq_len(size)]) * 256^(seq_len(size) - 1))
  described <- number(12L, 4L)
  text <- rawToChar(bytes[56L + seq_len(described)])
  Encoding(text) <- "UTF-8"
  list(
    magic = rawToChar(bytes[1:8]), version = number(8L, 2L), algorithm = number(10L, 2L), described = described,
    size = number(16L, 8L), digest = bytes[25:56], text = text,
    description = jsonlite::fromJSON(text, simplifyVector = FALSE),
    payload = rawToChar(bytes[-seq_len(56L + described)])
  )
}

description_of <- function(...) parts_of(serializeModel(...))$description

refusal <- function(model, ...) {
  condition <- tryCatch(serializeModel(model, ...), error = identity)
  expect_s3_class(condition, "gristmill_error")
  conditionMessage(condition)
}

test_that("the file has a header, a digest and nothing after the model", {
  bytes <- serializeModel(lm(mpg ~ wt, mtcars))
  parts <- parts_of(bytes)
  expect_identical(parts$magic, "blob-gm\n")
  expect_identical(c(parts$version, parts$algorithm), c(1, 1))
  expect_identical(length(bytes) + 0, 56 + parts$described + parts$size)
  path <- withr::local_tempfile()
  writeBin(bytes[-(1:56)], path)
  expect_identical(paste(parts$digest[1:16], collapse = ""), unname(tools::md5sum(path)))
  expect_identical(parts$digest[17:32], raw(16L))
  expect_identical(rxSerializeModel, serializeModel)
})

test_that("coefficients and sample rows keep every bit", {
  model <- lm(mpg ~ wt + log(hp), mtcars)
  parts <- parts_of(serializeModel(model, mtcars))
  numbers <- sub(".*\"coefficients\":[[][[]([^]]*)[]].*", "\\1", parts$payload)
  expect_identical(as.numeric(strsplit(numbers, ",")[[1L]]), unname(coef(model)))
  cells <- sub(".*\"expected\":[{]\"Score\":[[]([^]]*)[]].*", "\\1", parts$text)
  expect_identical(as.numeric(strsplit(cells, ",")[[1L]][1:32]), unname(predict(model)))
})

test_that("the description says what goes in and what comes out", {
  d <- transform(iris, wide = Sepal.Width > 3)
  told <- description_of(glm(wide ~ Species * Petal.Length, binomial, d))
  expect_identical(told$payload, "r")
  expect_identical(told$task, "regression")
  expect_identical(told$response, "wide")
  expect_identical(told$origin$model, "glm")
  expect_identical(told$origin$packages$stats, as.character(getRversion()))
  expect_identical(told$columns[[1L]], list(
    name = "Species", type = "factor", missing = "pass", unseen = "refuse", levels = list("setosa", "versicolor", "virginica")
  ))
  expect_identical(told$columns[[2L]][c("name", "type")], list(name = "Petal.Length", type = "numeric"))
  expect_named(told$sample$columns, c("Species", "Petal.Length"))
  expect_named(told$sample$expected, "Score")
})

test_that("sample rows are 100 at most, and some have a value missing where the model allows it", {
  told <- description_of(lm(Sepal.Length ~ ., iris))
  lengths <- lengths(told$sample$columns)
  expect_true(all(lengths == 84L))
  missing <- vapply(told$sample$columns, function(column) sum(vapply(column, is.null, NA)), 0L)
  expect_identical(unname(missing), rep(1L, 4L))
  expect_identical(sum(vapply(told$sample$expected$Score, is.null, NA)), 4L)
})

test_that("a classifier has its classes, labels and probabilities", {
  skip_if_not_installed("rpart")
  told <- description_of(rpart::rpart(Species ~ ., iris))
  expect_identical(told$classes, list("setosa", "versicolor", "virginica"))
  expect_named(told$sample$expected, c("PredictedLabel", paste0("Probability.", levels(iris$Species))))
})

test_that("names and levels may be any text", {
  d <- data.frame(f = factor(c("na\u00efve", "a \"b\"\\", "c\n")), "\u00fc x" = 1:3, y = c(1, 2, 4), check.names = FALSE)
  told <- description_of(lm(y ~ f, d))
  expect_setequal(unlist(told$columns[[1L]]$levels), levels(d$f))
  told <- description_of(lm(stats::reformulate("`\u00fc x`", "y"), d))
  expect_identical(told$columns[[1L]]$name, "\u00fc x")
})

test_that("the rows that a model was fitted to are found where it was fitted", {
  fit <- function() {
    local_cars <- mtcars
    serializeModel(lm(mpg ~ log(wt), local_cars))
  }
  expect_type(fit(), "raw")
  gone <- lm(mpg ~ log(wt), mtcars)
  gone$call$data <- quote(no_such_data)
  expect_match(refusal(gone), "pass some rows of its inputs as `sample`")
  expect_type(serializeModel(gone, mtcars), "raw")
  expect_match(refusal(gone, mtcars["mpg"]), "sample has no column 'wt'")
  expect_match(refusal(gone, 1:3), "must be a data frame")
})

test_that("a term that cannot be scored exactly is named, with the way out", {
  told <- function(formula) refusal(lm(formula, mtcars), mtcars)
  twice <- function(x) 2 * x
  expect_match(told(mpg ~ splines::ns(wt, 3)), "the term 'splines::ns(wt, 3)' cannot be scored without R", fixed = TRUE)
  expect_match(told(mpg ~ twice(wt)), "the server does not know twice()", fixed = TRUE)
  expect_match(told(mpg ~ cut(wt, 3)), "'cut(wt, 3)'", fixed = TRUE)
  expect_match(told(mpg ~ poly(wt, hp, degree = 2)), "several variables")
  expect_match(told(mpg ~ factor(cyl, labels = letters[1:3])), "only factor(x) is known", fixed = TRUE)
  expect_match(told(mpg ~ cbind(wt, hp)), "cbind()", fixed = TRUE)
  expect_match(told(mpg ~ twice(wt)), "serviceType = \"Script\"", fixed = TRUE)
  expect_s3_class(tryCatch(serializeModel(lm(mpg ~ twice(wt), mtcars), mtcars), error = identity), "gristmill_not_supported")
})

test_that("columns that are no numbers, truth values or factors are refused", {
  d <- data.frame(day = as.Date("2026-01-01") + 1:9, y = rnorm(9L))
  expect_match(refusal(lm(y ~ day, d)), "column 'day' cannot be scored without R: it is an object of class 'Date'")
})

test_that("models that the server does not know are refused", {
  expect_match(refusal(loess(mpg ~ wt, mtcars)), "a model of class 'loess'")
  expect_match(refusal(lm(cbind(mpg, hp) ~ wt, mtcars)), "class 'mlm'")
  expect_match(refusal(structure(list(), class = c("mine", "lm"))), "class 'mine'")
  mine <- structure(class = "link-glm", list(
    linkfun = qlogis, linkinv = plogis, mu.eta = dlogis, valideta = function(eta) TRUE, name = "mine"
  ))
  expect_match(refusal(glm(am ~ wt, binomial(mine), mtcars)), "the link 'mine'")
})

test_that("models of other packages are refused where they have no single score", {
  skip_if_not_installed("glmnet")
  skip_if_not_installed("nnet")
  x <- as.matrix(mtcars[c("wt", "hp", "qsec")])
  expect_match(refusal(glmnet::glmnet(x, mtcars$mpg), x), "needs s, the one penalty")
  expect_match(refusal(glmnet::glmnet(x, as.matrix(mtcars[c("mpg", "disp")]), family = "mgaussian"), x, s = 1), "'mrelnet'")
  expect_match(refusal(nnet::nnet(x, mtcars$am, size = 1, trace = FALSE), mtcars), "fitted to a matrix")
})

test_that("a survival forest is refused", {
  skip_if_not_installed("ranger")
  skip_if_not_installed("survival")
  forest <- ranger::ranger(survival::Surv(mpg, am) ~ wt, mtcars, num.trees = 3)
  expect_match(refusal(forest, mtcars), "Survival")
})

test_that("arguments that a model does not take are refused", {
  expect_match(refusal(lm(mpg ~ wt, mtcars), s = 1), "does not know the argument 's'")
  skip_if_not_installed("gbm")
  boosted <- gbm::gbm(mpg ~ wt, "gaussian", mtcars, n.trees = 5, n.minobsinnode = 2)
  expect_match(refusal(boosted, mtcars, trees = 3), "it takes n.trees")
  few <- jsonlite::fromJSON(parts_of(serializeModel(boosted, mtcars, n.trees = 2))$payload)
  expect_length(few$sizes, 2L)
})

test_that("publishing takes what serializeModel() makes, and refuses the rest with the way out", {
  path <- realtime_file(lm(mpg ~ wt, mtcars), required = TRUE)
  expect_identical(readBin(path, "raw", 7L), charToRaw("blob-gm"))
  expect_identical(realtime_file(path, required = TRUE), path)
  expect_null(realtime_file(NULL, required = FALSE))
  other <- tryCatch(realtime_file(list(1), required = TRUE), error = identity)
  expect_s3_class(other, "gristmill_not_supported")
  expect_match(conditionMessage(other), "serviceType = \"Script\"", fixed = TRUE)
})

test_that("a fitted model is published as a realtime service, which scores as predict() does", {
  local_login()
  cars <- mtcars
  model <- lm(mpg ~ log(wt) * factor(cyl) + poly(hp, 2), cars)
  api <- publishService("rt-lm", model = model, serviceType = "Realtime")
  withr::defer(deleteService("rt-lm", api$capabilities()$version))
  rows <- cars[c("wt", "cyl", "hp")]
  expect_equal(api$consume(rows)$output("outputData")$Score, unname(predict(model)), tolerance = 1e-12)
  missing <- transform(rows[1:2, ], wt = c(NA, 3))
  expect_identical(is.na(api$consume(missing)$output("outputData")$Score), c(TRUE, FALSE))
})

test_that("a realtime service is published and changed under the version that is given", {
  local_login()
  name <- paste0("rt-version-", Sys.getpid())
  api <- publishService(name, v = "2.1", model = lm(mpg ~ wt, mtcars), serviceType = "Realtime", descr = "first")
  withr::defer(deleteService(name, "2.1"))
  expect_equal(api$consume(data.frame(wt = 3))$output("outputData")$Score, unname(predict(lm(mpg ~ wt, mtcars), data.frame(wt = 3))))
  updateService(name, "2.1", model = lm(mpg ~ hp, mtcars), serviceType = "Realtime", descr = "second")
  changed <- getService(name, "2.1")
  expect_identical(listServices(name, "2.1")[[1]]$description, "second")
  expect_equal(changed$consume(data.frame(hp = 100))$output("outputData")$Score,
               unname(predict(lm(mpg ~ hp, mtcars), data.frame(hp = 100))))
})
