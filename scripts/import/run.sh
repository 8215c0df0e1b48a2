#!/usr/bin/env bash
# Real ejabberd and Prosody, filled by clients, exported by their own tools, imported into Starling, whose users then sign in with
# their old passwords (crates/server/tests/program/import.rs).
#
#   scripts/import/run.sh            fresh exports, and the tests on them
#   scripts/import/run.sh --record   keeps these exports for `make test`, which has the tests but none of the servers
#
# As root or through sudo: both tools change to the user of their server. Ends with `N passed, N failed`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. scripts/lib/install.sh

recorded=crates/server/tests/program/exports
need_apt ejabberd erlang-base prosody
root=$(mktemp -d) pid=
chmod 755 "$root"
trap 'stop; as_root rm -rf "$root"' EXIT

port() { python3 -c 'import socket; print(socket.create_server(("127.0.0.1", 0)).getsockname()[1])'; }

# write FILE INTO: a configuration, for this place and port.
write() { sed -e "s|@DIR@|$root/$server|; s|@PORT@|$port|" "scripts/import/$1" >"$2"; }

listens() {
  for _ in $(seq 300); do
    (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && return
    sleep 0.1
  done
  echo "$server does not listen" >&2 && return 1
}

# Prosody itself says who it is: what runs in the background is the shell around it.
stop() {
  [ -z "$pid" ] || { as_root kill "$(cat "$root/prosody/pid")"; wait "$pid" || true; }
  pid=
}

server=ejabberd port=$(port) dir=$root/ejabberd
mkdir -p "$dir"/{data,logs,export,conf}
write ejabberd.yml "$dir/conf/ejabberd.yml"
echo >"$dir/conf/ejabberdctl.cfg"
cp /etc/ejabberd/inetrc "$dir/conf"
as_root chown -R ejabberd "$dir"
ctl() {
  (cd "$dir" && as_root ejabberdctl --node "import$port@localhost" --config-dir "$dir/conf" --config "$dir/conf/ejabberd.yml" \
    --ctl-config "$dir/conf/ejabberdctl.cfg" --logs "$dir/logs" --spool "$dir/data" "$@")
}
ctl foreground >"$root/ejabberd.out" 2>&1 &
listens
python3 scripts/import/people.py "$port"
ctl export_piefxis "$dir/export"
ctl stop
wait

server=prosody port=$(port) dir=$root/prosody
mkdir -p "$dir"/{data,certs}
write prosody.cfg.lua "$dir/prosody.cfg.lua"
write migrator.cfg.lua "$dir/migrator.cfg.lua"
as_root prosody -F --config "$dir/prosody.cfg.lua" >"$root/prosody.out" 2>&1 &
pid=$!
listens
python3 scripts/import/people.py "$port"
stop
as_root chown -R prosody "$dir"
# It writes beside the data of the configured server, whatever the path of `output` says.
(cd "$dir" && as_root prosody-migrator --config="$dir/migrator.cfg.lua" input output) >"$root/migrator.out" 2>&1 || { cat "$root/migrator.out"; exit 1; }
mkdir "$root/exports" "$root/exports/prosody"
as_root mv /var/lib/prosody/{alice,bob,carol}@localhost.xml "$root/exports/prosody"
as_root cp -r "$root/ejabberd/export" "$root/exports/ejabberd"
as_root chown -R "$(id -u)" "$root/exports"

if [ "${1-}" = --record ]; then
  rm -rf "$recorded"
  cp -r "$root/exports" "$recorded"
fi
STARLING_EXPORTS=$root/exports cargo test -p starling-server --test program import::users
