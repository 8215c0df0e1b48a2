#!/usr/bin/env bash
# Faults of a cluster under load (crates/server/tests/fault): processes are killed, stopped, paused and started again while messages
# flow, and the history of what each client saw is checked. Each test starts its own Redis and nodes; the Cassandra is this script's.
#
#   scripts/fault.sh [NAME …]   tests whose names contain one of these, in this order, or all
#   scripts/fault.sh --table    what the ledger has of the program that is built, as a table for docs/testing.md
#   scripts/fault.sh --times    the same as lines for scripts/lib/fault-times.txt
#
# ROUNDS (20) is how often each fault is repeated. STARLING_FAULT_RATE (500): so many messages must be accepted in a second, and some be
# on their way, when a fault comes; a round of which that is not true does not count. STARLING_FAULT_SEED: from it come moments and victims.
# What each test came to is a line in target/fault/ledger.tsv; its output is beside it. RESUME=1 leaves out what has passed there with the
# same program, as many rounds and such a rate. UNTIL=04:10 begins none that would last longer. JOBS=2 has two at a time, of those that may.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
. scripts/lib/install.sh
cql=scripts/lib/cassandra.sh rounds=${ROUNDS:-20} jobs=${JOBS:-1} until=${UNTIL-} home=$PWD/target/fault times=scripts/lib/fault-times.txt
ledger=$home/ledger.tsv
build=(cargo test --profile quick -p starling-server --test fault --no-run)
export STARLING_FAULT_SEED=${STARLING_FAULT_SEED:-$((RANDOM * 32768 + RANDOM))} STARLING_FAULT_RATE=${STARLING_FAULT_RATE:-500}
export STARLING_FAULT_ROUNDS=$rounds

# What a line of the ledger is about: the server and the tests, as they are built.
program() {
  cat target/quick/starling "$tests" | sha256sum | cut -c 1-12
}

# How many rounds it has of those that are asked for.
rounds_of() {
  awk -v test="$1" -v rounds="$rounds" '$1 == test && $4 != "-" && $4 < rounds { rounds = $4 } END { print rounds }' "$times"
}

# Seconds that it takes; one that nobody has measured: a minute, and one for each round.
expected() {
  awk -v test="$1" -v rounds="$(rounds_of "$1")" '$1 == test && $2 != "-" { seconds = $2 + $3 * rounds }
    END { print int(seconds ? seconds + 0.5 : 60 + 60 * rounds) }' "$times"
}

# Whether it wants the machine for itself.
is_alone() {
  awk -v test="$1" '$1 == test { alone = $5 == "alone" } END { exit !alone }' "$times"
}

# has_come RESULT TEST: to that, with as many rounds and such a rate.
has_come() {
  [ -e "$ledger" ] && awk -F '\t' -v result="$1" -v test="$2" -v program="$program" -v rounds="$(rounds_of "$2")" -v rate="$STARLING_FAULT_RATE" '
    $1 == test && $3 >= rounds && $4 == result && $10 == program && ($5 == "-" || $5 >= rate) { found = 1 } END { exit !found }' "$ledger"
}

