#!/usr/bin/env bash
# A Postgres server for tests: an empty one on a free port of this machine, in a folder of its own, that
# writes nothing through to the disk. Says `postgres postgres://…` when it takes connections, and ends,
# leaving nothing behind, when its standard input does.
set -euo pipefail

# The server's programs: Debian keeps them out of the path.
folder=$(dirname "$(type -P initdb || ls -d /usr/lib/postgresql/*/bin/initdb 2>/dev/null | sort -V | tail -n 1)")
[ -x "$folder/initdb" ] || { echo 'initdb is missing; install postgresql' >&2; exit 1; }

work=$(mktemp -d)
# It refuses to run as root.
as_user=()
if [ "$(id -u)" -eq 0 ]; then
  chown postgres "$work"
  as_user=(setpriv --reuid=postgres --regid=postgres --clear-groups)
fi
# A place that this account may be in.
cd "$work"

end() {
  "${as_user[@]}" "$folder/pg_ctl" -D "$work/data" -m immediate stop >/dev/null 2>&1 || true
  rm -rf "$work"
}
trap end EXIT

"${as_user[@]}" "$folder/initdb" -D "$work/data" -U postgres -A trust --no-sync -E UTF8 --locale=C.UTF-8 >/dev/null
# Another process may take a free port before the server does: then the next one.
for port in $(shuf -i 20000-30000 -n 20); do
  if "${as_user[@]}" "$folder/pg_ctl" -D "$work/data" -l "$work/log" -w -o \
    "-p $port -h 127.0.0.1 -k $work -c fsync=off -c full_page_writes=off -c max_connections=300" start >/dev/null 2>&1; then
    echo "postgres postgres://postgres@127.0.0.1:$port"
    cat >/dev/null
    exit 0
  fi
done
cat "$work/log" >&2
exit 1
