#!/usr/bin/env bash
# Tests the console in headless Chromium: what it shows of a server under load is what /metrics says, and its buttons do what they say.
#
#   scripts/page/console.sh target/quick/starling [picture.png]
#
# One line a step, `ok console: <what>` or `not ok console: <what>: <why>`, then `N passed, N failed`.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
# shellcheck source=../lib/quickstart.sh
. scripts/lib/quickstart.sh

need_program "${1-}"
picture=${2:-target/interop/console.png}
mkdir -p target/interop
install_strophe target/interop >target/interop/page.log 2>&1 || { tail -n 20 target/interop/page.log; fail "console: Chromium is installed"; }

# token_of NAME ROLE: sets `token`, and adds its line to the file of tokens.
tokens=$work/tokens
token_of() {
  local made
  made=$("$program" token new "$1" --role "$2") || fail "console: a token is made"
  token=$(sed -n 's/^token: //p' <<<"$made")
  tail -n 1 <<<"$made" >>"$tokens"
}
program=$1
token_of carol admin && admin=$token
token_of rita read && read_only=$token
export STARLING_API_LISTEN=127.0.0.1:0 STARLING_API_TOKENS_FILE=$tokens
start_quickstart "$program"
address() { awk -v kind="$1" '$1 == kind { print $2; exit }' "$work/log"; }

NODE_MODULES=$PWD/target/interop/node/node_modules ADMIN=$admin READ=$read_only timeout --kill-after=5 240 node scripts/page/console.mjs \
  "http://$(address console)" "http://$(address admin)/metrics" "${page/http/ws}ws" "$(cat "$work/data/alice.password")" "$picture"
code=$?
[ "$code" != 124 ] || fail "console: ends within 240 s"
if grep -qF -e "$admin" -e "$read_only" -e new-secret "$work/log"; then
  fail "console: no secret is in the log"
fi
exit "$code"
