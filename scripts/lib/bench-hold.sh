#!/usr/bin/env bash
# As many idle clients as six managers and a router hold on loopback: Redis and Cassandra by scripts/cluster.sh, the processes of
# Starling by the load generator. Arguments go to `starling-loadtest bench-hold`; without any the table of docs/benchmarks.md is
# written anew.
. "$(dirname "${BASH_SOURCE[0]}")/figures.sh"
build_release
export STARLING=target/release/starling
start_stores target/bench-hold 17579 20242
measure target/release/starling-loadtest bench-hold --server "$STARLING" --stores "$stores" --beside "$beside" "$@"
