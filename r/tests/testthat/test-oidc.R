local_issuer <- function(env = parent.frame()) {
  skip_if_not_installed("processx")
  python <- Sys.which("python3")
  skip_if(!nzchar(python), "the issuer of this test needs python3")
  issuer <- processx::process$new(python, test_path("fixtures", "issuer.py"), env = c("current", LD_LIBRARY_PATH = ""), stdout = "|", stderr = "")
  withr::defer({
    issuer$kill()
    the$connection <- NULL
  }, envir = env)
  url <- character()
  while (!length(url) && issuer$is_alive()) {
    issuer$poll_io(20000)
    url <- issuer$read_output_lines()
  }
  url[1L]
}

test_that("the device code is shown, and its token used and renewed", {
  url <- local_issuer()
  shown <- testthat::capture_messages(
    remoteLoginAAD(url, authuri = url, tenantid = "tenant", clientid = "client", resource = "api", session = FALSE)
  )
  expect_match(paste(shown, collapse = ""), "ABCD")
  expect_identical(current_connection()$user, "jane")
  connection <- current_connection()
  connection$tokens$expires <- 0
  expect_length(listServices(), 0L)
  seen <- parse_json(exchange("GET", paste0(url, "/seen"))$content)
  expect_identical(seen[[length(seen)]]$refresh_token, "r1")
  expect_identical(seen[[1]]$client_id, "client")
})

test_that("a password goes to the issuer, and its refusal has a class", {
  url <- local_issuer()
  login <- function(password) {
    remoteLoginAAD(url, url, "tenant", "client", "api", session = FALSE, username = "jane", password = password)
  }
  expect_s3_class(caught(login("wrong")), "gristmill_wrong_password")
  expect_true(login("right"))
})

test_that("a token that one has already will do", {
  url <- local_issuer()
  expect_true(remoteLoginAAD(url, password = "brought along", session = FALSE))
  expect_s3_class(caught(remoteLoginAAD(url, password = "another", session = FALSE)), "gristmill_token_expired")
})

test_that("what is no issuer is said to be none", {
  url <- local_issuer()
  expect_match(conditionMessage(caught(remoteLoginAAD(url, url, "other", "client", session = FALSE))), "authuri")
  expect_match(conditionMessage(caught(remoteLoginAAD(url, url, "tenant", session = FALSE))), "clientid")
})
