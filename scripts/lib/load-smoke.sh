#!/usr/bin/env bash
# Every scenario of the load generator, for a second and with few accounts, against a server that is started for it: everything
# sent must arrive once and in order. How fast it was is not judged. Then idle clients on a small cluster, as `make bench-hold` has
# them, and what is left of that when a signal ends it: nothing.
#
#   scripts/lib/load-smoke.sh PATH/starling PATH/starling-loadtest
set -uo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
server=$1 loadtest=$2
dir=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill "$pid"; wait; rm -rf "$dir"' EXIT

"$server" run --config loadtest/server.toml --data-dir "$dir/data" >"$dir/log" 2>&1 &
pid=$!
for _ in $(seq 300); do
  grep -q '^  room ' "$dir/log" && break
  sleep 0.1
done
at() { sed -n "s/^  $1  *\([0-9].*\)/\1/p" "$dir/log"; }

passed=0 failed=0
# count COMMAND…: it passes or fails.
count() {
  if timeout 120 "$@" >"$dir/out" 2>&1; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    echo "FAILED: $*" && cat "$dir/out"
  fi
}
play() {
  local file=$1 accounts=20
  shift
  [ "$(basename "$file")" = mixed.toml ] && accounts=100
  count "$loadtest" run "$file" --count $accounts --seconds 1 --correctness-only --quiet --server-pid "$pid" "$@"
}
# interrupt COMMAND…: SIGTERM while the clients log in ends it, its servers and its directory.
interrupt() {
  local own code=0
  "$@" >"$dir/out" 2>&1 &
  own=$!
  for _ in {1..600}; do
    grep -q 'clients log in' "$dir/out" && break
    sleep 0.1
  done
  local place=${TMPDIR:-/tmp}/starling-bench-hold-$own
  if [ -d "$place" ] && kill "$own" && { wait "$own" || code=$?; } && [ "$code" = 1 ] && [ ! -e "$place" ] && ! pgrep -f "$place/" >>"$dir/out"; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    echo "FAILED: ended by a signal with $code: $*" && cat "$dir/out"
  fi
}
hold() {
  local -x STARLING=$server CLUSTER_DIR=target/test-hold CLUSTER_REDIS=16480 CLUSTER_CQL=19242
  local stores
  if stores=$(scripts/cluster.sh stores); then
    local bench=("$loadtest" bench-hold --server "$server" --stores "$stores" --beside "redis=$(<"$CLUSTER_DIR/redis.pid")"
      --managers 2 --workers 2 --accounts 20)
    count "${bench[@]}" --seconds 1
    interrupt "${bench[@]}" --seconds 600
  else
    failed=$((failed + 1))
  fi
  scripts/cluster.sh stop && rm -rf "$CLUSTER_DIR"
}
for scenario in loadtest/scenarios/*.toml; do play "$scenario" --target "$(at plain)"; done
play loadtest/scenarios/chat-closed.toml --target "$(at starttls)" --transport starttls
play loadtest/scenarios/chat-closed.toml --target "$(at tls)" --transport direct-tls --mechanism scram-sha-256
play loadtest/scenarios/resume-churn.toml --target "$(at 'plain http')" --transport ws --source 127.0.0.2-127.0.0.4
play loadtest/scenarios/chat-closed-1k.toml --target "$(at https)" --transport wss
hold
[ $failed = 0 ] || cat "$dir/log"
echo "$passed passed, $failed failed"
[ $failed = 0 ]
