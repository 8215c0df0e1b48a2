#!/usr/bin/env bash
# Tests the chat page in headless Chromium: two people in two tabs of a server that is started for it, as `make run` starts one.
#
#   scripts/page/test.sh target/quick/starling [picture.png]
#
# One line a step, `ok page: <what>` or `not ok page: <what>: <why>`, then `N passed, N failed`.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
# shellcheck source=../interop/install.sh
. scripts/interop/install.sh

fail() {
  echo "not ok page: $1"
  echo "0 passed, 1 failed"
  exit 1
}

[ -x "${1-}" ] || fail "needs the program as its argument"
picture=${2:-target/interop/chat.png}
mkdir -p target/interop
install_strophe target/interop >target/interop/page.log 2>&1 || { tail -n 20 target/interop/page.log; fail "Chromium is installed"; }

work=$(mktemp -d)
server=
finish() {
  [ -z "$server" ] || kill "$server" 2>/dev/null
  wait 2>/dev/null
  rm -rf "$work"
}
trap finish EXIT
# Ports of the system's choice; the address of the page is in what the program prints.
STARLING_LISTEN_C2S='[]' STARLING_LISTEN_DIRECT_TLS='[]' STARLING_LISTEN_HTTPS='[]' STARLING_LISTEN_HTTP='["127.0.0.1:0"]' \
  STARLING_ADMIN_LISTEN=127.0.0.1:0 "$1" run --quickstart --data-dir "$work/data" >"$work/log" 2>&1 &
server=$!
for _ in $(seq 150); do
  url=$(grep -o 'http://localhost:[0-9]*/' "$work/log" | head -n 1)
  [ -z "$url" ] || break
  kill -0 "$server" 2>/dev/null || break
  sleep 0.2
done
[ -n "$url" ] || { tail -n 20 "$work/log"; fail "the server starts"; }

NODE_MODULES=$PWD/target/interop/node/node_modules timeout --kill-after=5 240 node scripts/page/test.mjs "$url" "$picture" \
  alice@localhost "$(cat "$work/data/alice.password")" bob@localhost "$(cat "$work/data/bob.password")"
code=$?
[ "$code" != 124 ] || { echo "not ok page: ends within 240 s"; echo "0 passed, 1 failed"; }
exit "$code"
