#!/usr/bin/env bash
# Faults of a cluster under load (crates/server/tests/fault): processes are killed, stopped, paused and started again while messages
# flow, and the history of what each client saw is checked. Starts a Cassandra if none runs; each test starts its own Redis and nodes.
#
#   scripts/fault.sh [NAME]    tests whose name contains NAME, or all
#
# ROUNDS (20) is how often each fault is repeated. Nothing is random but the moment, so there is no seed to print.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
. scripts/lib/install.sh
cql=scripts/lib/cassandra.sh rounds=${ROUNDS:-20} name=${1-} started=

need_apt redis-server iproute2 || exit
cargo test -p starling-server --test fault --no-run || exit
tests=$(cargo test -q -p starling-server --test fault -- --list "$name" | grep -c ': test$')
[ "$tests" != 0 ] || { echo "no fault test has a name with: $name" >&2; exit 64; }
# A round takes 20 to 100 s, most of them to flow before and after the fault.
echo "$tests tests of $rounds rounds: about $((tests * rounds)) minutes"
if [ -z "${STARLING_TEST_CQL-}" ] && ! $cql status >/dev/null; then
  $cql start || exit
  started=yes
fi
# Those of two versions want the program of a former commit.
if cargo test -q -p starling-server --test fault -- --list "$name" | grep -q '^versions::'; then
  STARLING_FORMER_BIN=$(scripts/lib/former.sh) || exit
  export STARLING_FORMER_BIN
fi
STARLING_FAULT_ROUNDS=$rounds cargo test -p starling-server --test fault -- --test-threads=1 --nocapture "$name"
code=$?
[ -z "$started" ] || $cql clean
exit $code
