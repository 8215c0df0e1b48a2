#!/usr/bin/env bash
# Starts the server under test, Starling or (to prove the tests themselves) Prosody, on free ports of 127.0.0.1. Sourced by run.sh.
# Sets the INTEROP_* variables that the clients read. Run as a program it ends the server by a signal and starts it again:
#
#   scripts/interop/server.sh restart TERM|KILL    with the INTEROP_* variables of start_server

DOMAIN=localhost
# The tester's own settings are not those of the server under test.
unset "${!STARLING_@}"

free_ports() {
  python3 - "$1" <<'PY'
import socket, sys
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
print(*(s.getsockname()[1] for s in sockets))
PY
}

# choose_ports [HOST [PORT]]: STARTTLS (or PORT), direct TLS, HTTP without and with TLS (/ws and /bosh), and one for what the server keeps to itself.
choose_ports() {
  export INTEROP_DOMAIN=$DOMAIN INTEROP_HOST=${1:-127.0.0.1} INTEROP_PORT INTEROP_TLS_PORT INTEROP_HTTP_PORT INTEROP_HTTPS_PORT
  local own
  read -r INTEROP_PORT INTEROP_TLS_PORT INTEROP_HTTP_PORT INTEROP_HTTPS_PORT own <<<"$(free_ports 5)"
  ADMIN_PORT=$own INTEROP_PORT=${2:-$INTEROP_PORT}
}

# wait_for_port PORT: until something listens there, at most 20 s, and only while the server lives.
wait_for_port() {
  for _ in $(seq 100); do
    server_lives || return 1
    if (exec 3<>"/dev/tcp/$INTEROP_HOST/$1") 2>/dev/null; then return 0; fi
    sleep 0.2
  done
  return 1
}

# server_lives: a process that ended but was not waited for is gone, too.
server_lives() {
  local pid state=''
  pid=$(cat "$INTEROP_DIR/pid" 2>/dev/null) && read -r _ _ state _ 2>/dev/null <"/proc/$pid/stat"
  [ -n "$state" ] && [ "$state" != Z ]
}

# start_server KIND PROGRAM DIR [HOST [PORT]]: KIND is starling or prosody; DIR is empty and ours. The log is DIR/server.log.
start_server() {
  export INTEROP_KIND=$1 INTEROP_PROGRAM INTEROP_DIR=$3 INTEROP_SCRIPTS
  INTEROP_SCRIPTS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
  INTEROP_PROGRAM=$(command -v "$2") || { echo "there is no program $2"; return 1; }
  INTEROP_PROGRAM=$(realpath "$INTEROP_PROGRAM")
  choose_ports "${@:4}"
  "configure_$1" && launch
}

# launch: starts the configured server and waits until it listens everywhere.
launch() {
  local port
  "command_$INTEROP_KIND" >>"$INTEROP_DIR/server.log" 2>&1 </dev/null &
  echo $! >"$INTEROP_DIR/pid"
  for port in "$INTEROP_PORT" "$INTEROP_TLS_PORT" "$INTEROP_HTTP_PORT" "$INTEROP_HTTPS_PORT"; do
    if ! wait_for_port "$port"; then
      echo "the server does not listen on port $port; its log ends:"
      tail -n 20 "$INTEROP_DIR/server.log"
      return 1
    fi
  done
}

# Eight accounts are made by four clients, and some more to be removed again: more than one address may make in an hour.
configure_starling() {
  cat >"$INTEROP_DIR/starling.toml" <<TOML
domains = ["$DOMAIN"]

[listen]
c2s = ["$INTEROP_HOST:$INTEROP_PORT"]
direct-tls = ["$INTEROP_HOST:$INTEROP_TLS_PORT"]
http = []
plain-http = ["$INTEROP_HOST:$INTEROP_HTTP_PORT"]
https = ["$INTEROP_HOST:$INTEROP_HTTPS_PORT"]

[admin]
listen = "127.0.0.1:$ADMIN_PORT"

[im.registration]
enabled = true
per-address-and-hour = 0
TOML
}

command_starling() {
  exec "$INTEROP_PROGRAM" run --data-dir "$INTEROP_DIR/data" --config "$INTEROP_DIR/starling.toml"
}

configure_prosody() {
  local dir=$INTEROP_DIR
  mkdir -p "$dir/data" "$dir/certs"
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "/CN=$DOMAIN" \
    -addext "subjectAltName=DNS:$DOMAIN" -keyout "$dir/certs/key.pem" -out "$dir/certs/cert.pem" 2>/dev/null
  cat >"$dir/prosody.cfg.lua" <<LUA
run_as_root = true
pidfile = "$dir/prosody.pid"
data_path = "$dir/data"
log = { { levels = { min = "info" }, to = "console" } }
modules_enabled = {
  "roster", "saslauth", "tls", "disco", "register", "ping", "time", "version", "blocklist",
  "smacks", "carbons", "mam", "bosh", "websocket", "csi_simple",
}
modules_disabled = { "s2s" }
allow_registration = true
ssl = { key = "$dir/certs/key.pem", certificate = "$dir/certs/cert.pem" }
authentication = "internal_hashed"
interfaces = { "127.0.0.1" }
c2s_ports = { $INTEROP_PORT }
c2s_direct_tls_ports = { $INTEROP_TLS_PORT }
c2s_direct_tls_ssl = { key = "$dir/certs/key.pem", certificate = "$dir/certs/cert.pem" }
http_ports = { $INTEROP_HTTP_PORT }
https_ports = { $INTEROP_HTTPS_PORT }
https_interfaces = { "127.0.0.1" }
https_ssl = { key = "$dir/certs/key.pem", certificate = "$dir/certs/cert.pem" }
http_interfaces = { "127.0.0.1" }
http_default_host = "$DOMAIN"
http_paths = { websocket = "/ws", bosh = "/bosh" }
consider_bosh_secure = true
consider_websocket_secure = true
cross_domain_bosh = true
cross_domain_websocket = true
VirtualHost "$DOMAIN"
LUA
}

command_prosody() {
  exec "$INTEROP_PROGRAM" -F --config "$INTEROP_DIR/prosody.cfg.lua"
}

# end_server SIGNAL: ends the server by it; by KILL if it still lives 20 s later, which is an error.
end_server() {
  local pid
  pid=$(cat "$INTEROP_DIR/pid" 2>/dev/null) || return 0
  kill "-$1" "$pid" 2>/dev/null
  for _ in $(seq 200); do
    server_lives || return 0
    sleep 0.1
  done
  echo "the server does not end by SIG$1"
  kill -KILL "$pid" 2>/dev/null
  return 1
}

stop_server() {
  end_server TERM && rm -f "$INTEROP_DIR/pid"
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
  case ${1-}:${2-} in
    restart:TERM | restart:KILL) end_server "$2" && launch ;;
    *) sed -n '2,6s/^# \{0,1\}//p' "$0" && exit 64 ;;
  esac
fi
