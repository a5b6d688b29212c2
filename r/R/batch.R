#' Batches
#'
#' @description
#' Many inputs, run by the server on its own time: the client may leave and come back. `api$batch()` (see
#' [service-object]) prepares one:
#'
#' ```r
#' batch <- api$batch(head(mtcars[, c("hp", "wt")], 20), parallelCount = 4)$start()
#' repeat {
#'   results <- batch$results()
#'   if (results$state %in% c(batch$STATE$complete, batch$STATE$failed)) break
#'   Sys.sleep(1)
#' }
#' results$execution(1)$output("answer")
#' ```
#'
#' The records are a data frame, whose rows become one item each (a service with a single `data.frame` input gets frames
#' of one row); or a list of items, each a list of the inputs by name; or a list of data frames, for such a service.
#'
#' | method | |
#' |---|---|
#' | `$start()` | sends the batch; gives the batch itself |
#' | `$id()` | its id, with which `api$getBatch(id)` finds it again |
#' | `$STATE` | the names of the states: `pending`, `ready`, `inProgress`, `complete`, `failed`, `cancelled` |
#' | `$results(showPartialResults = TRUE)` | state, counts, and the results so far; without them if `FALSE`, until all is done |
#' | `$wait(timeout = Inf, every = 1)` | waits until it is done, then gives the results |
#' | `$execution(i)` | the `ServiceResult` of item i, counted from 1; `NULL` while there is none |
#' | `$listArtifacts(i)` | names of the files that item i wrote |
#' | `$artifact(i, fileName)` | the bytes of one |
#' | `$download(i, fileName, dest = getwd())` | writes one, or all of them, into a directory; gives the paths |
#' | `$cancel()` | cancels the batch and deletes its results |
#'
#' What `$results()` gives has `$state`, `$completedItemCount`, `$totalItemCount`, `$batchExecutionResults` (a list of
#' `ServiceResult`s in the order of the records, `NULL` where there is none yet) and `$execution(i)`.
#'
#' @name batch-object
#' @aliases Batch BatchResults
NULL

Batch <- R6Class(
  "Batch",
  cloneable = FALSE,
  public = list(
    STATE = list(
      pending = "Pending", ready = "Ready", inProgress = "InProgress", complete = "Complete", failed = "Failed",
      cancelled = "Cancelled"
    ),
    initialize = function(connection, record, records = NULL, parallelCount = 10, id = NULL) {
      private$connection <- connection
      private$record <- record
      private$parallel <- parallelCount
      private$execution_id <- id
      if (is.null(id)) private$body <- json_records(records, record$inputParameterDefinitions)
    },
    start = function() {
      if (!is.null(self$id())) bad_input("this batch has been started already; its id is ", self$id(), ".")
      private$execution_id <- start_batch(private$connection, private$record, private$body, private$parallel)
      private$body <- NULL
      invisible(self)
    },
    id = function() private$execution_id,
    results = function(showPartialResults = TRUE) {
      batch_results(private$connection, private$record, self$id(), showPartialResults)
    },
    wait = function(timeout = Inf, every = 1) wait_for_batch(self, timeout, every),
    execution = function(index) self$results()$execution(index),
    listArtifacts = function(index) batch_artifacts(private$connection, private$record, self$id(), index),
    artifact = function(index, fileName) batch_artifact(private$connection, private$record, self$id(), index, fileName),
    download = function(index, fileName = NULL, dest = getwd()) {
      download_artifacts(private$connection, private$record, self$id(), index, fileName, dest)
    },
    cancel = function() {
      batch_send(private$connection, "DELETE", private$record, self$id())
      invisible(self)
    },
    print = function(...) {
      cat("<Batch> of ", private$record$name, " ", private$record$version, ": ", self$id() %||% "not started", "\n", sep = "")
      invisible(self)
    }
  ),
  private = list(connection = NULL, record = NULL, body = NULL, parallel = NULL, execution_id = NULL)
)

