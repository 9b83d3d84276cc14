#!/usr/bin/env bash
# What `make` needs on a fresh machine: `setup.sh venv DIR` makes the Python environment, `setup.sh tools` installs the tests' programs.
# As root on Debian it installs what is missing; elsewhere it says what to install. Nothing is downloaded but packages.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
    printf 'setup: %s\n' "$1" >&2
    exit 3
}

install() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
    printf 'setup: installing %s …\n' "$*" >&2
    apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$@" >/dev/null
}

python() {
    local candidate
    for candidate in python3 python3.11 python3.12 python3.13 /usr/bin/python3; do
        if command -v "$candidate" >/dev/null && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
            printf '%s' "$candidate"
            return
        fi
    done
    fail 'Python 3.11 or newer is needed; on Debian: apt-get install python3 python3-venv'
}

make_venv() {
    local directory=$1 interpreter
    interpreter=$(python)
    # Debian splits ensurepip off: without it a venv has no pip
    if ! "$interpreter" -c 'import ensurepip, venv' 2>/dev/null; then
        install python3-venv || fail 'this Python cannot make environments; on Debian: apt-get install python3-venv'
    fi
    printf 'setup: %s with %s; the first time takes a minute or two …\n' "$directory" "$("$interpreter" --version)" >&2
    "$interpreter" -m venv --clear "$directory"
    "$directory/bin/python" -m pip --quiet --disable-pip-version-check install --constraint constraints.txt --editable '.[dev]'
}

make_tools() {
    if ! { command -v prometheus && command -v promtool; } >/dev/null; then
        # the tests start their own Prometheus: the package must not start its service
        RUNLEVEL=1 install prometheus || printf 'setup: tests with a real Prometheus will be skipped; on Debian: apt-get install prometheus\n' >&2
    fi
    local program package
    for program in kcat curl chromium amtool soffice; do
        package=${program/soffice/libreoffice-calc-nogui}
        package=${package/amtool/prometheus-alertmanager}
        command -v "$program" >/dev/null || RUNLEVEL=1 install "$package" ||
            printf 'setup: tests with %s will be skipped; on Debian: apt-get install %s\n' "$program" "$package" >&2
    done
}

case "${1:-}" in
venv) make_venv "${2:?directory}" ;;
tools) make_tools ;;
*) fail 'use: setup.sh venv DIR | setup.sh tools' ;;
esac
