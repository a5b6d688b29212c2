decoded <- function(x) parse_json(json_any(x))

test_that("doubles survive bit for bit", {
  withr::local_seed(1)
  x <- c(rnorm(2e4), runif(2e4) * 10^sample(-300:300, 2e4, TRUE), .Machine$double.xmin, 5e-324, .Machine$double.xmax, 0.1, 1 / 3)
  expect_identical(vector_of(decoded(x)), x)
  expect_identical(1 / decoded(-0), -Inf)
})

test_that("a whole double stays a double, an integer an integer", {
  expect_identical(json_array(c(1, 1e15, 1e300, NA), ""), "[1.0,1000000000000000.0,1.0000000000000001e+300,null]")
  expect_identical(json_array(c(1L, NA), ""), "[1,null]")
  expect_type(vector_of(decoded(c(1, 2))), "double")
})

test_that("NA of every type, NaN and Inf become null, and null NA", {
  for (missing in list(NA, NA_integer_, NA_real_, NA_character_, NaN, Inf, factor(NA), as.Date(NA), .POSIXct(NA))) {
    expect_identical(json_any(missing), "null")
  }
  expect_identical(vector_of(decoded(c("a", NA))), c("a", NA))
  expect_identical(vector_of(decoded(c("NA", "NaN"))), c("NA", "NaN"))
})

test_that("text keeps every character", {
  x <- c("", "\"\\/", "a\nb\tc\001\037\177", "\u00e9\u65e5\u2028", enc2native("plain"))
  expect_identical(vector_of(decoded(x)), enc2utf8(x))
  latin <- "\xe9"
  Encoding(latin) <- "latin1"
  expect_identical(decoded(latin), "\u00e9")
  broken <- "\xff\xfe"
  Encoding(broken) <- "UTF-8"
  expect_s3_class(caught(json_any(broken)), "gristmill_bad_input")
})

test_that("factors, dates and times become text", {
  expect_identical(json_any(factor(c("u", "v"))), "[\"u\",\"v\"]")
  expect_identical(json_any(as.Date("2020-02-29")), "\"2020-02-29\"")
  time <- as.POSIXct("2020-06-01 12:00:00", tz = "America/New_York")
  expect_identical(json_any(time), "\"2020-06-01T16:00:00Z\"")
  expect_identical(json_any(as.POSIXlt(time + 0.25)), "\"2020-06-01T16:00:00.250000Z\"")
  expect_identical(json_any(.POSIXct(59.9999999)), "\"1970-01-01T00:01:00Z\"")
})

test_that("frames go by columns, matrices by rows, lists by their names", {
  frame <- data.frame(a = 1.5, b = "x")
  expect_identical(json_any(frame), "{\"a\":[1.5],\"b\":[\"x\"]}")
  expect_identical(json_any(matrix(1:4, 2)), "[[1,3],[2,4]]")
  expect_identical(json_any(list(a = 1L, b = list(TRUE, "x"), c = I(2L))), "{\"a\":1,\"b\":[true,\"x\"],\"c\":[2]}")
  expect_identical(json_any(list()), "[]")
})

test_that("what JSON cannot carry is refused with its name", {
  frame <- data.frame(a = 1:2)
  frame$l <- list(1, 2)
  expect_match(conditionMessage(caught(json_frame(frame, "input 'x'"))), "column 'l' of input 'x'")
  expect_s3_class(caught(json_any(mean)), "gristmill_bad_input")
  expect_s3_class(caught(json_any(1i)), "gristmill_bad_input")
})

test_that("values without a type are guessed by their shape", {
  guessed <- function(json) guess_value(parse_json(json))
  expect_identical(guessed("[1,null,2.5]"), c(1, NA, 2.5))
  expect_identical(guessed("{\"a\":[1,2],\"b\":[\"x\",null]}"), data.frame(a = 1:2, b = c("x", NA), stringsAsFactors = FALSE))
  expect_identical(guessed("[[1,2],[3,4]]"), matrix(c(1L, 3L, 2L, 4L), 2))
  expect_identical(guessed("{\"a\":1,\"b\":\"x\"}"), list(a = 1L, b = "x"))
  expect_identical(guessed("{\"a\":[1]}"), data.frame(a = 1L))
})

test_that("outputs take the form of their type", {
  expect_identical(from_json(NULL, "character"), NA_character_)
  expect_identical(from_json(1L, "numeric"), 1)
  expect_identical(from_json(list(), "vector"), logical())
  expect_identical(dim(from_json(list(), "matrix")), c(0L, 0L))
  expect_identical(dim(from_json(list(a = list(), b = list()), "data.frame")), c(0L, 2L))
})