# Answers are made into results when somebody asks for them: there may be many, asked for again and again.
BatchResults <- R6Class(
  "BatchResults",
  cloneable = FALSE,
  public = list(
    state = NULL, completedItemCount = NULL, totalItemCount = NULL,
    initialize = function(answer, record) {
      self$state <- answer$state
      self$completedItemCount <- answer$completedItemCount
      self$totalItemCount <- answer$totalItemCount
      private$record <- record
      private$answers <- vector("list", answer$totalItemCount)
      at <- vapply(answer$batchExecutionResults, function(each) each$index + 1, 0)
      private$answers[at] <- answer$batchExecutionResults
    },
    execution = function(index) {
      check_index(index, self$totalItemCount)
      private$result(private$answers[[index]])
    },
    print = function(...) {
      cat("<Batch results> ", self$state, ", ", self$completedItemCount, " of ", self$totalItemCount, " items\n", sep = "")
      invisible(self)
    }
  ),
  active = list(
    batchExecutionResults = function() lapply(private$answers, private$result)
  ),
  private = list(
    record = NULL, answers = NULL,
    result = function(answer) if (!is.null(answer)) result_of(answer, private$record)
  )
)

start_batch <- function(connection, record, body, parallel) {
  if (length(parallel) != 1L || !is.numeric(parallel) || is.na(parallel) || parallel < 1 || parallel != trunc(parallel)) {
    bad_input("parallelCount must be a whole number from 1 on.")
  }
  path <- service_path(record, "batch")
  response <- send(connection, "POST", path, json_body(body), list(parallelCount = parallel), classes = unknown_service)
  content_of(response)$batchExecutionId
}

# A request about a batch that was started.
batch_send <- function(connection, method, record, id, ..., query = list(), to = NULL) {
  if (is.null(id)) bad_input("this batch has not been started; call its $start() first.")
  send(connection, method, service_path(record, "batch", id, ...), query = query, to = to)
}

batch_ids <- function(connection, record) {
  as.character(unlist(content_of(send(connection, "GET", service_path(record, "batch"), classes = unknown_service))))
}

batch_results <- function(connection, record, id, partial) {
  query <- list(showPartialResults = isTRUE(partial))
  BatchResults$new(content_of(batch_send(connection, "GET", record, id, query = query)), record)
}

wait_for_batch <- function(batch, timeout, every) {
  deadline <- seconds_now() + timeout
  over <- c("Complete", "Failed", "Cancelled")
  repeat {
    results <- batch$results(showPartialResults = FALSE)
    if (results$state %in% over) return(batch$results())
    if (seconds_now() > deadline) {
      done <- paste(results$completedItemCount, "of", results$totalItemCount, "items")
      abort("gristmill_timed_out", paste0("the batch is not done after ", timeout, " seconds (", done, ")."),
            "It goes on: wait again, or find it later by its id with $getBatch(id).")
    }
    Sys.sleep(every)
  }
}

check_index <- function(index, total = Inf) {
  whole <- is.numeric(index) && length(index) == 1L && !is.na(index) && index >= 1 && index == trunc(index)
  if (!whole || index > total) {
    bad_input("the index of an item is a whole number from 1 ", if (is.finite(total)) paste("to", total) else "on", ".")
  }
}

batch_artifacts <- function(connection, record, id, index) {
  check_index(index)
  as.character(unlist(content_of(batch_send(connection, "GET", record, id, format_plain(index - 1), "files"))))
}

batch_artifact <- function(connection, record, id, index, file, to = NULL) {
  check_index(index)
  batch_send(connection, "GET", record, id, format_plain(index - 1), "files", file, to = to)$content
}

download_artifacts <- function(connection, record, id, index, files, dest) {
  if (!dir.exists(dest)) bad_input("the directory ", dest, " is not there; make it first.")
  if (is.null(files)) files <- batch_artifacts(connection, record, id, index)
  paths <- file.path(dest, basename(files))
  for (k in seq_along(files)) batch_artifact(connection, record, id, index, files[k], to = paths[k])
  paths
}
