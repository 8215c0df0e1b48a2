#!/usr/bin/env bash
# Builds the program with promises broken on purpose (crates/slot/src/broken.rs) and runs the kill test of each
# promise against it: a test that passes then proves nothing. Ends with `N passed, N failed`.
set -uo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
profile=${PROFILE:-quick}

# The promise, the test that must fail, and the fault that it must name.
breaks=(
  "store-before-ack  rounds_of_kill_nine_lose_double_and_reorder_nothing                  not archived:"
  "keep-until-ack    kill_nine_between_send_and_the_devices_ack_takes_nothing_from_it     everything that was never acknowledged"
  "do-once           what_is_sent_again_is_done_once                                      archived twice:"
  "store-before-read what_is_said_meanwhile_is_missed_by_no_reader_of_an_archive          not archived:"
)

# Never optimised: the feature refuses that. Only two crates are built anew; `target/debug/starling` is restored by the next build.
cargo build -p starling-server --features broken || exit 1
mkdir -p target/broken && cp target/debug/starling target/broken/starling || exit 1
cargo test --profile "$profile" -p starling-server --test kill --no-run || exit 1

passed=0 failed=0
for line in "${breaks[@]}"; do
  read -r promise test fault <<<"$line"
  log=target/broken/$promise.log
  BROKEN_PROMISE=$promise STARLING_BIN=$PWD/target/broken/starling STARLING_KILL_ROUNDS=${STARLING_BROKEN_ROUNDS:-8} \
    cargo test --profile "$profile" -p starling-server --test kill "$test" >"$log" 2>&1
  code=$?
  if [ $code != 0 ] && grep -q "$fault" "$log"; then
    echo "$promise broken: noticed ($(grep -m1 "$fault" "$log" | sed 's/^ *//'))"
    passed=$((passed + 1))
  else
    echo "$promise broken: NOT noticed by $test, see $log" >&2
    failed=$((failed + 1))
  fi
done

# With no promise broken the same program passes, so it is the break that is noticed.
log=target/broken/none.log
if STARLING_BIN=$PWD/target/broken/starling cargo test --profile "$profile" -p starling-server --test kill what_is_sent >"$log" 2>&1; then
  passed=$((passed + 1))
else
  echo "with nothing broken a test fails, see $log" >&2
  failed=$((failed + 1))
fi
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
