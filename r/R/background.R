# Requests that are under way while R does something else: an execution whose console is looked at, a script in the
# background.

start_request <- function(connection, body) {
  state <- new.env(parent = emptyenv())
  state$connection <- connection
  state$pool <- curl::new_pool()
  state$response <- state$problem <- NULL
  state$sent <- FALSE
  state$url <- paste0(connection$endpoint, url_path("sessions", connection$session, "execute"))
  handle <- curl::new_handle()
  state$body <- json_body(body)
  prepare(handle, "POST", state$body, bearer(access_token(connection)))
  size <- length(state$body$bytes)
  curl::handle_setopt(handle, url = state$url, noprogress = FALSE, progressfunction = function(down, up) {
    if (up[2L] >= size) state$sent <- TRUE
    TRUE
  })
  curl::multi_add(
    handle, pool = state$pool,
    done = function(response) state$response <- response, fail = function(reason) state$problem <- reason
  )
  state
}

# Up to so many seconds; whether the answer is there. Short steps: curl leaves interrupts to us between them.
wait_request <- function(state, seconds) {
  deadline <- seconds_now() + seconds
  repeat {
    curl::multi_run(timeout = max(0, min(0.2, deadline - seconds_now())), poll = TRUE, pool = state$pool)
    if (request_over(state)) return(TRUE)
    if (seconds_now() >= deadline) return(FALSE)
  }
}

request_over <- function(state) !is.null(state$response) || !is.null(state$problem)

# Return once all of the request has left.
send_request <- function(state) while (!state$sent && !request_over(state)) wait_request(state, 0.05)

request_response <- function(state) {
  if (!is.null(state$problem)) unreachable(state$url, state$problem)
  connection <- state$connection
  tryCatch(
    check_response(plain_response(state$response), connection),
    gristmill_session_gone = function(condition) session_gone(connection, condition),
    gristmill_not_found = function(condition) session_gone(connection, condition)
  )
}

# Prints what is new of a console that is read again and again.
console_printer <- function(connection) {
  printed <- ""
  advance <- function(text) {
    if (nchar(text) > nchar(printed) && startsWith(text, printed)) {
      cat(substring(text, nchar(printed) + 1L))
      utils::flush.console()
      printed <<- text
    }
  }
  list(
    update = function() advance(console_of(connection)),
    rest = function(text) {
      if (!startsWith(text, printed)) printed <<- ""
      advance(text)
      if (nzchar(text) && !endsWith(text, "\n")) cat("\n")
    }
  )
}

# What the running, or last, execution has printed; "" where it cannot be had just now.
console_of <- function(connection) {
  path <- url_path("sessions", connection$session, "console-output")
  answer <- try_quietly(content_of(send(connection, "GET", path)))
  answer$consoleOutput %||% ""
}

# A script in the background; documented with remoteExecute.
RemoteJob <- R6Class(
  "RemoteJob",
  cloneable = FALSE,
  public = list(
    initialize = function(connection, name, body, plots, close) {
      private$connection <- connection
      private$name <- name
      private$plots <- plots
      private$close <- close
      private$request <- start_request(connection, body)
      send_request(private$request)
    },
    done = function() {
      wait_request(private$request, 0)
      if (request_over(private$request)) private$finish()
      !is.null(private$outcome)
    },
    wait = function(timeout = Inf) {
      wait_request(private$request, timeout)
      self$done()
    },
    result = function() {
      self$wait()
      if (inherits(private$outcome, "condition")) stop(private$outcome)
      private$outcome
    },
    console = function() if (self$done()) self$result()$consoleOutput else console_of(private$connection),
    cancel = function() {
      while (!self$wait(0.1)) session_send("POST", "cancel", connection = private$connection)
      invisible(self)
    },
    print = function(...) {
      cat("<Remote job> ", private$name, ": ", if (self$done()) "done" else "running", "\n", sep = "")
      invisible(self)
    }
  ),
  private = list(
    connection = NULL, name = NULL, plots = NULL, close = FALSE, request = NULL, outcome = NULL,
    finish = function() {
      if (!is.null(private$outcome)) return(invisible())
      private$outcome <- tryCatch(execution_of(content_of(request_response(private$request))),
                                  gristmill_error = identity)
      if (!inherits(private$outcome, "condition")) private$plots(private$outcome$changedFiles)
      if (private$close) try_quietly(close_session(private$connection))
    }
  )
)
