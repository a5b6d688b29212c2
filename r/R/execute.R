#' Run R code in the remote session
#'
#' @description
#' `remoteExecute()` runs a block of code, `remoteScript()` a script, in the session that [remoteLogin()] opened. What the
#' code prints is shown while it runs. Ctrl-C cancels it, and the session lives on.
#'
#' @details
#' The console is looked at every second while code runs; `options(gristmill.console_update = )`, or
#' `mrsdeploy.console_update`, sets other milliseconds, and less than 1000 shows the output at the end only.
#'
#' Plots that code draws without opening a device are PNG files in the session's working directory (`Rplot001.png` ...), as
#' are those of `png()`. To show them here takes the package `png`, and an interactive R or an open device.
#'
#' @param rcode R code as text; or the path of a script, with `script = TRUE`.
#' @param name Path of the script.
#' @param script Whether `rcode` is a path.
#' @param inputs Variables to set before: a list by name; or JSON as mrsdeploy takes it,
#'   `'[{"name": "x", "value": 120}]'`. Scalars, vectors, matrices and data frames; for anything else [putLocalObject()].
#' @param outputs Names of variables to bring back; the same kinds.
#' @param displayPlots Whether to show plots here.
#' @param writePlots Whether to copy plots to the working directory here.
#' @param recPlots Is taken for compatibility; plots are PNG files either way.
#' @param async With `TRUE` R does not wait: see below.
#' @param closeOnComplete With `async`: whether to close the remote session when the script is done.
#' @section In the background:
#' With `async = TRUE` the script runs in the same session, and this R is free; the session is not, until it is done. The
#' value is an object (R6) with `$done()`, `$wait(timeout)`, `$result()` (what would have been returned), `$console()` (the
#' output so far) and `$cancel()`, which returns when it has stopped.
#' @return A list of class `remoteExecution`, invisibly: `success`, `errorMessage`, `outputParameters` (a list by name),
#'   `consoleOutput` and `changedFiles`. Code that fails signals a warning of class `gristmill_code_error`.
#' @examples
#' \dontrun{
#' done <- remoteExecute("y <- x * 2; print(y)", inputs = list(x = 21), outputs = "y")
#' done$outputParameters$y
#' remoteScript("fit.R")
#' }
#' @export
remoteExecute <- function(rcode, script = FALSE, inputs = NULL, outputs = NULL, displayPlots = FALSE,
                          writePlots = FALSE, recPlots = FALSE) {
  code <- if (script) script_text(rcode) else paste(rcode, collapse = "\n")
  connection <- session_connection()
  result <- execute(connection, code, inputs, outputs)
  handle_plots(connection, result$changedFiles, displayPlots, writePlots)
  if (!result$success) code_failed("the remote code", result$errorMessage, severity = "warning")
  invisible(result)
}

#' @rdname remoteExecute
#' @export
remoteScript <- function(name, inputs = NULL, outputs = NULL, displayPlots = TRUE, writePlots = TRUE, recPlots = TRUE,
                         async = FALSE, closeOnComplete = FALSE) {
  if (!async) return(remoteExecute(name, TRUE, inputs, outputs, displayPlots, writePlots, recPlots))
  connection <- session_connection()
  plots <- function(files) handle_plots(connection, files, displayPlots, writePlots)
  RemoteJob$new(connection, basename(name), execute_body(script_text(name), inputs, outputs), plots, closeOnComplete)
}

script_text <- function(path) {
  if (!is_string(path) || !file.exists(path)) {
    bad_input("there is no script ", paste(path, collapse = " "), " in ", getwd(), ".")
  }
  paste(readLines(path, warn = FALSE, encoding = "UTF-8"), collapse = "\n")
}

execute_body <- function(code, inputs, outputs) {
  fields <- list(code = json_any(code))
  if (!is.null(inputs)) fields$inputParameters <- execute_inputs(inputs)
  if (!is.null(outputs)) fields$outputParameters <- json_array(as.character(outputs))
  json_object(fields)
}

execute_inputs <- function(inputs) {
  if (is_string(inputs) && is.null(names(inputs))) {
    if (!jsonlite::validate(inputs)) bad_input("inputs is not valid JSON; a list by name will do too: list(x = 120)")
    return(inputs)
  }
  inputs <- as.list(inputs)
  if (length(inputs) && (is.null(names(inputs)) || !all(nzchar(names(inputs))))) {
    bad_input("inputs must be named: list(x = 120)")
  }
  json_list(vapply(names(inputs), function(name) {
    json_object(list(name = json_any(name), value = json_any(inputs[[name]], paste0("input '", name, "'"))))
  }, ""))
}

execution_of <- function(answer) {
  outputs <- lapply(answer$outputParameters, function(each) guess_value(each$value))
  names(outputs) <- vapply(answer$outputParameters, function(each) each$name, "")
  structure(list(
    success = isTRUE(answer$success), errorMessage = answer$errorMessage %||% "", outputParameters = outputs,
    consoleOutput = answer$consoleOutput %||% "", changedFiles = as.character(unlist(answer$changedFiles))
  ), class = "remoteExecution")
}

#' @export
print.remoteExecution <- function(x, ...) {
  cat("<Remote execution> ", if (x$success) "success" else "failed", "\n", sep = "")
  if (!x$success) cat(x$errorMessage, "\n", sep = "")
  if (length(x$outputParameters)) utils::str(x$outputParameters, no.list = TRUE, give.attr = FALSE)
  if (length(x$changedFiles)) cat("files: ", paste(x$changedFiles, collapse = ", "), "\n", sep = "")
  invisible(x)
}

# Run code, showing its output as it comes. An interrupt cancels the code; its answer is waited for all the same.
execute <- function(connection, code, inputs = NULL, outputs = NULL, show = TRUE) {
  request <- start_request(connection, execute_body(code, inputs, outputs))
  shown <- if (show) console_printer(connection) else NULL
  cancelled <- FALSE
  repeat {
    step <- tryCatch({
      over <- wait_request(request, if (cancelled) 0.3 else update_seconds())
      if (!over && cancelled) session_send("POST", "cancel", connection = connection)
      else if (!over && show) shown$update()
      if (over) "over" else "under way"
    }, interrupt = function(condition) "interrupted")
    if (step == "over") break
    if (step == "interrupted" && !cancelled) message("Cancelling ...")
    # A request to cancel that comes before the code has begun is in vain: it is repeated.
    if (step == "interrupted") cancelled <- TRUE
  }
  result <- execution_of(content_of(request_response(request)))
  if (show) shown$rest(result$consoleOutput)
  result
}

# Code of our own, in whose output nobody is interested.
run_quietly <- function(connection, code, outputs = NULL) {
  result <- execute(connection, code, outputs = outputs, show = FALSE)
  if (!result$success) code_failed("the remote code", result$errorMessage)
  if (is.null(outputs)) TRUE else result$outputParameters
}

update_seconds <- function() {
  millis <- getOption("gristmill.console_update", getOption("mrsdeploy.console_update", 1000))
  if (millis < 1000) Inf else millis / 1000
}
