#!/usr/bin/env bash
# Figures on loopback: builds the program and the load generator, and runs the generator's `bench`, which starts the server itself.
# `scripts/lib/bench.sh --only chat-16 --runs 1` runs what is named and leaves the page alone.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
if [[ $# -eq 0 ]]; then
  set -- --write docs/benchmarks.md
fi
cargo build --release -p starling-server -p starling-loadtest
ulimit -n "$(ulimit -Hn)"
target/release/starling-loadtest bench --server target/release/starling "$@"
if [[ " $* " == *" --write "* ]]; then # what follows from the figures
  target/release/starling-loadtest model --write docs/explanation/capacity.md >/dev/null
fi
