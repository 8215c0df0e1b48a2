#!/usr/bin/env bash
# Figures on loopback: builds the program and the load generator, and runs the generator's `bench`, which starts the server itself.
# `scripts/lib/bench.sh --only chat-16 --runs 1` runs what is named and leaves the page alone.
. "$(dirname "${BASH_SOURCE[0]}")/figures.sh"
build_release
target/release/starling-loadtest bench --server target/release/starling "$@"
write_capacity "$@"
