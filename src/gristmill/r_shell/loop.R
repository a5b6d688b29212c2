# Read a request, carry it out, answer. Nothing is set up per call: one set of handlers stands around the loop.

trace <- NULL     # calls on the stack at the error that ended the last request
warned <- list()  # warnings of this request, the first 50
warnings_seen <- 0L
depth <- 0L       # frames of ours below user code; 0 while none runs
reading <- TRUE   # the loop waits for a request
session <- FALSE  # a session's workspace lives here, not services
input <- output <- NULL
ours <- NULL      # numbers of all connections of a shell at rest

pid <- Sys.getpid()

connect <- function() {
  input <<- file(descriptors[1L], "rb", raw = TRUE)
  output <<- file(descriptors[2L], "wb", raw = TRUE)
  ours <<- .Internal(getAllConnections())
}

start <- function() {
  connect()
  prepare_world()
  packages <- sub("package:", "", grep("^package:", search(), value = TRUE), fixed = TRUE)
  versions <- vapply(packages, function(package) as.character(getNamespaceVersion(package)), "")
  send(list(0L, paste(R.version$major, R.version$minor, sep = "."), Sys.getpid(), packages, unname(versions)))
  # The just-in-time compiler would do this in the midst of the first calls.
  for (name in c("serve", "send", "call_service", "run", "settle", "clear", "wipe", converters_to_compile))
    assign(name, compiler::cmpfun(get(name)), envir = environment(start))
}

send <- function(answer) {
  if (.Internal(Sys.getpid()) != pid) tools::pskill(Sys.getpid(), 9L)  # a copy that user code forked must not answer
  bytes <- .Internal(serialize(answer, NULL, 3L, 2L, NULL))
  .Internal(writeBin(as.double(length(bytes)), output, 8L, FALSE, FALSE))
  .Internal(writeBin(bytes, output, 1L, FALSE, FALSE))
  .Internal(flush(output))
}

serve <- function() {
  repeat {
    request <- .Internal(unserializeFromConn(input, NULL))
    reading <<- FALSE
    head <- request[[1L]]
    answer <-
      if (head[1L] == 1L) call_service(head[2L], request[[2L]], request[[3L]])
      else operations[[head[1L]]](request)
    request <- NULL
    send(answer)
    reading <<- TRUE
    if (!session) clear()
  }
}

# Numbers are those of python_shell/r_runtime.py. Each takes the request and returns the answer.
operations <- list(
  NULL,
  function(request) load_service(request),
  function(request) unload_service(request[[1L]][2L]),
  function(request) { for (k in 2:3) parse_code(request[[k]], c(NA, "code", "init code")[k]); list(0L) },
  function(request) execute(request),
  function(request) list(0L, session_names()),
  function(request) set_object(request[[2L]], request[[3L]]),
  function(request) get_object(request[[2L]], request[[3L]]),
  function(request) delete_object(request[[2L]]),
  function(request) save_workspace(request[[2L]]),
  function(request) load_workspace(request[[2L]]),
  function(request) drain_interrupts(),
  function(request) collect()
)

# An interrupt that came too late for the code it was meant for ends here.
drain_interrupts <- function() {
  tryCatch({
    .Internal(interruptsSuspended(FALSE))
    Sys.sleep(0)
    for (i in 1:2000) NULL
  }, interrupt = function(condition) NULL)
  .Internal(interruptsSuspended(TRUE))
  list(0L)
}

note_error <- function(condition) trace <<- sys.calls()

# Keep a warning until the request is over, as R does at top level; other values of options(warn=) are left to R.
note_warning <- function(condition) {
  if (!identical(as.integer(getOption("warn")), 0L)) return(NULL)
  restart <- computeRestarts(condition)
  restart <- Filter(function(each) identical(each$name, "muffleWarning"), restart)
  if (!length(restart)) return(NULL)
  if (length(warned) < 50L) warned[[length(warned) + 1L]] <<- condition
  warnings_seen <<- warnings_seen + 1L
  invokeRestart(restart[[1L]])
}

# Runs the loop for ever; comes round once per failed request. A calling handler sees the stack of an error; the exiting
# one is needed besides, because R skips calling handlers when the C stack has overflown.
supervise <- function() {
  .Internal(interruptsSuspended(TRUE))
  repeat {
    problem <- withRestarts(
      tryCatch(withCallingHandlers(serve(), error = note_error, warning = note_warning), error = identity, interrupt = identity),
      abort = function(...) "the code invoked the restart 'abort'"
    )
    .Internal(interruptsSuspended(TRUE))
    if (reading) quit("no", 0L, FALSE)
    answer <- failure(problem)
    trace <<- NULL
    depth <<- 0L
    tryCatch({
      settle()
      send(answer)
      reading <<- TRUE
      if (!session) clear()
    }, error = function(condition) quit("no", 70L, FALSE))
  }
}
