# Install R packages into the image: Rscript install_packages.R PACKAGE...
#
# Run as root while the image is built. What Debian has comes from there, ready made, dependencies too; the rest from
# the repository that R is set to use, or that R_REPOS names. Ends with 1 unless all of them load afterwards.
wanted <- commandArgs(TRUE)
stopifnot(length(wanted) > 0, grepl("^[A-Za-z][A-Za-z0-9.]*[A-Za-z0-9]$", wanted))
Sys.setenv(DEBIAN_FRONTEND = "noninteractive")
if (nzchar(Sys.getenv("R_REPOS"))) options(repos = c(CRAN = Sys.getenv("R_REPOS")))

missing_of <- function(packages) setdiff(packages, rownames(installed.packages()))
apt <- function(...) {
    status <- system2("apt-get", c("-o", "Acquire::Retries=3", ...), stdin = "/dev/null")
    if (status != 0) stop("apt-get ", ..1, " failed", call. = FALSE)
}
has_apt <- nzchar(Sys.which("apt-get"))
lists <- "/var/lib/apt/lists"
update <- function() if (has_apt && !length(list.files(lists, "_Packages"))) apt("update")

# Those of `packages` that Debian has, as names of Debian's packages.
in_debian <- function(packages) {
    if (!has_apt || !length(packages)) return(character())
    update()
    known <- system2("apt-cache", c("pkgnames", "r-"), stdout = TRUE)
    names <- paste0("r-", rep(c("cran-", "bioc-"), each = length(packages)), tolower(packages))
    intersect(names, known)
}
from_debian <- function(packages) {
    names <- in_debian(packages)
    if (length(names)) apt("install", "-y", "--no-install-recommends", names)
}

# Installed packages of Debian, but for libraries to run with, which compiled code may need.
tools_of_debian <- function() {
    listed <- system2("dpkg-query", c("-W", "-f", shQuote("${Package} ${Section}\\n")), stdout = TRUE)
    sub(" .*", "", listed[!grepl(" (.*/)?libs$", listed)])
}

# Compilers are there only while they are needed.
from_repository <- function(packages) {
    known <- available.packages()
    unknown <- setdiff(packages, rownames(known))
    if (length(unknown)) {
        stop("neither Debian nor ", paste(getOption("repos"), collapse = " "), " has the R package ",
             paste(unknown, collapse = ", "), call. = FALSE)
    }
    needs <- unlist(tools::package_dependencies(packages, known, c("Depends", "Imports", "LinkingTo"), recursive = TRUE))
    from_debian(missing_of(unique(needs)))
    built <- intersect(missing_of(unique(c(packages, needs))), rownames(known))
    compile <- has_apt && any(known[built, "NeedsCompilation"] %in% "yes") && !nzchar(Sys.which("g++"))
    before <- if (compile) tools_of_debian()
    if (compile) apt("install", "-y", "--no-install-recommends", "r-base-dev")
    install.packages(packages, lib = "/usr/local/lib/R/site-library", Ncpus = parallel::detectCores())
    if (compile) apt("purge", "-y", setdiff(tools_of_debian(), before))
}

from_debian(missing_of(wanted))
rest <- missing_of(wanted)
if (length(rest)) from_repository(rest)
unlink(c(list.files(lists, full.names = TRUE), list.files("/var/cache/apt", full.names = TRUE)), recursive = TRUE)

# In a process that has loaded nothing yet.
failed <- Filter(function(package) {
    code <- sprintf("suppressPackageStartupMessages(library(%s)); cat('%s', format(packageVersion('%s')), '\\n')",
                    package, package, package)
    file <- tempfile(fileext = ".R")
    writeLines(code, file)
    system2(file.path(R.home("bin"), "Rscript"), file) != 0
}, wanted)
if (length(failed)) stop("installed, but does not load: ", paste(failed, collapse = ", "), call. = FALSE)
