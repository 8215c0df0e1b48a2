#!/usr/bin/env bash
# Every scenario of the load generator, for a second and with few accounts, against a server that is started for it: everything
# sent must arrive once and in order. How fast it was is not judged.
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
play() {
  local file=$1 count=20
  shift
  [ "$(basename "$file")" = mixed.toml ] && count=100
  if timeout 120 "$loadtest" run "$file" --count $count --seconds 1 --correctness-only --quiet --server-pid "$pid" "$@" \
    >"$dir/out" 2>&1; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    echo "FAILED: $file $*" && cat "$dir/out"
  fi
}
for scenario in loadtest/scenarios/*.toml; do play "$scenario" --target "$(at plain)"; done
play loadtest/scenarios/chat-closed.toml --target "$(at starttls)" --transport starttls
play loadtest/scenarios/chat-closed.toml --target "$(at tls)" --transport direct-tls --mechanism scram-sha-256
play loadtest/scenarios/resume-churn.toml --target "$(at 'plain http')" --transport ws --source 127.0.0.2-127.0.0.4
play loadtest/scenarios/chat-closed-1k.toml --target "$(at https)" --transport wss
[ $failed = 0 ] || cat "$dir/log"
echo "$passed passed, $failed failed"
[ $failed = 0 ]