# run TEST: one line of the ledger.
run() {
  local test=$1 log=$home/${1//::/-}.log begun=$SECONDS code result date
  date=$(date -u +%FT%TZ)
  if [ "$jobs" = 1 ]; then
    (cd crates/server && "$tests" --exact "$test" --nocapture 2>&1) | tee "$log"
    code=${PIPESTATUS[0]}
  else
    (cd crates/server && "$tests" --exact "$test" --nocapture) >"$log" 2>&1
    code=$?
  fi
  result=failed
  [ "$code" != 0 ] || result=passed
  [ "$result" = failed ] || ! grep -q '^SKIPPED' "$log" || result=skipped
  [ "$(program)" = "$program" ] || result=mixed # somebody has built another meanwhile
  awk -v OFS='\t' -v test="$test" -v result="$result" -v rounds="$(rounds_of "$test")" -v seconds=$((SECONDS - begun)) -v program="$program" \
    -v commit="$commit" -v date="$date" -v seed="$STARLING_FAULT_SEED" '
    function least_of(a, b) { return a == "-" || b + 0 < a + 0 ? b : a }
    BEGIN { faults = least = middle = way = fixed = "-" }
    / faults: at least / { faults += $1; least = least_of(least, $5); middle = least_of(middle, $12 + 0); way = least_of(way, $16) }
    /^took / { for (i = 4; i < NF; i++) if ($i ~ /^(starting|senders|receivers|settling)$/) fixed += $(i + 1) + 0 }
    END { print test, seed, rounds, result, least, middle, way, faults, seconds, program, commit, date, fixed }' "$log" >>"$ledger"
  printf '%-8s %5d s  %s\n' "$result" $((SECONDS - begun)) "$test"
  [ "$result" = passed ] || [ "$jobs" = 1 ] || tail -n 20 "$log"
}

# The last line of each test that this program has.
lines() {
  [ -e "$ledger" ] && awk -F '\t' -v program="$program" '
    $10 == program { if (!($1 in last)) order[++count] = $1; last[$1] = $0 } END { for (i = 1; i <= count; i++) print last[order[i]] }' "$ledger"
}

table() {
  echo '| test | rounds | faults | messages a second when a fault came: least, middle | least on their way | seconds | seed | commit, date | result |'
  echo '|---|---|---|---|---|---|---|---|---|'
  lines | awk -F '\t' '{ printf "| `%s` | %s | %s | %s | %s | %s | %s | %s, %s | %s |\n", $1, $3, $8, $5 == "-" ? "-" : $5 ", " $6, $7, $9, $2, $11, $12, $4 }'
}

tests=$("${build[@]}" --message-format=json | sed -n 's/.*"executable":"\([^"]*\/fault-[^"]*\)".*/\1/p')
[ -x "$tests" ] || exit 1
mkdir -p "$home"
program=$(program) commit=$(git rev-parse --short HEAD 2>/dev/null)
[ -z "$(git status --porcelain -- crates proto Cargo.lock 2>/dev/null)" ] || commit+=+
case ${1-} in
  --table) table; exit ;;
  --times) lines | awk -F '\t' '$4 == "passed" { fixed = $13 == "-" ? 0 : $13; printf "%s %d %.1f\n", $1, fixed, ($9 - fixed) / $3 }'; exit ;;
esac

need_apt redis-server iproute2 nftables libfaketime || exit
all=() sum=0
for name in "${@:-}"; do
  for one in $("$tests" --list "$name" | sed -n 's/: test$//p'); do
    [[ " ${all[*]-} " == *" $one "* ]] || all+=("$one")
  done
done
[ ${#all[@]} != 0 ] || { echo "no fault test has a name with: $*" >&2; exit 64; }
left=() together=() alone=()
for test in "${all[@]}"; do
  [ -z "${RESUME-}" ] || ! has_come passed "$test" || continue
  left+=("$test") sum=$((sum + $(expected "$test")))
  if is_alone "$test"; then alone+=("$test"); else together+=("$test"); fi
done
echo "${#left[@]} of ${#all[@]} tests, each fault $rounds times at $STARLING_FAULT_RATE messages a second: about $((sum / 60)) minutes one after another (scripts/lib/fault-times.txt)"
echo "once more with the same moments and victims: STARLING_FAULT_SEED=$STARLING_FAULT_SEED ROUNDS=$rounds make fault${1+ FAULT='$*'}"
[ ${#left[@]} != 0 ] || { table && exit; }

if printf '%s\n' "${left[@]}" | grep -q '^versions::'; then # those of two versions want the program of a former commit
  STARLING_FORMER_BIN=$(scripts/lib/former.sh) || exit
  export STARLING_FORMER_BIN
fi
started=
if [ -z "${STARLING_TEST_CQL-}" ]; then
  export CASSANDRA_DIR=$PWD/target/cassandra-fault
  STARLING_TEST_CQL=$($cql start) || exit
  export STARLING_TEST_CQL started=yes
fi

# Whether it may begin: it would be over in time.
in_time() {
  [ -z "$until" ] || [ $(($(date +%s) + $(expected "$1"))) -le "$(date -d "$until" +%s)" ] || { echo "not begun: $1, $(expected "$1") s"; return 1; }
}

for test in "${together[@]}"; do
  while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do wait -n; done
  in_time "$test" || continue
  if [ "$jobs" = 1 ]; then run "$test"; else run "$test" & fi
done
wait
for test in "${alone[@]}"; do ! in_time "$test" || run "$test"; done

[ -z "$started" ] || $cql clean
echo
table
lacking=0
for test in "${left[@]}"; do has_come passed "$test" || has_come skipped "$test" || lacking=$((lacking + 1)); done
echo "$((${#left[@]} - lacking)) of ${#left[@]} passed or could not be run here; RESUME=1 does what is left"
[ "$lacking" = 0 ]
