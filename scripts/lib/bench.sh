#!/usr/bin/env bash
# Figures on loopback: builds the program and the load generator, and runs the generator's `bench`, which starts the server itself.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
if ! grep -q starling-history loadtest/Cargo.toml; then
  echo "the load generator is not written yet"
  exit 1
fi
cargo build --release -p starling-server -p starling-loadtest
target/release/starling-loadtest bench --server target/release/starling "$@"
