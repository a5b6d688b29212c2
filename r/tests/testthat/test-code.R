inputs <- definitions_of(list(hp = "numeric", wt = "numeric"), "inputs")
outputs <- definitions_of(list(answer = "numeric"), "outputs")

test_that("a function becomes a call of itself whose value is the output", {
  block <- code_block(function(hp, wt) hp * wt, inputs, outputs)
  expect_match(block, "^answer <- \\(function\\(hp, wt\\) hp \\* wt\\)\\(hp = hp, wt = wt\\)$")
  expect_identical(eval(parse(text = block), list(hp = 2, wt = 3)), 6)
})

test_that("arguments of other names are given in order", {
  block <- code_block(function(a, b) a - b, inputs, outputs)
  expect_identical(eval(parse(text = block), list(hp = 5, wt = 3)), 2)
})

test_that("names that are not R's are quoted", {
  odd <- definitions_of(list("my input" = "numeric"), "inputs")
  block <- code_block(function(x) x + 1, odd, definitions_of(list("an output" = "numeric"), "outputs"))
  env <- list2env(list("my input" = 1))
  eval(parse(text = block), env)
  expect_identical(env[["an output"]], 2)
})

test_that("constants in a function without its source are exact", {
  exact <- eval(call("function", as.pairlist(alist(hp = )), 0.1 + 0.2))
  block <- code_block(exact, inputs[1], outputs)
  expect_identical(eval(parse(text = block), list(hp = 1)), 0.1 + 0.2)
})

test_that("a function whose body was changed goes over as it is now", {
  withr::local_options(keep.source = TRUE)
  code <- eval(parse(text = "function(hp) {\n  # as written\n  hp\n}", keep.source = TRUE))
  expect_match(code_block(code, inputs[1], outputs), "as written")
  body(code) <- quote(hp + 1)
  expect_match(code_block(code, inputs[1], outputs), "hp + 1", fixed = TRUE)
})

test_that("two outputs of a function, or too few arguments, are refused", {
  two <- definitions_of(list(a = "numeric", b = "numeric"), "outputs")
  expect_s3_class(caught(code_block(function(hp, wt) 1, inputs, two)), "gristmill_bad_input")
  expect_s3_class(caught(code_block(function(hp) 1, inputs, outputs)), "gristmill_bad_input")
  expect_s3_class(caught(code_block(sum, inputs, outputs)), "gristmill_bad_input")
})

test_that("code is text, or a file where serviceOption() says", {
  local_folder()
  dir.create("there")
  writeLines("answer <- hp + wt", "there/add.R")
  expect_identical(code_block("answer <- hp", inputs, outputs), "answer <- hp")
  expect_match(conditionMessage(caught(code_block("add.R", inputs, outputs))), "data-dir")
  serviceOption()$set("data-dir", "there")
  withr::defer(serviceOption()$set("data-dir", NULL))
  expect_identical(code_block("add.R", inputs, outputs), "answer <- hp + wt")
  expect_identical(code_block(normalizePath("there/add.R"), inputs, outputs), "answer <- hp + wt")
})

test_that("what a function uses from here, and will not have there, is warned of", {
  helper <- function(x) x
  warning <- caught(warn_of_globals(function(x) helper(predict(model, x)), "model"))
  expect_s3_class(warning, "gristmill_unshipped_objects")
  expect_identical(warning$objects, "helper")
  expect_null(caught(warn_of_globals(function(x) stats::predict(model, x), "model")))
})

named <- function(model, code = "") names(model_objects(model, substitute(model), parent.frame(), code))

test_that("a model keeps its own name", {
  bos_rf <- structure(list(), class = "m")
  expect_identical(named(bos_rf), "bos_rf")
  expect_identical(named(list(a = 1)), "model")
})

test_that("a model that was passed on has the name that the code speaks of", {
  bos_rf <- structure(list(), class = "m")
  deploy <- function(m, code) named(m, code)
  outer <- function(anything, code) deploy(anything, code)
  dots <- function(...) named(...)
  expect_identical(outer(bos_rf, "pred <- predict(bos_rf, x)"), "bos_rf")
  expect_identical(outer(bos_rf, "pred <- predict(m, x)"), "m")
  expect_identical(outer(bos_rf, "pred <- 1"), "m")
  expect_identical(dots(bos_rf), "bos_rf")
})

test_that("objects of .RData and .R files keep their names", {
  local_folder()
  one <- 1
  two <- "b"
  save(one, two, file = "objects.RData")
  writeLines(c("three <- 3", "f <- function() three"), "objects.R")
  expect_setequal(named("objects.RData"), c("one", "two"))
  expect_setequal(named("objects.R"), c("three", "f"))
  expect_match(conditionMessage(caught(named("gone.RData"))), "not there")
  expect_identical(named("just text"), "model")
})

test_that("definitions say what is wrong with them", {
  expect_match(conditionMessage(caught(definitions_of(list("numeric"), "inputs"))), "name")
  expect_match(conditionMessage(caught(definitions_of(list(x = "number"), "inputs"))), "must be one of")
  expect_identical(definitions_of(list(x = data.frame(a = 1, b = 2)), "inputs")[[1]]$columns, c("a", "b"))
  expect_identical(definitions_json(list()), "[]")
})
