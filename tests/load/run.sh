#!/usr/bin/env bash
# Loads the program as many people would, and as people do who behave badly. Each command starts the program with its
# own reference server and a fresh database on a free port, works it, prints a table, checks what came, and ends it all:
#
#   tests/load/run.sh locust     many who start runs, watch them, ask agents and read the history, with Locust
#   tests/load/run.sh hey        as many requests as it takes, route by route, with hey
#   tests/load/run.sh limits     more than it may take: it refuses, goes on, and is as before afterwards
#   tests/load/run.sh soak       an hour of ordinary use after another: memory and descriptors
#   tests/load/run.sh short      a little of all but hey, for tests/run.sh
#
# PROGRAM names the program (otherwise `target/release/ollama-benchmarker` is built). More arguments go on to
# tests/load/load.py; `--help` there tells of them. Exit 0: all is well; 1: something is wrong, and named.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

cache=${XDG_CACHE_HOME:-$HOME/.cache}/ollama-benchmarker-tests
tools=$cache/load-$(sha256sum <tests/load/requirements.txt | cut -c1-16)

install_locust() {
  [ -f "$tools/complete" ] && return
  rm -rf "$tools"
  python3 -m venv "$tools"
  "$tools/bin/python" -m pip install --quiet --no-deps --requirement tests/load/requirements.txt
  touch "$tools/complete"
}

install_hey() {
  type -P hey >/dev/null && return
  [ "$(id -u)" -eq 0 ] || { echo 'hey is missing; install it' >&2; exit 1; }
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends hey
}

if [ -z "${PROGRAM:-}" ]; then
  cargo build --release --quiet --locked
  PROGRAM=${CARGO_TARGET_DIR:-target}/release/ollama-benchmarker
fi
PROGRAM=$(realpath "$PROGRAM")
export PROGRAM PYTHONDONTWRITEBYTECODE=1

python=python3
case "${1:-}" in
  locust | short) install_locust; python=$tools/bin/python ;;
  hey) install_hey ;;
  limits | soak) ;;
  *) sed -n '2,13s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 1 ;;
esac
exec "$python" tests/load/load.py "$@"
