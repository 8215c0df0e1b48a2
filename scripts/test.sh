#!/usr/bin/env bash
# All that must hold, part by part, with the time each took; the last line is `N passed, N failed`.
#
#   scripts/test.sh              every part
#   scripts/test.sh stories …    these parts only
#
# A part is a function `part_NAME` and a line in `parts`. Results are counted from what the part prints: `test result:` lines of
# cargo, `N passed, N failed[, N skipped]` lines of the client tests. A skipped client test is a failure, so is a part that stops
# with an error without naming one, or that runs no test at all.
set -uo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
export CARGO_TERM_COLOR=never CARGO_TERM_PROGRESS_WHEN=never
quick=target/quick/starling

# In this order. Each line: the part, what must exist for it, what it is.
parts=(
  "units    crates                              units, suites and tidy"
  "docs     docs/reference/config.md            generated pages are fresh"
  "stores   scripts/lib/cassandra.sh            stores that are servers: the ports' suites, and a cluster whose parts are killed"
  "stories  crates/server/tests/stories/main.rs stories on the embedded store"
  "cluster  crates/rpc                          the same stories on several processes"
  "kill     crates/server/tests/kill/main.rs    kill -9, and what is there afterwards"
  "model    crates/model/tests/rules.rs        the session log explored, with each of its rules and without"
  "broken   scripts/broken.sh                   promises broken on purpose are noticed"
  "interop  scripts/interop/run.sh              real clients, the chat page and the console"
  "readme   scripts/readme-test.sh              what the README says to try"
  "guard    bench/instructions.toml             instructions of the hot path: none takes more than is written down"
  "loads    loadtest/scenarios                  every scenario of the load generator, for a second"
  "k8s      scripts/k8s/check.sh                the chart, its alerts and its dashboards, without a cluster"
  "fuzz     fuzz/corpus                         the fuzz corpus, replayed"
)

. scripts/lib/install.sh

build_server() {
  cargo build --profile quick -p starling-server
}

# The server's other test targets; `stories` and `kill` are parts of their own, `cql` is in `stores`.
part_units() {
  need_apt iproute2 || return # a client vanishes from a network of its own
  local other=() test code
  for test in crates/server/tests/*.rs crates/server/tests/*/main.rs; do
    test=${test#crates/server/tests/} test=${test%/main.rs} test=${test%.rs}
    case $test in '*' | stories | kill | cql | fault) ;; *) other+=(--test "$test") ;; esac
  done
  # What `make check` keeps small has its full size here.
  STARLING_ARCHIVE_ROWS=1000000 cargo test --workspace --exclude starling-server --exclude starling-fuzz --exclude starling-store-scylla \
    --exclude starling-store-redis --exclude starling-model --no-fail-fast
  code=$?
  cargo test -p starling-server --bins "${other[@]}" --no-fail-fast && [ $code = 0 ]
}

part_docs() {
  scripts/lib/docs.sh check
}

# A Cassandra that runs already is used and left running; so is the server that STARLING_TEST_CQL names.
part_stores() {
  local cql=scripts/lib/cassandra.sh code started=
  need_apt redis-server || return # each test starts its own
  cargo test -p starling-store-redis --no-fail-fast
  code=$?
  if [ -z "${STARLING_TEST_CQL-}" ] && ! $cql status >/dev/null; then
    $cql start || return
    started=yes
  fi
  STARLING_TEST_ARCHIVE_ROWS=100000 cargo test -p starling-store-scylla --no-fail-fast || code=1
  cargo test -p starling-server --test cql || code=1
  # A cluster on both: each role is killed while messages flow, 3 times, and paused or replaced once; STARLING_FAULT_ROUNDS says another.
  # Those that kill and pause a Cassandra of their own take a minute a round: `make fault FAULT=cassandra`. So do those with a Redis
  # Cluster or Sentinels (`FAULT=failover`, `FAULT=away`); store-redis has seen these fail over with its own writers. Nor are
  # replies lost here (`FAULT=replies`) or packets (`FAULT=partitions`), nor are there storms or former versions,
  # clients without patience (`FAULT=returns`), clocks that jump (`FAULT=clocks`), stores without room (`FAULT=full`), processes with little
  # (`FAULT=memory`), answers that come late (`FAULT=late`, `FAULT=link`) or three Cassandras (`FAULT=quorum`).
  cargo test --profile quick -p starling-server --test fault -- --test-threads=1 --skip away:: --skip cassandra:: --skip failover:: \
    --skip replies:: --skip partitions:: --skip returns:: --skip storm:: --skip versions:: --skip clocks:: --skip full:: \
    --skip late:: --skip link:: --skip memory:: --skip quorum:: || code=1
  [ -z "$started" ] || $cql clean
  return $code
}

