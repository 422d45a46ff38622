#!/usr/bin/env bash
# A Postgres server for tests: an empty one on a free port of this machine, in a folder of its own, that
# writes nothing through to the disk. Says `postgres postgres://…` when it takes connections, and ends,
# leaving nothing behind, when its standard input does. Until then it takes commands there, one a line, and
# says `done` after each: `stop` (as a person would), `crash` (each process is killed), `start`; `freeze` and `thaw`
# (each process stands still, and goes on); `tls FOLDER` (only TLS, with the `server.crt` and `server.key` there).
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

# control COMMAND…: tells the server something.
control() {
  "${as_user[@]}" "$folder/pg_ctl" -D "$work/data" "$@" >/dev/null 2>&1
}

end() {
  control -m immediate stop || true
  rm -rf "$work"
}
trap end EXIT

start() {
  control -l "$work/log" -w -o \
    "-p $port -h 127.0.0.1 -k $work -c fsync=off -c full_page_writes=off -c max_connections=300" start
}

# Nothing but TLS from now on, with what lies in a folder.
secure() {
  local name
  for name in server.crt server.key; do
    cp "$1/$name" "$work/data/$name"
    [ "$(id -u)" -ne 0 ] || chown postgres "$work/data/$name"
    chmod 600 "$work/data/$name"
  done
  echo 'ssl = on' >>"$work/data/postgresql.conf"
  echo 'hostssl all all 127.0.0.1/32 trust' >"$work/data/pg_hba.conf"
  control -m fast stop
  start
}

# signal NAME: to the server and all that it has started.
signal() {
  local main
  main=$(head -n 1 "$work/data/postmaster.pid")
  # shellcheck disable=SC2046 # a list of numbers
  kill "-$1" "$main" $(cat "/proc/$main/task/$main/children")
}

"${as_user[@]}" "$folder/initdb" -D "$work/data" -U postgres -A trust --no-sync -E UTF8 --locale=C.UTF-8 >/dev/null
# Another process may take a free port before the server does: then the next one.
for port in $(shuf -i 20000-30000 -n 20); do
  if start; then
    echo "postgres postgres://postgres@127.0.0.1:$port"
    while read -r command argument; do
      case $command in
        stop) control -m fast stop ;;
        crash) control -m immediate stop ;;
        start) start ;;
        freeze) signal STOP ;;
        thaw) signal CONT ;;
        tls) secure "$argument" ;;
        *) echo "no such command: $command" >&2; exit 2 ;;
      esac
      echo 'done'
    done
    exit 0
  fi
done
cat "$work/log" >&2
exit 1
