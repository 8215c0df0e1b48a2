#!/usr/bin/env bash
# What the scripts behind the tables of docs/benchmarks.md share. Each sources it and has its own arguments in `$@`: without any, the
# table of the page is written anew.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. scripts/lib/install.sh
[ $# -gt 0 ] || set -- --write docs/benchmarks.md

# build_release: the program and the load generator, and as many descriptors as there may be.
build_release() {
  cargo build --release -p starling-server -p starling-loadtest
  ulimit -n "$(ulimit -Hn)"
}

# start_stores DIRECTORY REDIS-PORT CQL-PORT: Redis and Cassandra until the script ends. Sets `stores`, and `beside`, which names
# their processes.
# shellcheck disable=SC2034 # for who sources this
start_stores() {
  export CLUSTER_DIR=$1 CLUSTER_REDIS=$2 CLUSTER_CQL=$3
  trap 'end_measuring && scripts/cluster.sh stop && rm -rf "$CLUSTER_DIR"' EXIT
  stores=$(scripts/cluster.sh stores)
  beside="redis=$(<"$CLUSTER_DIR/redis.pid"),cassandra=$(<"$CLUSTER_DIR/cassandra.pid")"
}

# measure COMMAND…: it ends with the script, whatever ends that, and before the stores: a shell that a signal ends leaves what it
# waits for in the foreground.
measuring=
measure() {
  local code=0
  "$@" &
  measuring=$!
  wait "$measuring" || code=$?
  measuring=
  return $code
}
end_measuring() {
  [ -n "$measuring" ] || return 0
  kill "$measuring" 2>/dev/null || true
  wait "$measuring" || true
}

# write_capacity ARGUMENT…: what follows from the figures, if these arguments wrote them.
write_capacity() {
  [[ " $* " != *" --write "* ]] || target/release/starling-loadtest model --write docs/explanation/capacity.md >/dev/null
}
