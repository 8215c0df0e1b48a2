#!/usr/bin/env bash
# Starts the server under test, Starling or (to prove the tests themselves) Prosody, on free ports of 127.0.0.1. Sourced by run.sh.
# Sets SERVER_PID and the INTEROP_* variables that the clients read.

DOMAIN=localhost

free_ports() {
  python3 - "$1" <<'PY'
import socket, sys
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
print(*(s.getsockname()[1] for s in sockets))
PY
}

# choose_ports: STARTTLS, direct TLS, HTTP (/ws and /bosh), and one for what the server keeps to itself.
choose_ports() {
  export INTEROP_DOMAIN=$DOMAIN INTEROP_HOST=127.0.0.1 INTEROP_PORT INTEROP_TLS_PORT INTEROP_HTTP_PORT
  local own
  read -r INTEROP_PORT INTEROP_TLS_PORT INTEROP_HTTP_PORT own <<<"$(free_ports 4)"
  ADMIN_PORT=$own
}

# wait_for_port PORT: until something listens there, at most 20 s, and only while the server lives.
wait_for_port() {
  for _ in $(seq 100); do
    kill -0 "$SERVER_PID" 2>/dev/null || return 1
    if (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; then return 0; fi
    sleep 0.2
  done
  return 1
}

# start_server KIND PROGRAM DIR: KIND is starling or prosody; DIR is empty and ours. The log is DIR/server.log.
start_server() {
  local kind=$1 program=$2 dir=$3 port
  choose_ports
  "start_$kind" "$program" "$dir"
  for port in "$INTEROP_PORT" "$INTEROP_TLS_PORT" "$INTEROP_HTTP_PORT"; do
    if ! wait_for_port "$port"; then
      echo "the server does not listen on port $port; its log ends:"
      tail -n 20 "$dir/server.log"
      return 1
    fi
  done
}

start_starling() {
  local program=$1 dir=$2
  cat >"$dir/starling.toml" <<TOML
domains = ["$DOMAIN"]

[listen]
starttls = ["127.0.0.1:$INTEROP_PORT"]
direct-tls = ["127.0.0.1:$INTEROP_TLS_PORT"]
http = ["127.0.0.1:$INTEROP_HTTP_PORT"]
admin = "127.0.0.1:$ADMIN_PORT"
TOML
  "$program" run --quickstart --data-dir "$dir/data" --config "$dir/starling.toml" >"$dir/server.log" 2>&1 &
  SERVER_PID=$!
}

start_prosody() {
  local program=$1 dir=$2
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
https_ports = { }
http_interfaces = { "127.0.0.1" }
http_default_host = "$DOMAIN"
http_paths = { websocket = "/ws", bosh = "/bosh" }
consider_bosh_secure = true
consider_websocket_secure = true
cross_domain_bosh = true
cross_domain_websocket = true
VirtualHost "$DOMAIN"
LUA
  "$program" -F --config "$dir/prosody.cfg.lua" >"$dir/server.log" 2>&1 &
  SERVER_PID=$!
}

stop_server() {
  [ -n "${SERVER_PID:-}" ] || return 0
  kill "$SERVER_PID" 2>/dev/null || true
  for _ in $(seq 50); do
    kill -0 "$SERVER_PID" 2>/dev/null || break
    sleep 0.1
  done
  kill -9 "$SERVER_PID" 2>/dev/null || true
  wait "$SERVER_PID" 2>/dev/null || true
  SERVER_PID=
}
