#!/usr/bin/env bash
# Makes an archive of the debug build, which is there already, and looks into it as somebody would who has downloaded it.
#
#   tests/shipping/archive.sh FOLDER      FOLDER is empty and stays
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
folder=$(realpath "$1")

fail() {
  printf '%s\n' "$*" >&2
  exit 1
}

make() {
  SOURCE_DATE_EPOCH=1700000000 COMPRESSION=1 .ci/release --profile dev \
    --binary "${CARGO_TARGET_DIR:-target}/debug/ollama-benchmarker" --output "$folder/$1" >/dev/null
}

# What an archive holds does not depend on when and where it is made.
make first
make second
cmp "$folder"/{first,second}/SHA256SUMS || fail 'the same sources made two archives'
(cd "$folder/first" && sha256sum --check --quiet SHA256SUMS)
archive=$(echo "$folder"/first/*.tar.gz)
entries=$(tar --list --verbose --file "$archive")
! grep -vE '^[-d]r[-w]x?.* 0/0 ' <<<"$entries" || fail 'entries belong to somebody'
tar --extract --directory "$folder" --file "$archive"
cd "$folder/$(basename "$archive" .tar.gz)"

for file in README.md LICENSE CHANGELOG.md licences.txt; do
  [ -s "$file" ] || fail "there is no $file"
done

# It runs, and tells the version that the archive is named after.
version=$(./ollama-benchmarker --version)
name=$(basename "$archive" .tar.gz)
read -r _ number _ <<<"$version"
[[ $name == "ollama-benchmarker-$number-"* ]] || fail "$version is in $name"
DATABASE_URL=sqlite:runs.db OLLAMA_HOST=127.0.0.1:9 BENCHMARKER_CALIBRATION__AUTOMATIC=false \
  ./ollama-benchmarker run --model steady@reference --prompt hello --param num_predict=4 --format json \
  | grep --quiet '"success": *true' || fail 'it does not measure'

# A page for each command, and no page that a reader of manuals complains about.
for command in $(./ollama-benchmarker --help | awk '/^Commands:/{on=1; next} /^$/{on=0} on && /^  [a-z]/{print $1}'); do
  [ "$command" = help ] || [ -s "man/ollama-benchmarker-$command.1" ] || fail "no page tells of $command"
done
for page in man/*.1; do
  complaints=$(groff -man -Tutf8 -ww -z "$page" 2>&1)
  [ -z "$complaints" ] || fail "$page: $complaints"
done
./ollama-benchmarker man nova ask | cmp - man/ollama-benchmarker-nova-ask.1
groff -man -Tascii man/ollama-benchmarker-run.1 | grep --quiet 'until-decided' || fail 'the page of run lacks a flag'

# The shell completes what the program knows.
completed=$(bash --norc -c '
  source completions/ollama-benchmarker.bash
  COMP_WORDS=(ollama-benchmarker stat) COMP_CWORD=1
  $(complete -p ollama-benchmarker | sed "s/.*-F \([^ ]*\).*/\1/") ollama-benchmarker stat ollama-benchmarker
  echo "${COMPREPLY[@]}"')
[ "$completed" = statistics ] || fail "bash completes \`stat\` to \`$completed\`"
for file in _ollama-benchmarker ollama-benchmarker.fish ollama-benchmarker.elv _ollama-benchmarker.ps1; do
  grep --quiet calibrate "completions/$file" || fail "completions/$file does not know \`calibrate\`"
done

# Whose work is within.
for part in 'SQLite 3' 'Swagger UI' 'htmx.org' 'ring 0' 'libsqlite3-sys' "Rust's standard library" 'tokio 1' 'Mozilla Public License' \
  'Permission is hereby granted' 'SmartBear' 'May you do good and not evil'; do
  grep --quiet "$part" licences.txt || fail "the licences do not tell of $part"
done
! grep -E '^(proptest|insta|bson) ' licences.txt || fail 'the licences tell of what only tests use'