part_stories() {
  cargo test --profile quick -p starling-server --test stories --no-fail-fast
}

# On two session routers that share Redis and Cassandra; then on one with an embedded store.
part_cluster() {
  local code=1 stores stories=(cargo test --profile quick -p starling-server --test stories --no-fail-fast)
  build_server || return
  local -x CLUSTER_DIR=target/test-cluster CLUSTER_REDIS=16380 CLUSTER_CQL=19142
  if stores=$(STARLING=$quick scripts/cluster.sh stores); then
    STARLING_PRESET=cluster STARLING_STORES=$stores "${stories[@]}"
    code=$?
  fi
  scripts/cluster.sh stop && rm -rf "$CLUSTER_DIR"
  STARLING_PRESET=cluster "${stories[@]}" && [ $code = 0 ]
}

part_kill() {
  cargo test --profile quick -p starling-server --test kill --no-fail-fast
}

# The deep worlds take minutes and some gigabytes: only where STARLING_MODEL_DEPTH is `deep`. One at a time, for the memory.
part_model() {
  cargo test -p starling-model --no-fail-fast -- --test-threads 1 --nocapture
}

part_broken() {
  scripts/broken.sh
}

part_interop() {
  local code
  build_server || return
  scripts/interop/run.sh "$quick"
  code=$?
  scripts/page/console.sh "$quick" || code=1
  scripts/page/test.sh "$quick" && [ $code = 0 ]
}

part_readme() {
  build_server && scripts/readme-test.sh "$quick"
}

# Beside the server, so that both are built of the same parts.
part_guard() {
  need_apt valgrind || return
  cargo build --profile quick -p starling-server -p starling-bench --bin starling-bench && target/quick/starling-bench guard
}

part_loads() {
  build_server && cargo build -p starling-loadtest && scripts/lib/load-smoke.sh "$quick" target/debug/starling-loadtest
}

part_k8s() {
  need_apt openssl && build_server && STARLING=$PWD/$quick scripts/k8s/check.sh
}

part_fuzz() {
  cargo test -p starling-fuzz --no-fail-fast
}

# count FILE CODE: "passed failed" of one part's output.
count() {
  awk -v code="$2" '
    /^test result: / { for (i = 2; i <= NF; i++) { if ($i ~ /^passed/) p += $(i-1); if ($i ~ /^(failed|ignored)/) f += $(i-1) } next }
    /^[0-9]+ passed, [0-9]+ failed(, [0-9]+ skipped)?$/ { p += $1; f += $3; if (NF > 4) f += $5 }
    END { if (f == 0 && (code != 0 || p == 0)) f = 1; print p + 0, f + 0 }' "$1"
}

logs=target/test
mkdir -p "$logs"
passed=0 failed=0 table=()

wanted() {
  [ $# = 1 ] && return
  local name=$1 one
  shift
  for one in "$@"; do [ "$one" = "$name" ] && return; done
  return 1
}

for one in "$@"; do
  printf '%s\n' "${parts[@]}" | grep -q "^$one " || { echo "no such part: $one" >&2; exit 64; }
done

for part in "${parts[@]}"; do
  read -r name needs what <<<"$part"
  wanted "$name" "$@" || continue
  if [ ! -e "$needs" ]; then
    # Not written yet: it is said, and whoever asked for it by name does not get a pass.
    table+=("$(printf '%-9s %6s  does not exist yet: %s' "$name" - "$what")")
    [ $# = 0 ] || failed=$((failed + 1))
    continue
  fi
  echo "== $name: $what"
  start=$SECONDS
  "part_$name" 2>&1 | tee "$logs/$name.log"
  code=${PIPESTATUS[0]}
  read -r good bad < <(count "$logs/$name.log" "$code")
  passed=$((passed + good)) failed=$((failed + bad))
  table+=("$(printf '%-9s %4d s  %d passed, %d failed: %s' "$name" $((SECONDS - start)) "$good" "$bad" "$what")")
done

echo
printf '%s\n' "${table[@]}"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" != 0 ]
