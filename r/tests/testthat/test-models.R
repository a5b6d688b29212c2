# Models whose predict() is in a package: the shell loads it because the model's class says so.

score_like_here <- function(model, data, ...) {
  fitted <- model
  code <- function(d) predict(fitted, d)
  api <- local_service("model", code = code, model = fitted, inputs = list(d = "data.frame"), outputs = list(y = "vector"), ...,
                       env = parent.frame())
  result <- api$consume(data)
  expect_true(result$success)
  expect_identical(result$output("y"), as.vector(unname(predict(model, data))))
}

cars <- mtcars[1:10, ]

test_that("randomForest", {
  skip_if_not_installed("randomForest")
  local_login()
  withr::local_seed(1)
  score_like_here(randomForest::randomForest(mpg ~ ., mtcars, ntree = 20), cars)
})

test_that("nnet", {
  skip_if_not_installed("nnet")
  local_login()
  withr::local_seed(1)
  score_like_here(nnet::nnet(mpg ~ hp + wt, mtcars, size = 2, linout = TRUE, trace = FALSE), cars)
})

test_that("rpart", {
  skip_if_not_installed("rpart")
  local_login()
  score_like_here(rpart::rpart(mpg ~ ., mtcars), cars)
})

test_that("mgcv", {
  skip_if_not_installed("mgcv")
  local_login()
  score_like_here(mgcv::gam(mpg ~ s(hp, k = 4) + wt, data = mtcars), cars)
})

test_that("e1071", {
  skip_if_not_installed("e1071")
  local_login()
  score_like_here(e1071::svm(mpg ~ hp + wt, mtcars), cars)
})

test_that("gbm", {
  skip_if_not_installed("gbm")
  local_login()
  withr::local_seed(1)
  fitted <- gbm::gbm(mpg ~ hp + wt, "gaussian", mtcars, n.trees = 20, n.minobsinnode = 3, bag.fraction = 1)
  api <- local_service("model", code = function(d) predict(fitted, d, n.trees = 20), model = fitted,
                       inputs = list(d = "data.frame"), outputs = list(y = "vector"))
  expect_identical(api$consume(cars)$output("y"), gbm::predict.gbm(fitted, cars, n.trees = 20))
})

test_that("caret", {
  skip_if_not_installed("caret")
  local_login()
  fitted <- caret::train(mpg ~ hp + wt, mtcars, method = "lm", trControl = caret::trainControl(method = "none"))
  score_like_here(fitted, cars)
})

test_that("a factor among the predictors is found again from its text", {
  local_login()
  score_like_here(lm(Sepal.Length ~ Species + Petal.Width, iris), iris[c(1, 60, 120), ])
})
