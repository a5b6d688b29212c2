# A real server, started once for all tests that need one, with state of its own.

admin_password <- "only for tests: Xq7"
running <- new.env()

# GRISTMILL_SERVER names the command; in the source tree that of .venv is found.
server_command <- function() {
  given <- Sys.getenv("GRISTMILL_SERVER")
  if (nzchar(given)) return(given)
  above <- Reduce(file.path, rep("..", 6L), accumulate = TRUE)
  found <- file.path(above, ".venv", "bin", "gristmill")
  c(found[file.exists(found)], "")[1L]
}

server_url <- function() {
  skip_if_not_installed("processx")
  command <- server_command()
  if (!nzchar(command)) skip("there is no gristmill server here: set GRISTMILL_SERVER to its command")
  if (is.null(running$url)) start_server(normalizePath(command))
  running$url
}

start_server <- function(command) {
  running$folder <- tempfile("gristmill-server-")
  dir.create(running$folder)
  log <- file.path(running$folder, "server.log")
  running$process <- processx::process$new(
    command, c("serve", "--port", "0", "--data", file.path(running$folder, "data")),
    # R adds its own libraries to the path on which a Python of another build would find the wrong ones.
    env = c("current", GRISTMILL_ADMIN_PASSWORD = admin_password, LD_LIBRARY_PATH = ""), stdout = "|", stderr = log
  )
  repeat {
    running$process$poll_io(60000)
    lines <- running$process$read_output_lines()
    ready <- grep(" is ready at ", lines, value = TRUE)
    if (length(ready)) break
    if (!running$process$is_alive()) stop("the server ended:\n", paste(readLines(log), collapse = "\n"))
  }
  running$url <- sub(".* is ready at ([^ ]+).*", "\\1", ready)
  withr::defer(stop_server(), testthat::teardown_env())
}

stop_server <- function() {
  running$process$interrupt()
  running$process$wait(30000)
  running$process$kill()
  running$url <- NULL
  unlink(running$folder, recursive = TRUE)
}

# Log in for the length of one test.
local_login <- function(session = FALSE, diff = FALSE, env = parent.frame()) {
  suppressMessages(
    remoteLogin(server_url(), session = session, diff = diff, commandline = FALSE, username = "admin", password = admin_password)
  )
  withr::defer(tryCatch(remoteLogout(), gristmill_error = function(condition) NULL), envir = env)
  invisible(server_url())
}

# A working directory for the length of one test.
local_folder <- function(env = parent.frame()) {
  folder <- withr::local_tempdir(.local_envir = env)
  withr::local_dir(folder, .local_envir = env)
  folder
}

# Published for the length of one test, under a name of its own.
local_service <- function(name, ..., env = parent.frame()) {
  name <- paste0(name, "-", sample(1e9, 1))
  api <- publishService(name, ..., v = "1.0")
  withr::defer(tryCatch(deleteService(name, "1.0"), gristmill_error = function(condition) NULL), envir = env)
  api
}

caught <- function(expression) tryCatch(expression, condition = identity)

# Run, and skip where the server has no such operation yet.
unless_not_supported <- function(expression) {
  tryCatch(expression, gristmill_not_supported = function(condition) {
    skip(paste("the server does not do this yet:", conditionMessage(condition)))
  })
}
