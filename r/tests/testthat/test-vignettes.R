# Their code is purled and run against the server, as a reader would.
for (name in c("boston", "remote")) {
  test_that(paste0("the code of the vignette '", name, "' runs"), {
    skip_if_not_installed("knitr")
    skip_if_not_installed("randomForest")
    source <- c(file.path("../../vignettes", paste0(name, ".Rmd")), system.file("doc", paste0(name, ".Rmd"), package = "gristmill"))
    source <- source[file.exists(source)]
    skip_if(!length(source), "the vignettes are not installed here")
    url <- server_url()
    source <- normalizePath(source[1L])
    local_folder()
    withr::local_envvar(GRISTMILL_URL = url, GRISTMILL_PASSWORD = admin_password)
    code <- tempfile(fileext = ".R")
    knitr::purl(source, code, quiet = TRUE)
    capture.output(suppressMessages(sys.source(code, new.env(parent = globalenv()))))
    expect_null(the$connection)
    withr::defer(rm(list = intersect("fit", ls(globalenv())), envir = globalenv()))
  })
}
