# A failure inside user code: which class it gets, and what it advises.

# Signal that code failed on the server. `signal` is `stop` or `warning`; `context` says what the code was given.
code_failed <- function(what, error_message, context = NULL, severity = "error") {
  kind <- kind_of_failure(error_message)
  condition <- gristmill_condition(
    c(kind$class, "gristmill_code_error"), paste0(what, " failed: ", error_message), c(context, kind$advice),
    error_message = error_message, severity = severity
  )
  if (severity == "error") stop(condition) else warning(condition)
}

# How R, and Python, say that a package is missing; the first group is its name.
no_package <- c(
  "there is no package called [\u2018'\"]([^\u2019'\"]+)[\u2019'\"]",
  "needs the R package '([^']+)'",
  "No module named '([^'.]+)"
)

no_column <- c(
  "object '[^']+' not found", "variables in the training data missing in newdata", "undefined columns selected",
  "subscript out of bounds", "variables? .* not found", "KeyError", "feature names should match"
)

# The model wants another class of column than text.
wrong_class <- c(
  "Type of predictors in new data do not match", "was fitted with type", "different types from the fit", "is not a factor"
)

# The code ended its own process, or the server had to end it.
no_process <- "^(the R process (was )?ended|the process that ran this call|the code closed its shell|loading this service ended|memory: )"

kind_of_failure <- function(text) {
  if (grepl(no_process, text)) {
    return(list(class = "gristmill_shell_died", advice = advice_by_class[["gristmill_shell_died"]]))
  }
  for (pattern in no_package) {
    package <- regmatches(text, regexec(pattern, text))[[1L]][2L]
    if (!is.na(package)) {
      advice <- paste0("Have '", package, "' installed in the library that the server's shells use, then try again.")
      return(list(class = "gristmill_missing_package", advice = advice))
    }
  }
  if (any(vapply(no_column, grepl, NA, text))) {
    advice <- "The code looks for a column or an object that is not there. Compare what it names with what was sent."
    return(list(class = "gristmill_wrong_columns", advice = advice))
  }
  if (any(vapply(wrong_class, grepl, NA, text))) {
    advice <- paste0("Factors, dates and times arrive as text. Declare the input by an example of the data frame, such as ",
                     "inputs = list(x = train[0, ]), and the code gets them as they were.")
    return(list(class = "gristmill_wrong_columns", advice = advice))
  }
  list(class = NULL, advice = NULL)
}
