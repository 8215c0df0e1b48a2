#!/usr/bin/env bash
# Looks for inputs that break a fuzz target, FUZZ_SECONDS for each; the arguments name targets, none means all.
# What breaks one lies in fuzz/artifacts; put into fuzz/corpus it is replayed by `make test`, without any of this.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
# Coverage needs switches that only nightly takes; RUSTC_BOOTSTRAP lets the stable compiler take them.
export RUSTC_BOOTSTRAP=1
command -v cargo-fuzz >/dev/null || cargo install cargo-fuzz --locked || exit 1

[ $# -gt 0 ] || { set -- fuzz/fuzz_targets/*.rs; set -- "${@##*/}"; set -- "${@%.rs}"; }
passed=0 failed=0
for name in "$@"; do
  echo "fuzz $name for ${FUZZ_SECONDS:-60} s"
  mkdir -p "target/fuzz-corpus/$name"
  if cargo fuzz run --sanitizer none --features libfuzzer "$name" "target/fuzz-corpus/$name" "fuzz/corpus/$name" -- \
    "-max_total_time=${FUZZ_SECONDS:-60}" -timeout=10 -max_len=16384 -print_final_stats=1; then
    passed=$((passed + 1))
  else
    echo "FAILED fuzz $name"
    failed=$((failed + 1))
  fi
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
