#' The remote command line
#'
#' @description
#' `remoteCommandLine()` shows the prompt `REMOTE>`; what you type there runs in the remote session. Three things are for
#' this side:
#'
#' * `pause()` comes back to the R here; the session waits. `resume()` goes on there.
#' * `exit` closes the session and logs out.
#' * Ctrl-C cancels what is running, or what you have begun to type.
#'
#' Lines that do not make a whole expression are continued at the prompt `+ `. Help, vignettes and the browser are not to be
#' had there: `pause()` first.
#'
#' @param prompt What to show.
#' @param displayPlots,writePlots,recPlots As for [remoteExecute()].
#' @return `NULL`, invisibly.
#' @examples
#' \dontrun{
#' remoteCommandLine()
#' # REMOTE> x <- rnorm(10)
#' # REMOTE> pause()
#' getRemoteObject("x")
#' resume()
#' }
#' @export
remoteCommandLine <- function(prompt = "REMOTE> ", displayPlots = TRUE, writePlots = FALSE, recPlots = TRUE) {
  the$prompt <- list(prompt = prompt, display = displayPlots, write = writePlots)
  session_connection()
  if (!interactive()) {
    message("There is no command line here, because R is not interactive; use remoteExecute() or remoteScript().")
    return(invisible())
  }
  command_loop(readline)
}

#' @rdname remoteCommandLine
#' @export
resume <- function() {
  if (is.null(the$prompt)) return(remoteCommandLine())
  remoteCommandLine(the$prompt$prompt, the$prompt$display, the$prompt$write)
}

#' @rdname remoteCommandLine
#' @export
pause <- function() {
  message("You are at the local prompt already; resume() goes to the remote one.")
  invisible()
}

# `read`: a function of a prompt, which gives a line.
command_loop <- function(read) {
  connection <- session_connection()
  blanks <- 0L
  repeat {
    block <- tryCatch(read_block(read), interrupt = function(condition) cat("\n"))
    # Blank lines for ever are the end of an input that is no terminal.
    blanks <- if (length(block) && nzchar(trimws(block))) 0L else blanks + 1L
    if (blanks > 1000L) return(invisible())
    if (blanks) next
    verb <- verb_of(block)
    if (verb == "pause") return(invisible())
    if (verb == "exit") return(invisible(remoteLogout()))
    if (verb == "local") message("This needs a local R: pause() first.")
    else run_block(connection, block)
    if (is.null(connection$session)) return(invisible())
  }
}

verb_of <- function(block) {
  text <- gsub("[[:space:];]+", "", block)
  if (grepl("^(pause\\(\\)|pause)$", text)) return("pause")
  if (grepl("^(exit|exit\\(\\))$", text)) return("exit")
  if (grepl("^(q|quit|help|browser|vignette|browseVignettes|help.start|resume)\\(.*\\)$|^[?]", text)) return("local")
  "code"
}

# Lines up to a whole expression. A line that no further line can mend goes as it is: the server says what is wrong with it.
read_block <- function(read) {
  lines <- read(the$prompt$prompt)
  while (is_incomplete(lines)) lines <- c(lines, read("+ "))
  block <- paste(lines, collapse = "\n")
  # Into the history, where there is one.
  if (nzchar(block)) try(utils::timestamp(block, "", "", quiet = TRUE), silent = TRUE)
  block
}

is_incomplete <- function(lines) {
  tryCatch({
    parse(text = lines, keep.source = FALSE)
    FALSE
  }, error = function(problem) grepl("unexpected end of input|unexpected INCOMPLETE_STRING", conditionMessage(problem)))
}

# What goes wrong is told, and the prompt comes again.
run_block <- function(connection, block) {
  tryCatch({
    result <- execute(connection, block)
    if (!result$success) message(result$errorMessage)
    handle_plots(connection, result$changedFiles, the$prompt$display, the$prompt$write)
  }, gristmill_error = function(condition) message("Error: ", conditionMessage(condition)))
}
