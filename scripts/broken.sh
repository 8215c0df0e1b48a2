#!/usr/bin/env bash
# Builds the program with promises broken on purpose (crates/slot/src/broken.rs) and runs the kill or fault test of each
# promise against it: a test that passes then proves nothing. Ends with `N passed, N failed`.
set -uo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
profile=${PROFILE:-quick}

# Where, the promise, the test that must fail, and the fault that it must name. `fault`: on a cluster, whose slots are on Redis.
breaks=(
  "kill  store-before-ack  rounds_of_kill_nine_lose_double_and_reorder_nothing                  not archived:"
  "kill  keep-until-ack    kill_nine_between_send_and_the_devices_ack_takes_nothing_from_it     everything that was never acknowledged"
  "kill  do-once           what_is_sent_again_is_done_once                                      archived twice:"
  "kill  store-before-read what_is_said_meanwhile_is_missed_by_no_reader_of_an_archive          not archived:"
  "fault do-once           a_killed_session_router_is_not_noticed                                doubled:"
  "fault store-before-ack  what_was_acknowledged_outlives_all_routers                            not archived:"
  "fault store-before-read what_two_routers_write_meanwhile_is_missed_by_no_reader_of_an_archive not archived:"
  "fault fence             a_former_owner_that_loses_its_socket_has_no_effect                    a former owner had an effect:"
)

# Never optimised: the feature refuses that. Only two crates are built anew; `target/debug/starling` is restored by the next build.
cargo build -p starling-server --features broken || exit 1
mkdir -p target/broken && cp target/debug/starling target/broken/starling || exit 1
cargo test --profile "$profile" -p starling-server --test kill --test fault --no-run || exit 1

. scripts/lib/install.sh
need_apt redis-server || exit 1
cql=scripts/lib/cassandra.sh started=
if [ -z "${STARLING_TEST_CQL-}" ] && ! $cql status >/dev/null; then
  $cql start || exit 1
  started=yes
fi

passed=0 failed=0
for line in "${breaks[@]}"; do
  read -r target promise test fault <<<"$line"
  log=target/broken/$target-$promise.log said=
  # What a broken promise does depends on who is quicker: one of so many runs must notice it.
  for ((run = 0; run < 6; run++)); do
    BROKEN_PROMISE=$promise STARLING_BIN=$PWD/target/broken/starling STARLING_KILL_ROUNDS=${STARLING_BROKEN_ROUNDS:-8} \
      STARLING_FAULT_ROUNDS=2 cargo test --profile "$profile" -p starling-server --test "$target" "$test" >"$log" 2>&1 ||
      said=$(grep -m1 "$fault" "$log" | sed 's/^ *//')
    [ -z "$said" ] || break
  done
  if [ -n "$said" ]; then
    echo "$target: $promise broken: noticed ($said)"
    passed=$((passed + 1))
  else
    echo "$target: $promise broken: NOT noticed by $test in $run runs, see $log" >&2
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
[ -z "$started" ] || $cql clean
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
