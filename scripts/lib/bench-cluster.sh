#!/usr/bin/env bash
# Figures of a cluster on loopback: Redis and Cassandra by scripts/cluster.sh, two routers and two managers by the load generator.
# Arguments go to `starling-loadtest bench-cluster`; without any the table of docs/benchmarks.md is written anew.
. "$(dirname "${BASH_SOURCE[0]}")/figures.sh"
build_release
export STARLING=target/release/starling
start_stores target/bench-cluster 17379 20042
measure target/release/starling-loadtest bench-cluster --server "$STARLING" --stores "$stores" --beside "$beside" "$@"
write_capacity "$@"
