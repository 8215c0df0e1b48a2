#!/usr/bin/env bash
# A cluster on loopback without containers: Redis, Apache Cassandra, two session routers, two connection managers.
#
#   scripts/cluster.sh start [PART]   starts what does not run, prints where it is and how to break it
#   scripts/cluster.sh stores         starts Redis and Cassandra alone, makes the tables, prints the file that names them to routers
#   scripts/cluster.sh kill PART      kill -9
#   scripts/cluster.sh end PART       SIGTERM, and waits
#   scripts/cluster.sh status         which parts run
#   scripts/cluster.sh stop           SIGTERM to all, and waits; data stays in target/cluster
#
# PART is redis, cassandra, router-1, router-2, manager-1 or manager-2. Each has a directory in target/cluster: its configuration, log and
# data; its process id is in target/cluster/PART.pid. STARLING names the program (target/quick/starling). CLUSTER_DIR, CLUSTER_REDIS
# and CLUSTER_CQL, a directory and two ports, make another cluster beside it. CLUSTER_MORE is a file that ends each configuration.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/lib/install.sh
parts=(redis cassandra router-1 router-2 manager-1 manager-2)
program=${STARLING:-target/quick/starling}
dir=${CLUSTER_DIR:-target/cluster}
redis_port=${CLUSTER_REDIS:-16379}
cql_port=${CLUSTER_CQL:-19042}

# of PART: its number among those of its kind.
of() { echo "${1##*-}"; }
# Ports of PART: those of manager 1 begin with 15, of manager 2 with 25, of router 1 with 13, of router 2 with 14.
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

# What routers are told of the stores, and of the secret that they share.
configure_stores() {
  mkdir -p "$dir"
  [ -s "$dir/secret" ] || (umask 077 && head -c 32 /dev/urandom >"$dir/secret")
  {
    echo "[cluster]"
    echo "secret = \"$PWD/$dir/secret\""
    tables
  } >"$dir/stores.toml"
  tables >"$dir/tables.toml"
}
tables() {
  echo "[redis]"
  echo "url = \"redis://127.0.0.1:$redis_port/0\""
  echo "[scylla]"
  echo "nodes = [\"127.0.0.1:$cql_port\"]"
  echo 'request-timeout = "20s"'
}

configure() {
  local part=$1
  mkdir -p "$dir/$part"
  {
    echo 'mode = "cluster"'
    echo "data-dir = \"$dir/$part/data\""
    echo "[admin]"
    echo "listen = \"127.0.0.1:$(port "$part" 281)\""
    case $part in
      router-*)
        tables
        cluster_of "$part"
        echo "secret = \"$PWD/$dir/secret\""
        echo 'roles = ["session-router"]'
        echo "listen = \"127.0.0.1:$(port "$part" 290)\""
        ;;
      manager-*)
        cluster_of "$part"
        echo 'roles = ["connection-manager"]'
        echo "routers = [\"127.0.0.1:$(port router-1 290)\", \"127.0.0.1:$(port router-2 290)\"]"
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
    [ -z "${CLUSTER_MORE-}" ] || cat "$CLUSTER_MORE"
  } >"$dir/$part/starling.toml"
}
cluster_of() {
  echo "[cluster]"
  echo "name = \"$1\""
  echo "plaintext = true"
}

start_redis() {
  need_apt redis-server
  mkdir -p "$dir/redis"
  redis-server --bind 127.0.0.1 --port "$redis_port" --dir "$dir/redis" --appendonly yes --appendfsync everysec --save "" \
    --maxmemory-policy noeviction --logfile log --daemonize no >/dev/null 2>&1 </dev/null &
  echo $! >"$dir/redis.pid"
  disown
  for _ in {1..300}; do
    running redis || { echo "Redis has ended: $dir/redis/log" >&2; return 1; }
    redis-cli -p "$redis_port" PING 2>/dev/null | grep -q PONG && return
    sleep 0.1
  done
  echo "Redis does not answer: $dir/redis/log" >&2
  return 1
}

cassandra() { CASSANDRA_DIR=$PWD/$dir/cassandra scripts/lib/cassandra.sh "$@"; }

