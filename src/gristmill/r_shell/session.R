# A session: code that runs in a workspace that stays, as at R's console.

execute <- function(request) {
  session <<- TRUE
  setwd(request[[2L]])
  block <- parse_code(request[[3L]], "code")
  inputs <- request[[4L]]
  list2env(inputs, .GlobalEnv)
  run_printing(block)
  names <- request[[5L]]
  answer <- lapply(names, function(name) {
    if (!exists(name, envir = .GlobalEnv, inherits = FALSE))
      refuse("output '", name, "' is not in the workspace after the code ran")
    to_any(.GlobalEnv[[name]], name)
  })
  settle()
  c(list(0L), answer)
}

run_printing <- function(block) {
  running <<- block
  depth <<- sys.nframe() + 3L
  .Internal(interruptsSuspended(FALSE))
  i <- 0L
  for (expression in block) {
    position <<- i <- i + 1L
    value <- withVisible(eval(expression, .GlobalEnv))
    if (value$visible) if (isS4(value$value)) methods::show(value$value) else print(value$value)
    if (warnings_seen) print_warnings()
  }
  .Internal(interruptsSuspended(TRUE))
  depth <<- 0L
}

session_names <- function() ls(.GlobalEnv, sorted = TRUE)

# Bytes of saveRDS() or serialize(), or of save() with one object (or with one of this name), compressed or not.
set_object <- function(name, path) {
  session <<- TRUE
  value <- tryCatch(read_object(name, path), error = function(condition) {
    if (inherits(condition, "gristmill_refusal")) stop(condition)
    refuse("object '", name, "' cannot be loaded: ", conditionMessage(condition), status = 3L)
  })
  assign(name, value, envir = .GlobalEnv)
  list(0L)
}

read_object <- function(name, path) {
  if (!is_save_file(path)) return(suppressWarnings(readRDS(path)))
  found <- new.env()
  names <- load(path, envir = found)
  if (length(names) != 1L) {
    if (!name %in% names)
      refuse("object '", name, "' cannot be loaded: the file holds ", length(names), " objects and none of this name",
             status = 3L)
    names <- name
  }
  found[[names]]
}

is_save_file <- function(path) {
  con <- gzfile(path, "rb")
  on.exit(close(con))
  start <- readBin(con, "raw", 5L)
  rawToChar(start[start != 0]) %in% c("RDX2\n", "RDX3\n", "RDA2\n", "RDA3\n", "RDB2\n", "RDB3\n")
}

get_object <- function(name, path) {
  if (!exists(name, envir = .GlobalEnv, inherits = FALSE)) no_object(name)
  saved(name, path, paste0("object '", name, "'"))
}

delete_object <- function(name) {
  if (!exists(name, envir = .GlobalEnv, inherits = FALSE)) no_object(name)
  rm(list = name, envir = .GlobalEnv)
  list(0L)
}

no_object <- function(name) refuse("the workspace has no object '", name, "'", status = 4L)

# It goes into a zip, which compresses it: doing so twice takes minutes where a model is large.
save_workspace <- function(path) saved(ls(.GlobalEnv, all.names = TRUE), path, "the workspace", compress = FALSE)

saved <- function(names, path, what, compress = TRUE) {
  tryCatch(
    save(list = names, file = path, envir = .GlobalEnv, compress = compress),
    error = function(condition) refuse(what, " cannot be saved: ", conditionMessage(condition), status = 3L)
  )
  list(0L)
}

# Load a workspace file; a refusal says why it cannot be.
read_workspace <- function(path, into) {
  tryCatch(
    suppressWarnings(load(path, envir = into)),
    error = function(condition) refuse("the workspace cannot be loaded: ", conditionMessage(condition), status = 3L)
  )
}

load_workspace <- function(path) {
  session <<- TRUE
  found <- new.env()
  if (!is.null(path)) read_workspace(path, found)
  wipe()
  list2env(as.list(found, all.names = TRUE), .GlobalEnv)
  list(0L)
}
