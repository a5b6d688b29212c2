test_that("each status has its class, and the server's exception may say more", {
  expect_identical(class_of_problem(409L, "Conflict"), "gristmill_conflict")
  expect_identical(class_of_problem(503L, "Overloaded"), "gristmill_overloaded")
  expect_identical(class_of_problem(503L, "ShellDied"), "gristmill_shell_died")
  expect_identical(class_of_problem(429L, "TooManyCalls"), "gristmill_overloaded")
  expect_identical(class_of_problem(429L, NULL), "gristmill_too_many_attempts")
  expect_identical(class_of_problem(507L, "StorageFull"), "gristmill_overloaded")
  expect_identical(class_of_problem(418L, NULL), "gristmill_server_error")
})

test_that("failures of code are told apart by what R and Python say", {
  expect_identical(kind_of_failure("Error in library(foo) : there is no package called \u2018foo\u2019")$class, "gristmill_missing_package")
  expect_match(kind_of_failure("there is no package called 'foo.bar'")$advice, "'foo.bar'")
  expect_identical(kind_of_failure("Error in eval(x) : object 'lstat' not found")$class, "gristmill_wrong_columns")
  expect_null(kind_of_failure("Error: no")$class)
})

test_that("every class that can be raised is documented", {
  # Beside the installed package the source is not at hand.
  skip_if_not(file.exists("../../R/conditions.R"), "the package's source is not here")
  text <- unlist(lapply(list.files("../../R", full.names = TRUE), readLines))
  used <- unique(unlist(regmatches(text, gregexpr("\"gristmill_[a-z_]+\"", text))))
  documented <- paste(grep("^#'", text, value = TRUE), collapse = "\n")
  internal <- c("\"gristmill_not_authenticated\"", "\"gristmill_connection\"", "\"gristmill_warning\"")
  for (class in setdiff(used, internal)) expect_match(documented, gsub("\"", "", class), fixed = TRUE)
})

test_that("without a login, everything says so", {
  for (call in list(quote(listServices()), quote(remoteLogout()), quote(remoteExecute("1")), quote(listSnapshots()))) {
    expect_s3_class(caught(eval(call)), "gristmill_not_logged_in")
  }
})

test_that("an address that is none is refused at once", {
  expect_s3_class(caught(remoteLogin("localhost:12800")), "gristmill_bad_input")
  expect_s3_class(caught(remoteLogin("http://localhost:12800/api")), "gristmill_bad_input")
  expect_s3_class(caught(remoteLogin("http://localhost:1")), "gristmill_bad_input")
})
