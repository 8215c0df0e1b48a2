#!/usr/bin/env bash
# Tests the chat page in headless Chromium: two people in two tabs of a server that is started for it, as `make run` starts one.
#
#   scripts/page/test.sh target/quick/starling [picture.png]
#
# One line a step, `ok page: <what>` or `not ok page: <what>: <why>`, then `N passed, N failed`.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
# shellcheck source=../lib/quickstart.sh
. scripts/lib/quickstart.sh

need_program "${1-}"
picture=${2:-target/interop/chat.png}
need_browser page
start_quickstart "$1"

timeout --kill-after=5 240 node scripts/page/test.mjs "$page" "$picture" \
  alice@localhost "$(cat "$work/data/alice.password")" bob@localhost "$(cat "$work/data/bob.password")"
code=$?
[ "$code" != 124 ] || fail "page: ends within 240 s"
exit "$code"
