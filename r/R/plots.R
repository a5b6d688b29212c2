# Plots of a remote execution: PNG files among those that it changed.

handle_plots <- function(connection, files, display, write) {
  plots <- grep("[.]png$", files, value = TRUE, ignore.case = TRUE)
  if (!length(plots) || !(display || write)) return(invisible())
  for (plot in plots) {
    bytes <- try_quietly(session_send("GET", "files", plot, connection = connection)$content)
    if (is.null(bytes)) next
    if (write) writeBin(bytes, basename(plot))
    if (display) display_plot(bytes)
  }
}

display_plot <- function(bytes) {
  if (!interactive() && grDevices::dev.cur() == 1L) return(invisible())
  if (!requireNamespace("png", quietly = TRUE)) {
    if (is.null(the$told_of_png)) {
      message("To see remote plots here, install the R package 'png'; writePlots = TRUE keeps them as files.")
    }
    the$told_of_png <- TRUE
    return(invisible())
  }
  picture <- png::readPNG(bytes)
  old <- graphics::par(mar = rep(0, 4L))
  on.exit(graphics::par(old))
  graphics::plot.new()
  graphics::plot.window(c(0, ncol(picture)), c(0, nrow(picture)), asp = 1)
  graphics::rasterImage(picture, 0, 0, ncol(picture), nrow(picture))
}
