#!/usr/bin/env bash
# A cluster on loopback without containers: one session router on its embedded store, two connection managers.
#
#   scripts/cluster.sh start [PART]   starts what does not run, prints where it is and how to break it
#   scripts/cluster.sh kill PART      kill -9
#   scripts/cluster.sh status         which parts run
#   scripts/cluster.sh stop           SIGTERM to all, and waits; data stays in target/cluster
#
# PART is router-1, manager-1 or manager-2. Each has a directory in target/cluster: its configuration, log and data; its process id is
# in target/cluster/PART.pid. STARLING names the program (target/quick/starling).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
parts=(router-1 manager-1 manager-2)
program=${STARLING:-target/quick/starling}
dir=target/cluster

# of PART: its number among those of its kind.
of() { echo "${1##*-}"; }
# Ports of PART: those of manager 1 begin with 15, of manager 2 with 25, of the router with 13.
port() {
  case $1 in
    router-*) echo "$((12 + $(of "$1")))$2" ;;
    manager-*) echo "$(($(of "$1") * 10 + 5))$2" ;;
  esac
}
running() { [ -s "$dir/$1.pid" ] && kill -0 "$(cat "$dir/$1.pid")" 2>/dev/null; }
# ready PART: whether its admin listener says so.
ready() {
  exec 3<>"/dev/tcp/127.0.0.1/$(port "$1" 281)" || return
  printf 'GET /readyz HTTP/1.0\r\n\r\n' >&3
  head -1 <&3 | grep -q ' 200 '
  local code=$?
  exec 3>&-
  return $code
}

configure() {
  local part=$1
  mkdir -p "$dir/$part"
  {
    echo 'mode = "cluster"'
    echo "data-dir = \"$dir/$part/data\""
    echo "[admin]"
    echo "listen = \"127.0.0.1:$(port "$part" 281)\""
    echo "[cluster]"
    echo "name = \"$part\""
    echo "plaintext = true"
    case $part in
      router-*)
        echo 'roles = ["session-router"]'
        echo 'stores = "embedded"'
        echo "listen = \"127.0.0.1:$(port "$part" 290)\""
        ;;
      manager-*)
        echo 'roles = ["connection-manager"]'
        echo "routers = [\"127.0.0.1:$(port router-1 290)\"]"
        echo "[listen]"
        echo "c2s = [\"127.0.0.1:$(port "$part" 222)\"]"
        echo "direct-tls = [\"127.0.0.1:$(port "$part" 223)\"]"
        echo "plain = [\"127.0.0.1:$(port "$part" 224)\"]"
        echo "http = []"
        echo "https = []"
        echo "plain-http = [\"127.0.0.1:$(port "$part" 280)\"]"
        echo "[http]"
        echo "page = true"
        ;;
    esac
  } >"$dir/$part/starling.toml"
}

start() {
  local part=$1
  running "$part" && return
  configure "$part"
  "$program" run --config "$dir/$part/starling.toml" >>"$dir/$part/log" 2>&1 </dev/null &
  echo $! >"$dir/$part.pid"
  disown
  for _ in {1..300}; do
    running "$part" || { echo "$part has ended:" >&2; tail -5 "$dir/$part/log" >&2; return 1; }
    ready "$part" 2>/dev/null && return
    sleep 0.1
  done
  echo "$part was not ready within 30 s: $dir/$part/log" >&2
  return 1
}

accounts() {
  local name
  for name in alice bob; do
    "$program" ctl --data-dir "$dir/router-1/data" user add "$name@localhost" secret >/dev/null 2>&1 || true
  done
}

tell() {
  cat <<END
A session router and two connection managers on this machine:

  router-1   link 127.0.0.1:$(port router-1 290), decides on its embedded store
  manager-1  XMPP 127.0.0.1:$(port manager-1 222) (STARTTLS), 127.0.0.1:$(port manager-1 224) (without TLS), http://localhost:$(port manager-1 280)/
  manager-2  XMPP 127.0.0.1:$(port manager-2 222) (STARTTLS), 127.0.0.1:$(port manager-2 224) (without TLS), http://localhost:$(port manager-2 280)/

Sign in as alice@localhost on one and as bob@localhost on the other, password secret, and write. Then break it:

  scripts/cluster.sh kill manager-1     its clients resume on manager-2: nothing is lost
  scripts/cluster.sh start manager-1    and it is back
  scripts/cluster.sh kill router-1      stanzas wait at the managers, unacknowledged, until it is back
  scripts/cluster.sh start router-1

Logs are in $dir/PART/log, process ids in $dir/PART.pid. make cluster-stop ends it.
END
}

case ${1-} in
  start)
    [ -n "${STARLING-}" ] || cargo build --profile quick -p starling-server
    mkdir -p "$dir"
    if [ $# -gt 1 ]; then
      start "$2"
    else
      for part in "${parts[@]}"; do start "$part"; done
      accounts
      tell
    fi
    ;;
  kill)
    kill -9 "$(cat "$dir/${2:?which part}.pid")"
    rm -f "$dir/$2.pid"
    ;;
  status)
    for part in "${parts[@]}"; do
      if running "$part"; then echo "$part runs ($(cat "$dir/$part.pid"))"; else echo "$part does not run"; fi
    done
    ;;
  stop)
    for part in manager-1 manager-2 router-1; do
      running "$part" || continue
      kill "$(cat "$dir/$part.pid")"
      for _ in {1..300}; do running "$part" || break; sleep 0.1; done
      running "$part" && kill -9 "$(cat "$dir/$part.pid")"
      rm -f "$dir/$part.pid"
    done
    ;;
  *)
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0" | grep -v '^set' >&2
    exit 64
    ;;
esac
