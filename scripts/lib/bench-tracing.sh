#!/usr/bin/env bash
# What logs and traces cost that nobody wants: instructions of the hot path in the guard's program as it is, and in one whose `tracing`
# and `log` are compiled away. Arguments go to `starling-bench tracing`; without any the table of docs/benchmarks.md is written anew.
. "$(dirname "${BASH_SOURCE[0]}")/figures.sh"
need_apt valgrind
# Both beside the server, so that they are built of the same parts; the one that stays is the guard's.
build=(cargo build --profile quick -p starling-server -p starling-bench --bin starling-bench)
mkdir -p target/bench-tracing
"${build[@]}" --features starling-bench/silent
cp target/quick/starling-bench target/bench-tracing/silent-program
"${build[@]}"
target/quick/starling-bench tracing target/bench-tracing/silent-program "$@"
