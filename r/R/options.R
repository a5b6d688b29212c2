#' Options for publishing
#'
#' @description
#' Gives an object with which the options are read and set; they live as long as the R session.
#'
#' | option | value |
#' |---|---|
#' | `data-dir` | where the files are that `code` and `model` name. `NULL`, the default: the working directory. `""`: nowhere, give full paths |
#' | `batchable` | `TRUE` marks what is published as made of independent rows, so that the server may run waiting calls as one. Not in mrsdeploy |
#' | `compress` | `TRUE` compresses models for the way to the server. Not in mrsdeploy |
#'
#' Any other name can be used to keep a value.
#'
#' @return An object with the methods `$get(name)`, or `$get()` for all options as a list, and `$set(name, value)`.
#' @examples
#' opts <- serviceOption()
#' opts$set("data-dir", tempdir())
#' opts$get("data-dir")
#' opts$set("data-dir", NULL)
#' @export
serviceOption <- function() ServiceOption$new()

ServiceOption <- R6Class(
  "ServiceOption",
  cloneable = FALSE,
  public = list(
    get = function(name = NULL) if (is.null(name)) the$options else the$options[[name]],
    set = function(name, value) {
      if (!is_string(name)) bad_input("the name of an option must be a string.")
      the$options[[name]] <- value
      invisible(self)
    },
    print = function(...) {
      cat("<Options for publishing>\n")
      if (length(the$options)) utils::str(the$options, no.list = TRUE, give.head = FALSE)
      invisible(self)
    }
  )
)

the$options <- list()

#' Types of services
#'
#' `serviceTypes()` lists the types that [publishService()] takes, `getValidatedServiceType()` checks one.
#'
#' @param type A type, in any case. The first counts if there are several.
#' @return A list of the types by name; the type in its own spelling, or an error of class `gristmill_bad_input`.
#' @examples
#' serviceTypes()
#' getValidatedServiceType("script")
#' @export
serviceTypes <- function() list(Script = "Script", Realtime = "Realtime")

#' @rdname serviceTypes
#' @export
getValidatedServiceType <- function(type) {
  known <- unlist(serviceTypes())
  found <- match(tolower(as.character(type)[1L]), tolower(known))
  if (is.na(found)) bad_input("serviceType must be one of ", paste0("\"", known, "\"", collapse = " and "), ".")
  known[[found]]
}

# A file that `code` or `model` names, by the option data-dir.
data_path <- function(path) {
  base <- the$options[["data-dir"]]
  if (is.null(base) || !nzchar(base) || grepl("^(/|~|[A-Za-z]:)", path)) return(path.expand(path))
  file.path(base, path)
}
