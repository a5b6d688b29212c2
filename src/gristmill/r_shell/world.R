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

# Before the answer to a call goes out, also of a failed one: all that it printed, drew and wrote is complete.
settle <- function() {
  if (.Internal(sink.number(TRUE)) > 0L || .Internal(sink.number(FALSE)) != 2L) end_sinks()
  if (.Device != "null device") close_devices()
  open <- .Internal(getAllConnections())
  if (length(open) != length(ours) || any(open != ours)) settle_connections()
  if (warnings_seen) print_warnings()
}

# After it: what the call changed goes, while the companion is busy with the answer. Not in a session.
clear <- function() {
  seed <- .GlobalEnv[[".Random.seed"]]
  if (!is.null(seed) && seed[1L] != 10403L) RNGkind("default", "default", "default")
  wipe()
  if (current == 0L) return(NULL)
  path <- .Internal(search())
  if (length(path) != length(world$search) || any(path != world$search)) settle_search()
  if (!identical(.Options, world$options)) settle_options()
  if (.Internal(Sys.getlocale(1L)) != world$locale) Sys.setlocale("LC_ALL", world$locale)
}

# Packages that a service's code attaches stay attached, for this service only: attaching them at each call is slow.
settle_search <- function() {
  now <- .Internal(search())
  added <- setdiff(now, world$search)
  if (length(added) && all(startsWith(added, "package:")) && identical(setdiff(now, added), world$search)) {
    restore_options(world)
    adopt_world()
  } else restore_search(world)
}

settle_options <- function() {
  restore_options(world)
  if (length(loadedNamespaces()) != world$namespaces) adopt_world()
}

adopt_world <- function() {
  world <<- take_world()
  services[[current]]$world <<- world
}

end_sinks <- function() {
  while (sink.number() > 0L) sink()
  if (sink.number("message") != 2L) sink(type = "message")
}

close_devices <- function() tryCatch(grDevices::graphics.off(), error = function(condition) NULL)

# Ours are opened again after a closeAllConnections() of the user's: the companion sends nothing before our answer, so
# that nothing is lost in them.
settle_connections <- function() {
  if (!session) for (number in setdiff(getAllConnections(), ours)) close(getConnection(number))
  if (all(ours %in% getAllConnections())) return(NULL)
  try(close(input), silent = TRUE)
  try(close(output), silent = TRUE)
  connect()
}
