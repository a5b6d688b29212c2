# When a request is sent again: the one place that decides.
#
# Anything: where it was not begun. Connections that were refused, and 429 or 503 before a run. Up to gristmill.retries times (4);
# and a server that one is logged in to is being restarted, or replaced: for that it waits gristmill.patience seconds (60).
# What changes nothing (reads, logins, calls of services): also where the connection broke, up to gristmill.retries times,
# or where a proxy has nobody to pass it to. It may run twice then.

# `attempt` gives a response, or raises gristmill_unreachable.
persistently <- function(attempt, repeatable, known) {
  begun <- seconds_now()
  number <- 0
  broken <- 0
  repeat {
    response <- tryCatch(attempt(), gristmill_unreachable = identity)
    failed <- inherits(response, "gristmill_unreachable")
    if (failed && isTRUE(response$broken)) broken <- broken + 1
    wait <- if (failed) wait_after_failure(response, number, repeatable, broken) else wait_after_answer(response, number, repeatable)
    if (is.null(wait) || !goes_on(number, wait, begun, known)) {
      if (failed) stop(response)
      return(response)
    }
    Sys.sleep(wait)
    number <- number + 1
  }
}

most_retries <- function() getOption("gristmill.retries", 4)

goes_on <- function(number, wait, begun, known) {
  if (number < most_retries()) return(TRUE)
  most_retries() > 0 && known && seconds_now() - begun + wait <= getOption("gristmill.patience", 60)
}

# Seconds, doubling, and spread so that many clients do not come at once.
wait_before <- function(number) {
  # Scripts that set a seed get the same numbers whether or not the server was slow.
  spread <- 0.7 + 0.6 * (as.numeric(Sys.time()) * 1000) %% 1
  min(2, 0.1 * 2^min(number, 10)) * spread
}

wait_after_failure <- function(problem, number, repeatable, broken) {
  again <- isTRUE(problem$unsent) || (isTRUE(problem$broken) && repeatable && broken <= most_retries())
  if (again) wait_before(number)
}

# What the server says of requests that it has not begun.
refused_before_a_run <- c("Overloaded", "Draining", "TooManyCalls", "StateUnavailable")

wait_after_answer <- function(response, number, repeatable) {
  if (!response$status %in% c(429L, 502L, 503L)) return(NULL)
  problem <- problem_of(response)
  exception <- problem$exceptionType
  if (is.null(exception)) return(if (repeatable && response$status != 429L) wait_before(number))
  asked <- suppressWarnings(as.numeric(headers_of(response)[["retry-after"]] %||% NA))
  if (is.na(asked) || asked > 30 || !exception %in% refused_before_a_run) return(NULL)
  max(asked, wait_before(number))
}

# What became of a request, by libcurl's words: not sent, or broken under way.
unsent_words <- "connect to |resolve|connection timed? ?out after|connection timeout|connection refused"
broken_words <- paste0(
  "empty reply|reset by peer|recv failure|send failure|failed sending|failure when receiving|transfer closed|",
  "broken pipe|closed abruptly|bytes missing|unexpected eof"
)
