# Lines as somebody would type them, in the place of the terminal.
typed <- function(...) {
  lines <- c(...)
  prompts <- character()
  list(
    read = function(prompt) {
      prompts <<- c(prompts, prompt)
      line <- lines[1L]
      lines <<- lines[-1L]
      if (is.na(line)) "pause()" else line
    },
    prompts = function() prompts
  )
}

test_that("what is typed runs there, line after line", {
  local_login(session = TRUE)
  suppressMessages(remoteCommandLine())
  keyboard <- typed("x <- 20", "", "f <- function(y) {", "  x + y", "}", "f(22)", "pause()")
  expect_output(command_loop(keyboard$read), "[1] 42", fixed = TRUE)
  expect_identical(keyboard$prompts(), c("REMOTE> ", "REMOTE> ", "REMOTE> ", "+ ", "+ ", "REMOTE> ", "REMOTE> "))
})

test_that("errors are told, and the prompt comes again", {
  local_login(session = TRUE)
  suppressMessages(remoteCommandLine(prompt = "there> "))
  keyboard <- typed("stop('this')", "1 +* 2", "cat('still here')", "q()")
  told <- testthat::capture_messages(shown <- capture.output(command_loop(keyboard$read)))
  expect_match(told, "this", all = FALSE)
  expect_match(told, "unexpected '*'", fixed = TRUE, all = FALSE)
  expect_match(told, "pause()", fixed = TRUE, all = FALSE)
  expect_match(shown, "still here", all = FALSE)
  expect_identical(unique(keyboard$prompts()), "there> ")
})

test_that("exit closes the session and logs out", {
  local_login(session = TRUE)
  suppressMessages(remoteCommandLine())
  command_loop(typed("exit")$read)
  expect_s3_class(caught(listServices()), "gristmill_not_logged_in")
})

test_that("a session that ends ends the command line", {
  local_login(session = TRUE)
  suppressMessages(remoteCommandLine())
  keyboard <- typed("tools::pskill(Sys.getpid(), 9)", "1")
  expect_message(command_loop(keyboard$read), "ended")
  expect_length(keyboard$prompts(), 1L)
})

test_that("without a terminal there is no command line", {
  local_login(session = TRUE)
  expect_message(remoteCommandLine(), "not interactive")
  expect_message(resume(), "not interactive")
  expect_message(pause(), "local prompt")
})
