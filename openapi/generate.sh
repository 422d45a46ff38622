#!/usr/bin/env bash
# Generates a client of the HTTP API from openapi/openapi.json.
#
#   openapi/generate.sh python|typescript|rust FOLDER
#
# FOLDER is made, or made anew where it is what this script made before. Each generator has its settings in
# the folder of its language beside this script, pinned with all that it needs. It is fetched once, to
# ${XDG_CACHE_HOME:-~/.cache}/ollama-benchmarker-clients; the same specification gives the same bytes.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/ollama-benchmarker-clients
readonly here cache specification=$here/openapi.json

die() {
  printf '%s\n' "$*" >&2
  exit 1
}

# The first 16 digits of the hash of some files.
hash_of() {
  cat "$@" | sha256sum | cut -c1-16
}

# As a package that is called `ollama_benchmarker_client`.
python() {
  local tools
  tools=$cache/python-$(hash_of "$here/python/requirements.txt")
  if [ ! -f "$tools/complete" ]; then
    rm -rf "$tools"
    python3 -m venv "$tools"
    "$tools/bin/python" -m pip install --quiet --no-deps --requirement "$here/python/requirements.txt"
    touch "$tools/complete"
  fi
  "$tools/bin/openapi-python-client" generate --path "$specification" --config "$here/python/config.yaml" \
    --output-path "$1" --overwrite --fail-on-warning
}

# As modules of ECMAScript in TypeScript, which need nothing but `fetch`.
typescript() {
  local tools
  tools=$cache/typescript-$(hash_of "$here/typescript/package.json" "$here/typescript/package-lock.json")
  if [ ! -d "$tools" ]; then
    rm -rf "$tools.new"
    mkdir -p "$tools.new"
    cp "$here/typescript/package.json" "$here/typescript/package-lock.json" "$tools.new"
    (cd "$tools.new" && npm ci --ignore-scripts --no-audit --no-fund)
    mv -T "$tools.new" "$tools"
  fi
  SPECIFICATION=$specification FOLDER=$1 node "$tools/node_modules/@hey-api/openapi-ts/bin/run.js" \
    --no-log-file --silent --file "$here/typescript/openapi-ts.config.mjs"
}

# As a crate that is called `ollama-benchmarker-client`.
rust() {
  CARGO_TARGET_DIR=$cache/rust cargo run --quiet --locked --manifest-path "$here/rust/Cargo.toml" -- \
    "$specification" "$1"
}

[ "$#" -eq 2 ] || die 'usage: openapi/generate.sh python|typescript|rust FOLDER'
language=$1
folder=$(realpath -m "$2")
case $language in
  python | typescript | rust) ;;
  *) die "there is no client in \`$language\`: python, typescript or rust" ;;
esac
# The specification that it was made of lies in each client, and tells it from other folders.
if [ -e "$folder" ] && [ ! -f "$folder/openapi.json" ]; then
  die "$folder is there, and is no client that this script has made; name another folder"
fi
rm -rf "$folder"
mkdir -p "$(dirname "$folder")" "$cache"
"$language" "$folder"
cp "$specification" "$folder"
