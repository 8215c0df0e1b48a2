#!/usr/bin/env bash
# Instructions of a message with one, two and four connection managers, by callgrind: Redis and Cassandra by scripts/cluster.sh, the
# processes of Starling by the load generator. Arguments go to `starling-loadtest bench-managers`; without any the table of
# docs/benchmarks.md is written anew.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. scripts/lib/install.sh
if [[ $# -eq 0 ]]; then
  set -- --write docs/benchmarks.md
fi
need_apt valgrind
cargo build --profile quick -p starling-server -p starling-loadtest
export STARLING=target/quick/starling CLUSTER_DIR=target/bench-managers-stores CLUSTER_REDIS=17479 CLUSTER_CQL=20142
trap 'scripts/cluster.sh stop && rm -rf "$CLUSTER_DIR"' EXIT
stores=$(scripts/cluster.sh stores)
target/quick/starling-loadtest bench-managers --server "$STARLING" --stores "$stores" "$@"
