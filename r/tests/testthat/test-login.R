test_that("a wrong password has a class, and says what to do", {
  wrong <- caught(remoteLogin(server_url(), session = FALSE, username = "admin", password = "wrong"))
  expect_s3_class(wrong, c("gristmill_wrong_password", "gristmill_error", "error"), exact = FALSE)
  expect_match(conditionMessage(wrong), "remoteLogin()", fixed = TRUE)
})

test_that("a server that is not there has a class", {
  gone <- caught(remoteLogin("http://127.0.0.1:9", session = FALSE, username = "admin", password = "x"))
  expect_s3_class(gone, "gristmill_unreachable")
  expect_match(conditionMessage(gone), "http://127.0.0.1:9")
})

test_that("a token is renewed before it expires, and when the server refuses it", {
  local_login()
  connection <- current_connection()
  first <- connection$tokens$access
  connection$tokens$expires <- 0
  listServices()
  expect_false(identical(connection$tokens$access, first))
  connection$tokens$access <- "not a token"
  expect_silent(listServices())
})

test_that("a login that cannot be renewed is over", {
  local_login()
  connection <- current_connection()
  connection$tokens$revoke(connection$tokens)
  over <- caught(listServices())
  expect_s3_class(over, "gristmill_token_expired")
  expect_match(conditionMessage(over), "admin")
})

test_that("logging out revokes the token, and closes the session", {
  url <- local_login(session = TRUE)
  connection <- current_connection()
  token <- connection$tokens$access
  remoteLogout()
  expect_null(connection$session)
  answer <- exchange("GET", paste0(url, "/services"), headers = bearer(token))
  expect_identical(answer$status, 401L)
  expect_s3_class(caught(listServices()), "gristmill_not_logged_in")
})

test_that("another login closes the former's session, and services go on with theirs", {
  local_login(session = TRUE)
  former <- current_connection()
  api <- local_service("kept", code = "y <- x", inputs = list(x = "numeric"), outputs = list(y = "numeric"))
  local_login()
  expect_null(former$session)
  expect_identical(api$consume(1.5)$output("y"), 1.5)
})

test_that("without a session, remote execution says how to get one", {
  local_login()
  none <- caught(remoteExecute("1"))
  expect_s3_class(none, "gristmill_no_session")
  expect_match(conditionMessage(none), "session = TRUE")
})

test_that("request() sends what the other functions do not cover", {
  url <- local_login()
  expect_identical(request()$get("/status")$body$statusCode, "pass")
  expect_s3_class(caught(request(url)$get("/nowhere")), "gristmill_not_found")
  expect_output(print(request()), url)
})
