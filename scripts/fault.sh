#!/usr/bin/env bash
# Faults of a cluster under load (crates/server/tests/fault): processes are killed, stopped, paused and started again while messages
# flow, and the history of what each client saw is checked. Starts a Cassandra if none runs; each test starts its own Redis and nodes.
#
#   scripts/fault.sh [NAME]    tests whose name contains NAME, or all
#
# ROUNDS (20) is how often each fault is repeated. STARLING_FAULT_RATE (500): so many messages must be accepted in a second, and some be
# on their way, when a fault comes; a round of which that is not true does not count. STARLING_FAULT_SEED: from it come moments and victims.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
. scripts/lib/install.sh
cql=scripts/lib/cassandra.sh rounds=${ROUNDS:-20} name=${1-} started=
tests=(cargo test --profile quick -p starling-server --test fault)
export STARLING_FAULT_SEED=${STARLING_FAULT_SEED:-$((RANDOM * 32768 + RANDOM))} STARLING_FAULT_RATE=${STARLING_FAULT_RATE:-500}

need_apt redis-server iproute2 nftables libfaketime || exit
"${tests[@]}" --no-run || exit
count=$("${tests[@]}" -q -- --list "$name" | grep -c ': test$')
[ "$count" != 0 ] || { echo "no fault test has a name with: $name" >&2; exit 64; }
# A round takes 20 to 100 s, most of them to flow before and after the fault.
echo "$count tests of $rounds rounds: about $((count * rounds)) minutes"
echo "once more with the same moments and victims: STARLING_FAULT_SEED=$STARLING_FAULT_SEED ROUNDS=$rounds make fault${name:+ FAULT=$name}"
if [ -z "${STARLING_TEST_CQL-}" ] && ! $cql status >/dev/null; then
  $cql start || exit
  started=yes
fi
# Those of two versions want the program of a former commit.
if "${tests[@]}" -q -- --list "$name" | grep -q '^versions::'; then
  STARLING_FORMER_BIN=$(scripts/lib/former.sh) || exit
  export STARLING_FORMER_BIN
fi
STARLING_FAULT_ROUNDS=$rounds "${tests[@]}" -- --test-threads=1 --nocapture "$name"
code=$?
[ -z "$started" ] || $cql clean
exit $code
