#!/usr/bin/env bash
# Tests the console in headless Chromium: what it shows of a server under load is what /metrics says, and its buttons do what they say;
# first of one process, then of a cluster of three.
#
#   scripts/page/console.sh target/quick/starling [picture.png]
#
# One line a step, `ok console: <what>` or `not ok console: <what>: <why>`, then `N passed, N failed`, for each of the two. The picture
# is of the cluster.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
# shellcheck source=../lib/quickstart.sh
. scripts/lib/quickstart.sh

need_program "${1-}"
picture=${2:-target/interop/console.png}
need_browser console

# token_of NAME ROLE: sets `token`, and adds its line to the file of tokens.
tokens=$work/tokens
token_of() {
  local made
  made=$("$program" token new "$1" --role "$2") || fail "console: a token is made"
  token=$(sed -n 's/^token: //p' <<<"$made")
  tail -n 1 <<<"$made" >>"$tokens"
}
program=$1
token_of carol admin && export ADMIN=$token
token_of rita read && export READ=$token

# address KIND LOG: where it listens, as it said; `of PART KIND` is the same of a part of the cluster.
address() { awk -v kind="$1" '{ sub(/^ +/, "") } index($0, kind " ") == 1 { print $NF; exit }' "$2"; }
of() { address "$2" "$work/$1.log"; }

# look SCRIPT ARGUMENT…: adds to `code`.
code=0
look() {
  timeout --kill-after=5 240 node "scripts/page/$1.mjs" "${@:2}"
  local its=$?
  case $its in 124 | 137) fail "console: $1 ends within 240 s" ;; esac
  [ "$its" = 0 ] || code=$its
}

parts=()
# shellcheck disable=SC2317 # called at the end
end_all() {
  [ ${#parts[@]} = 0 ] || kill "${parts[@]}" 2>/dev/null
  stop_quickstart
  rm -rf "$work"
}
trap end_all EXIT

# part NAME ROLE VARIABLE=VALUE…: starts a process of the cluster, and waits until it has said where it listens.
part() {
  env "${@:3}" STARLING_CLUSTER_NAME="$1" STARLING_CLUSTER_PLAINTEXT=true \
    "$program" run --roles "$2" --data-dir "$work/$1" >"$work/$1.log" 2>&1 &
  parts+=($!)
  for _ in $(seq 150); do
    [ -z "$(of "$1" room)" ] || return 0
    sleep 0.2
  done
  tail -n 20 "$work/$1.log"
  fail "console: $1 says where it listens"
}

STARLING_API_LISTEN=127.0.0.1:0 STARLING_API_TOKENS_FILE=$tokens start_quickstart "$program"
look console "http://$(address console "$work/log")" "http://$(address admin "$work/log")/metrics" "${page/http/ws}ws" \
  "$(cat "$work/data/alice.password")" target/interop/console-one.png
kill "$server" && wait "$server"
server=''

part router-1 session-router STARLING_CLUSTER_STORES=embedded STARLING_CLUSTER_LISTEN=127.0.0.1:0 STARLING_API_LISTEN=127.0.0.1:0 \
  STARLING_API_TOKENS_FILE="$tokens"
names=()
for name in manager-1 manager-2; do
  part "$name" connection-manager "STARLING_CLUSTER_ROUTERS=[\"$(of router-1 link)\"]" STARLING_LISTEN_PLAIN_HTTP='["127.0.0.1:0"]'
  names+=("$name=http://$(of "$name" admin)/metrics,ws://localhost:$(of "$name" 'plain http' | cut -d: -f2)/ws,${parts[-1]}")
done
for name in alice bob; do
  "$program" ctl --data-dir "$work/router-1" user add "$name@localhost" secret >/dev/null || fail "console: an account is made"
done
look nodes "http://$(of router-1 console)" "$picture" "${names[@]}" "router-1=http://$(of router-1 admin)/metrics,,${parts[0]}"

if grep -qF -e "$ADMIN" -e "$READ" -e new-secret "$work"/*log; then
  fail "console: no secret is in the log"
fi
exit "$code"
