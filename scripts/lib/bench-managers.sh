#!/usr/bin/env bash
# Instructions of a message with one, two and four connection managers, by callgrind: Redis and Cassandra by scripts/cluster.sh, the
# processes of Starling by the load generator. Arguments go to `starling-loadtest bench-managers`; without any the table of
# docs/benchmarks.md is written anew.
. "$(dirname "${BASH_SOURCE[0]}")/figures.sh"
need_apt valgrind
cargo build --profile quick -p starling-server -p starling-loadtest
export STARLING=target/quick/starling
start_stores target/bench-managers-stores 17479 20142
measure target/quick/starling-loadtest bench-managers --server "$STARLING" --stores "$stores" "$@"
