# shellcheck shell=bash
# What the scripts share; sourced by them, never run.

self=$(cd "$(dirname "$0")" && pwd)/$(basename "$0")
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit

say() { printf '==> %s\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# Print the head comment of the script that is run, as its help.
usage() { sed -n '2,/^[^#]/{s/^# \{0,1\}//p}' "$self"; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

# apt_install PACKAGE...: on Debian and Ubuntu, by root or sudo without a password; returns 1, with a word why, elsewhere.
apt_install() {
    local log
    command -v apt-get >/dev/null || { say "cannot install $*: this is not Debian or Ubuntu"; return 1; }
    [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null || { say "cannot install $*: that needs root"; return 1; }
    say "installing $*"
    log=$(mktemp)
    if apt_update_and_install "$@" >"$log" 2>&1 </dev/null; then
        rm -f "$log"
    else
        tail -n 20 "$log" >&2
        rm -f "$log"
        return 1
    fi
}

apt_update_and_install() {
    as_root apt-get -o Acquire::Retries=3 update &&
        as_root env DEBIAN_FRONTEND=noninteractive apt-get -o Acquire::Retries=3 \
            install -y --no-install-recommends "$@"
}
