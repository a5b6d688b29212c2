# Services: prepared once, then called. User code runs in the global environment, which is empty between calls: functions
# and formulas of a workspace have it as their environment, so that what they name is found only there. A call starts
# from the objects of the workspace and the init code (copied on change, as all values of R), and leaves nothing.

services <- list()
world <- NULL     # options, attached packages and locale that this service's calls start with
current <- 0L     # slot of the service whose world (options, attached packages) is set up
running <- NULL   # the block that runs, and the number of its expression
position <- 0L

run <- function(block) {
  running <<- block
  depth <<- sys.nframe() + 2L
  .Internal(interruptsSuspended(FALSE))
  i <- 0L
  for (expression in block) {
    position <<- i <- i + 1L
    eval(expression, .GlobalEnv)
  }
  .Internal(interruptsSuspended(TRUE))
  depth <<- 0L
}

call_service <- function(slot, directory, inputs) {
  service <- services[[slot]]
  if (slot != current) {
    restore_world(service$world)
    world <<- service$world
    current <<- slot
  }
  .Internal(setwd(directory))
  .Internal(list2env(service$base, .GlobalEnv))
  .Internal(list2env(inputs, .GlobalEnv))
  run(service$code)
  names <- service$outputs
  converters <- service$converters
  answer <- vector("list", length(names) + 1L)
  answer[[1L]] <- 0L
  for (k in seq_along(names)) {
    name <- names[k]
    value <- .GlobalEnv[[name]]
    if (is.null(value)) absent(name)
    answer[[k + 1L]] <- converters[[k]](value, name)
  }
  settle()
  answer
}

absent <- function(name) {
  if (exists(name, envir = .GlobalEnv, inherits = FALSE))
    refuse("output '", name, "' is NULL after the code ran")
  refuse("output '", name, "' was not made by the code")
}

wipe <- function() {
  names <- .Internal(ls(.GlobalEnv, TRUE, FALSE))
  if (length(names)) .Internal(remove(names, .GlobalEnv, FALSE))
}

# request: head, directory, workspace or NULL, code, init code, names and types of outputs
load_service <- function(request) {
  slot <- request[[1L]][2L]
  session <<- FALSE
  current <<- 0L
  wipe()
  restore_world(pristine)
  code <- parse_code(request[[4L]], "code")
  init <- parse_code(request[[5L]], "init code")
  setwd(request[[2L]])
  if (!is.null(request[[3L]])) read_workspace(request[[3L]], .GlobalEnv)
  suppressWarnings(rm(".Random.seed", envir = .GlobalEnv))
  load_packages_of(as.list(.GlobalEnv, all.names = TRUE))
  run(init)
  base <- as.list(.GlobalEnv, all.names = TRUE)
  if (!length(base)) names(base) <- character()
  service <- list(
    base = base, code = compiled(code), outputs = request[[6L]],
    converters = unname(converters[request[[7L]]]), world = take_world()
  )
  services[[slot]] <<- service
  settle()
  list(0L)
}

# Nothing of it is kept: neither its world, with what it attached, nor the block that ran last.
unload_service <- function(slot) {
  services[slot] <<- list(NULL)
  if (slot == current) {
    current <<- 0L
    restore_world(pristine)
    world <<- NULL
    running <<- NULL
  }
  list(0L)
}

# Asked for when nobody waits: R itself collects what is older only once much has been made anew.
collect <- function() {
  gc()
  list(0L)
}

# Loops at top level are compiled once here: R's just-in-time compiler would compile them at each call (functions, it
# remembers). Not where a block gives a new meaning to a function of base: the compiler would not see that in time.
compiled <- function(block) {
  loops <- vapply(block, has_loop, NA)
  if (!any(loops) || redefines_base(block)) return(block)
  block[loops] <- lapply(block[loops], function(expression) {
    tryCatch(compiler::compile(expression, .GlobalEnv, list(suppressAll = TRUE)),
             error = function(condition) expression)
  })
  block
}

# Parts that are calls themselves; an empty argument, as in x[1, ], is none.
calls_in <- function(expression) Filter(is.call, as.list(expression))

has_loop <- function(expression) {
  if (!is.call(expression) || is_call_of(expression, "function")) return(FALSE)
  if (is_call_of(expression, c("for", "while", "repeat"))) return(TRUE)
  for (part in calls_in(expression)) if (has_loop(part)) return(TRUE)
  FALSE
}

redefines_base <- function(block) {
  found <- FALSE
  visit <- function(expression) {
    if (found || !is.call(expression)) return(NULL)
    if (is_call_of(expression, c("<-", "=", "<<-", "assign", "delayedAssign")) && length(expression) > 2L) {
      target <- expression[[2L]]
      if (is.name(target)) target <- as.character(target)
      if (is.character(target) && exists(target[1L], envir = baseenv(), mode = "function", inherits = FALSE))
        found <<- TRUE
    }
    for (part in calls_in(expression)) visit(part)
  }
  for (expression in block) visit(expression)
  found || any(vapply(ls(.GlobalEnv), exists, NA, envir = baseenv(), mode = "function", inherits = FALSE))
}
