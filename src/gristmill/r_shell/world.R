# What a call could leave behind besides variables, and how it is put back: options, attached packages, the locale,
# random number kinds, sinks, graphics devices, connections.

pristine <- NULL

prepare_world <- function() {
  options(
    device = plot_device, keep.source = FALSE, warn = 0L, menu.graphics = FALSE, editor = "false", pager = "cat",
    browser = "false", device.ask.default = FALSE, showErrorCalls = TRUE
  )
  pristine <<- take_world()
}

# Plots without a device of their own become PNG files in the working directory, without X11.
plot_device <- function(...) {
  if (capabilities("cairo")) grDevices::png("Rplot%03d.png", type = "cairo")
  else grDevices::png("Rplot%03d.png")
}

take_world <- function() {
  path <- .Internal(search())
  others <- which(!startsWith(path, "package:") & !path %in% c(".GlobalEnv", "Autoloads"))
  list(
    options = as.pairlist(as.list(.Options)), search = path, locale = .Internal(Sys.getlocale(1L)),
    attached = structure(lapply(others, as.environment), names = path[others]),
    namespaces = length(loadedNamespaces())
  )
}

restore_world <- function(world) {
  if (!identical(.Options, world$options)) restore_options(world)
  if (!identical(.Internal(search()), world$search)) restore_search(world)
  if (!identical(.Internal(Sys.getlocale(1L)), world$locale)) Sys.setlocale("LC_ALL", world$locale)
}

# Options that came with a package loaded since are kept: it sets them once only.
restore_options <- function(world) {
  kept <- as.list(world$options)
  now <- as.list(.Options)
  added <- setdiff(names(now), names(kept))
  if (length(added) && length(loadedNamespaces()) == world$namespaces) kept[added] <- list(NULL)
  changed <- names(kept)[!vapply(names(kept), function(name) identical(now[[name]], kept[[name]]), NA)]
  options(kept[changed])
}

restore_search <- function(world) {
  wanted <- world$search
  now <- .Internal(search())
  common <- 0L  # entries that agree, from the end of the path
  while (common < min(length(now), length(wanted)) &&
         now[length(now) - common] == wanted[length(wanted) - common]) common <- common + 1L
  for (i in seq_len(max(0L, length(now) - common - 1L))) detach(2L)
  missing <- wanted[seq_len(max(0L, length(wanted) - common))]
  for (name in rev(missing[missing != ".GlobalEnv"])) {
    if (startsWith(name, "package:"))
      suppressMessages(library(substring(name, 9L), character.only = TRUE, warn.conflicts = FALSE, quietly = TRUE))
    else attach(world$attached[[name]], name = name, warn.conflicts = FALSE)
  }
}

# After a call, also a failed one. In a session the workspace, its options and packages stay.
leave <- function() {
  if (.Internal(sink.number(TRUE)) > 0L || .Internal(sink.number(FALSE)) != 2L) end_sinks()
  if (!identical(.Device, "null device")) close_devices()
  if (warnings_seen) print_warnings()
  if (session) {
    check_connections()
    return(NULL)
  }
  if (exists(".Random.seed", envir = .GlobalEnv, inherits = FALSE)) restore_generator()
  wipe()
  if (!identical(.Internal(getAllConnections()), ours)) restore_connections()
  if (current == 0L) return(NULL)
  world <- services[[current]]$world
  if (!identical(.Internal(search()), world$search)) settle_search(world)
  if (!identical(.Options, world$options)) settle_options(world)
  if (!identical(.Internal(Sys.getlocale(1L)), world$locale)) Sys.setlocale("LC_ALL", world$locale)
  NULL
}

# Packages that a service's code attaches stay attached for this service only: attaching them at each call is slow.
settle_search <- function(world) {
  now <- .Internal(search())
  added <- setdiff(now, world$search)
  if (length(added) && all(startsWith(added, "package:")) && identical(setdiff(now, added), world$search)) {
    restore_options(world)
    services[[current]]$world <<- take_world()
  } else restore_search(world)
}

settle_options <- function(world) {
  if (length(loadedNamespaces()) == world$namespaces) return(restore_options(world))
  restore_options(world)
  services[[current]]$world <<- take_world()
}

end_sinks <- function() {
  while (sink.number() > 0L) sink()
  if (sink.number("message") != 2L) sink(type = "message")
}

close_devices <- function() tryCatch(grDevices::graphics.off(), error = function(condition) NULL)

restore_generator <- function() {
  seed <- .GlobalEnv[[".Random.seed"]]
  if (!identical(seed[1L], 10403L)) RNGkind("default", "default", "default")
}

# Ours are opened again after a closeAllConnections() of the user's: the companion sends nothing before our answer, so
# that nothing is lost in them.
restore_connections <- function() {
  for (number in setdiff(getAllConnections(), ours)) close(getConnection(number))
  check_connections()
}

check_connections <- function() {
  if (!all(ours %in% .Internal(getAllConnections()))) {
    try(close(input), silent = TRUE)
    try(close(output), silent = TRUE)
    connect()
  }
}
