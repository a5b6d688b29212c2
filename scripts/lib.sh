# What the scripts share; sourced by them, never run.

cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '==> %s\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# Print the caller's own head comment, as its help.
usage() { sed -n '2,/^[^#]/{s/^# \{0,1\}//p}' "$0"; }

# What Debian and Ubuntu call R, the packages that the demo and the tests use, and the sandbox.
R_PACKAGES=(r-base-core r-cran-randomforest r-cran-mass r-cran-jsonlite r-cran-httr bubblewrap)

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

have_r() {
    command -v Rscript >/dev/null || return 1
    Rscript --vanilla -e 'for (p in c("MASS", "randomForest", "jsonlite", "httr")) loadNamespace(p)' >/dev/null 2>&1
}
