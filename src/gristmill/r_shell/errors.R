# What a failed request answers: list(status, message). Statuses: 1 user code failed, 2 it was interrupted,
# 3 an object cannot be loaded or saved, 4 there is no such object.

# Stop with a message of ours, which needs no traceback; status as above.
refuse <- function(..., status = 1L) {
  stop(structure(list(message = paste0(...), call = NULL, status = status),
                 class = c("gristmill_refusal", "error", "condition")))
}

failure <- function(problem) {
  if (inherits(problem, "interrupt")) return(list(2L, "execution was cancelled"))
  if (inherits(problem, "gristmill_refusal")) return(list(problem$status, enc2utf8(problem$message)))
  if (is.character(problem)) return(list(1L, problem))
  text <- tryCatch(
    paste(c(error_text(problem), traceback_lines(trace, depth)), collapse = "\n"),
    error = function(condition) "Error: the code failed, and its error has no message that can be shown"
  )
  list(1L, enc2utf8(text))
}

# The message as R prints it: on one line if call and message fit, else the message on the next.
error_text <- function(condition) {
  message <- paste(as.character(conditionMessage(condition)), collapse = "\n")
  call <- user_call(condition)
  if (is.null(call)) return(paste0("Error: ", message))
  call <- one_line(call)
  first <- strsplit(message, "\n", fixed = TRUE)[[1L]][1L]
  width <- nchar(call, "bytes") + nchar(paste0("", first), "bytes")
  paste0("Error in ", call, " : ", if (is.na(width) || width > 61L) "\n  ", message)
}

# The call that a condition names, unless it is our own frame around an expression at top level.
user_call <- function(condition) {
  call <- conditionCall(condition)
  if (identical(call, quote(eval(expression, .GlobalEnv))) || identical(call, quote(print(value$value)))) NULL else call
}

# To stderr, in the form in which Rscript prints them.
print_warnings <- function() {
  lines <- vapply(warned, function(condition) {
    message <- paste(as.character(conditionMessage(condition)), collapse = "\n")
    call <- user_call(condition)
    if (is.null(call)) return(message)
    call <- one_line(call)
    first <- strsplit(paste0(message, "\n"), "\n", fixed = TRUE)[[1L]][1L]
    paste0("In ", call, " :", if (nchar(call, "bytes") + nchar(first, "bytes") > 71L) "\n  " else " ", message)
  }, "")
  if (warnings_seen > 1L) lines <- paste0(seq_along(lines), ": ", lines)
  head <- if (warnings_seen > 1L) "Warning messages:" else "Warning message:"
  if (warnings_seen > 50L) head <- paste0("There were ", warnings_seen, " warnings, of which these are the first 50:")
  warned <<- list()
  warnings_seen <<- 0L
  cat(head, lines, sep = "\n", file = stderr())
}

one_line <- function(call, width = 70L) {
  lines <- deparse(call, width.cutoff = width, nlines = 2L)
  line <- lines[1L]
  if (length(lines) > 1L || nchar(line, "bytes") > 200L) paste0(substr(line, 1L, 200L), " ...") else line
}

# The user's part of the stack, innermost call first, without frames of the shell and of R's signalling.
traceback_lines <- function(calls, below) {
  if (below == 0L || length(calls) <= below) return(position_line())
  calls <- calls[seq.int(below + 1L, length(calls))]
  calls <- calls[-length(calls)]
  own <- c(".handleSimpleError", "doTryCatch", "tryCatchList", "tryCatchOne", "withCallingHandlers")
  while (length(calls) && is_call_of(calls[[length(calls)]], own[1L])) calls <- calls[-length(calls)]
  calls <- calls[!vapply(calls, is_call_of, NA, own)]
  if (!length(calls)) return(position_line())
  shown <- rev(seq_along(calls))
  if (length(shown) > 40L) shown <- c(shown[1:20], NA, shown[seq.int(length(shown) - 19L, length(shown))])
  lines <- vapply(shown, function(k) {
    if (is.na(k)) "  ..." else paste0("  ", k, ": ", one_line(calls[[k]]), line_of(calls[[k]]))
  }, "")
  c("Traceback (innermost call first):", lines, position_line())
}

is_call_of <- function(call, names) is.call(call) && is.name(call[[1L]]) && as.character(call[[1L]]) %in% names

line_of <- function(call) {
  source <- attr(call, "srcref")
  if (is.null(source)) return("")
  file <- attr(source, "srcfile")$filename
  if (!isTRUE(file %in% c("code", "init code"))) return("")
  paste0("  [", file, ", line ", source[1L], "]")
}

# Which top-level expression was being evaluated.
position_line <- function() {
  if (depth == 0L || is.null(running)) return(NULL)
  source <- attr(running, "lines")[position]
  if (is.na(source)) return(NULL)
  paste0("  at ", attr(running, "what"), ", line ", source)
}

# Parse a block; its value knows its name and the first line of each expression. Raises a refusal that names the line.
parse_code <- function(text, what) {
  lines <- strsplit(gsub("\r\n?", "\n", text), "\n", fixed = TRUE)[[1L]]
  parsed <- tryCatch(
    parse(text = lines, keep.source = TRUE, srcfile = srcfilecopy(what, lines)),
    error = function(condition) refuse("Error in parse: ", conditionMessage(condition))
  )
  first <- vapply(attr(parsed, "srcref"), function(source) source[1L], 0L)
  structure(as.list(parsed), what = what, lines = first)
}
