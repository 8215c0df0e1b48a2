#!/usr/bin/env bash
# Fuzz targets: without arguments each runs for FUZZ_SECONDS; with `replay` the committed corpus runs through each once.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
shopt -s nullglob
targets=(fuzz/fuzz_targets/*.rs)
if [ ${#targets[@]} = 0 ]; then
  echo "there are no fuzz targets yet"
  exit 1
fi
# Coverage needs switches that only nightly takes; RUSTC_BOOTSTRAP lets the stable compiler take them.
export RUSTC_BOOTSTRAP=1
command -v cargo-fuzz >/dev/null || cargo install cargo-fuzz --locked || exit 1

passed=0 failed=0
for target in "${targets[@]}"; do
  name=$(basename "$target" .rs)
  if [ "${1-}" = replay ]; then
    limit=-runs=0
  else
    limit=-max_total_time=${FUZZ_SECONDS:-60}
  fi
  echo "fuzz $name $limit"
  mkdir -p "target/fuzz-corpus/$name"
  if cargo fuzz run --sanitizer none "$name" "target/fuzz-corpus/$name" "fuzz/corpus/$name" -- "$limit"; then
    passed=$((passed + 1))
  else
    echo "FAILED fuzz $name"
    failed=$((failed + 1))
  fi
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
