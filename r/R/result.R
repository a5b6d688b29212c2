# What a call of a service gave; documented with service-object.

ServiceResult <- R6Class(
  "ServiceResult",
  cloneable = FALSE,
  public = list(
    success = NULL, errorMessage = NULL, outputParameters = NULL, outputFiles = NULL, consoleOutput = NULL,
    changedFiles = NULL,
    initialize = function(fields, what, context) {
      for (name in names(fields)) self[[name]] <- fields[[name]]
      private$what <- what
      private$context <- context
    },
    output = function(name) output_of(self, name, private$what, private$context),
    artifact = function(name, decode = TRUE) artifact_of(self, name, decode, private$what, private$context),
    artifacts = function() names(self$outputFiles),
    print = function(...) {
      print_result(self)
      invisible(self)
    }
  ),
  private = list(what = NULL, context = NULL)
)

# `answer`: as `parse_json` gives it; `inputs` for what a failure is told with.
result_of <- function(answer, record, inputs = list()) {
  types <- record$outputParameterDefinitions
  names(types) <- names_of(types)
  sent <- as.list(answer$outputParameters)
  outputs <- lapply(stats::setNames(names(sent), names(sent)), function(name) {
    from_json(sent[[name]], types[[name]]$type %||% "untyped")
  })
  fields <- list(
    success = isTRUE(answer$success), errorMessage = answer$errorMessage %||% "", outputParameters = outputs,
    outputFiles = as.list(answer$outputFiles), consoleOutput = answer$consoleOutput %||% "",
    changedFiles = as.character(unlist(answer$changedFiles))
  )
  ServiceResult$new(fields, label_of(record), context_of(inputs))
}

output_of <- function(result, name, what, context) {
  if (!result$success) code_failed(what, result$errorMessage, context)
  outputs <- result$outputParameters
  if (!is_string(name) || !name %in% names(outputs)) {
    bad_input("there is no output '", name, "'; the outputs are ", paste(names(outputs), collapse = ", "), ".")
  }
  outputs[[name]]
}

artifact_of <- function(result, name, decode, what, context) {
  if (!result$success) code_failed(what, result$errorMessage, context)
  if (!is_string(name) || !name %in% names(result$outputFiles)) {
    known <- paste(names(result$outputFiles), collapse = ", ")
    bad_input("there is no artifact '", name, "'; the artifacts are ", known, ".")
  }
  content <- result$outputFiles[[name]]
  if (is.null(content)) abort("gristmill_not_found", paste0("the code did not write the file '", name, "'."))
  if (decode) jsonlite::base64_dec(content) else content
}

print_result <- function(result) {
  cat("<Result> ", if (result$success) "success" else "the code failed", "\n", sep = "")
  if (!result$success) cat(result$errorMessage, "\n", sep = "")
  if (length(result$outputParameters)) utils::str(result$outputParameters, no.list = TRUE, give.attr = FALSE)
  if (length(result$outputFiles)) cat("artifacts: ", paste(names(result$outputFiles), collapse = ", "), "\n", sep = "")
  if (nzchar(result$consoleOutput)) cat("console:\n", result$consoleOutput, "\n", sep = "")
}