start_cassandra() {
  mkdir -p "$dir/cassandra"
  [ -s "$dir/cassandra/port" ] || echo "$cql_port $((cql_port + 1))" >"$dir/cassandra/port"
  cassandra start >/dev/null
  cp "$dir/cassandra/n1/pid" "$dir/cassandra.pid"
}

start() {
  local part=$1
  running "$part" && return
  case $part in
    redis | cassandra)
      "start_$part"
      return
      ;;
  esac
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

stores() {
  configure_stores
  start redis
  start cassandra
  "$program" store migrate --config "$dir/tables.toml" >"$dir/tables.log" 2>&1 || { cat "$dir/tables.log" >&2; return 1; }
}

accounts() {
  local name
  for name in alice bob; do
    "$program" ctl --data-dir "$dir/router-1/data" user add "$name@localhost" secret >/dev/null 2>&1 || true
  done
}

tell() {
  cat <<END
A cluster on this machine:

  redis      127.0.0.1:$redis_port, the sessions
  cassandra  127.0.0.1:$cql_port, what is durable
  router-1   link 127.0.0.1:$(port router-1 290)
  router-2   link 127.0.0.1:$(port router-2 290)
  manager-1  XMPP 127.0.0.1:$(port manager-1 222) (STARTTLS), 127.0.0.1:$(port manager-1 224) (without TLS), http://localhost:$(port manager-1 280)/
  manager-2  XMPP 127.0.0.1:$(port manager-2 222) (STARTTLS), 127.0.0.1:$(port manager-2 224) (without TLS), http://localhost:$(port manager-2 280)/

Sign in as alice@localhost on one and as bob@localhost on the other, password secret, and write. Then break it:

  scripts/cluster.sh kill manager-1     its clients resume on manager-2: nothing is lost
  scripts/cluster.sh start manager-1    and it is back
  scripts/cluster.sh kill router-1      nobody notices: the other one does its work
  scripts/cluster.sh start router-1
  scripts/cluster.sh kill redis         a pause: nothing is acknowledged until it is back
  scripts/cluster.sh start redis

Logs are in $dir/PART/log, process ids in $dir/PART.pid. make cluster-stop ends it.
END
}

# end PART: SIGTERM, and waits.
end() {
  running "$1" || { rm -f "$dir/$1.pid"; return 0; }
  if [ "$1" = cassandra ]; then
    cassandra stop
  else
    kill "$(cat "$dir/$1.pid")"
    for _ in {1..300}; do running "$1" || break; sleep 0.1; done
    running "$1" && kill -9 "$(cat "$dir/$1.pid")"
  fi
  rm -f "$dir/$1.pid"
}

case ${1-} in
  start | kill | end)
    [ $# -gt 1 ] || [ "$1" = start ] || { echo "$1 which part? One of ${parts[*]}" >&2; exit 64; }
    # What is no part would be started and never be ended by `stop`.
    [ $# -lt 2 ] || [[ " ${parts[*]} " == *" $2 "* ]] || { echo "there is no part $2: ${parts[*]}" >&2; exit 64; }
    ;;
esac
case ${1-} in
  start)
    [ -n "${STARLING-}" ] || cargo build --profile quick -p starling-server
    if [ $# -gt 1 ]; then
      start "$2"
    else
      stores
      for part in router-1 router-2 manager-1 manager-2; do start "$part"; done
      accounts
      tell
    fi
    ;;
  stores)
    stores
    echo "$PWD/$dir/stores.toml"
    ;;
  kill)
    running "$2" || { echo "$2 does not run" >&2; exit 1; }
    kill -9 "$(cat "$dir/$2.pid")"
    rm -f "$dir/$2.pid"
    ;;
  end)
    end "$2"
    ;;
  status)
    for part in "${parts[@]}"; do
      if running "$part"; then echo "$part runs ($(cat "$dir/$part.pid"))"; else echo "$part does not run"; fi
    done
    ;;
  stop)
    for part in manager-1 manager-2 router-1 router-2 redis cassandra; do end "$part"; done
    ;;
  *)
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0" | grep -v '^set' >&2
    exit 64
    ;;
esac
