scalars <- definitions_of(list(hp = "numeric", n = "integer", s = "character"), "inputs")
frame <- definitions_of(list(inputData = "data.frame"), "inputs")

test_that("rows of a data frame become items", {
  records <- data.frame(s = c("a\"", NA), hp = c(0.5, NA), n = c(1, 2))
  expect_identical(json_records(records, scalars), "[{\"hp\":0.5,\"n\":1,\"s\":\"a\\\"\"},{\"hp\":null,\"n\":2,\"s\":null}]")
})

test_that("columns of other names are taken in order where their number fits", {
  expect_identical(json_records(data.frame(x = 1, y = 2), scalars[1:2]), "[{\"hp\":1.0,\"n\":2}]")
  expect_match(conditionMessage(caught(json_records(data.frame(hp = 1), scalars))), "'n' and 's'")
})

test_that("a service of one data.frame gets frames of one row", {
  records <- data.frame(a = 1:2, b = c("x", "y"))
  expect_identical(json_records(records, frame),
                   "[{\"inputData\":{\"a\":[1],\"b\":[\"x\"]}},{\"inputData\":{\"a\":[2],\"b\":[\"y\"]}}]")
})

test_that("a list gives the items themselves", {
  one <- data.frame(a = 1:2)
  item <- "{\"inputData\":{\"a\":[1,2]}}"
  expect_identical(json_records(list(one, list(inputData = one)), frame), paste0("[", item, ",", item, "]"))
  expect_match(conditionMessage(caught(json_records(list(list(hp = 1)), scalars))), "item 1")
})

test_that("what is no batch is refused", {
  expect_s3_class(caught(json_records(list(), frame)), "gristmill_bad_input")
  expect_s3_class(caught(json_records(data.frame(a = 1)[0, , drop = FALSE], frame)), "gristmill_bad_input")
  expect_s3_class(caught(json_records(data.frame(hp = 1, n = 1.5, s = ""), scalars)), "gristmill_bad_input")
})
