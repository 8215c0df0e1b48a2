#!/usr/bin/env bash
# Figures of a cluster on loopback: Redis and Cassandra by scripts/cluster.sh, two routers and two managers by the load generator.
# Arguments go to `starling-loadtest bench-cluster`; without any the table of docs/benchmarks.md is written anew.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
if [[ $# -eq 0 ]]; then
  set -- --write docs/benchmarks.md
fi
cargo build --release -p starling-server -p starling-loadtest
ulimit -n "$(ulimit -Hn)"
export STARLING=target/release/starling CLUSTER_DIR=target/bench-cluster CLUSTER_REDIS=17379 CLUSTER_CQL=20042
trap 'scripts/cluster.sh stop && rm -rf "$CLUSTER_DIR"' EXIT
stores=$(scripts/cluster.sh stores)
target/release/starling-loadtest bench-cluster --server "$STARLING" --stores "$stores" \
  --beside "redis=$(<"$CLUSTER_DIR/redis.pid"),cassandra=$(<"$CLUSTER_DIR/cassandra.pid")" "$@"
if [[ " $* " == *" --write "* ]]; then # what follows from the figures
  target/release/starling-loadtest model --write docs/explanation/capacity.md >/dev/null
fi
