#!/usr/bin/env bash
# What the tests of a quickstart share: the server that `make run` starts, on ports of the system's choice, for its own may be
# taken here. To be sourced from the repository's root.
#
#   need_program PROGRAM          an empty or missing one is a failure
#   need_browser TEST             installs Chromium and what drives it, and names that to Node
#   fail WHAT                     the test's one result, and its end
#   start_quickstart PROGRAM      sets `page`, its address, and `work`, a directory: data, and the log; stopped at the end
#
# shellcheck source=../interop/install.sh
. scripts/interop/install.sh

# The tester's own settings are not those of the server under test.
unset "${!STARLING_@}"
export STARLING_LISTEN_C2S='["127.0.0.1:0"]' STARLING_LISTEN_DIRECT_TLS='[]' STARLING_LISTEN_HTTPS='[]'
export STARLING_LISTEN_HTTP='["127.0.0.1:0"]' STARLING_ADMIN_LISTEN=127.0.0.1:0

fail() {
  echo "FAILED $1"
  echo "0 passed, 1 failed"
  exit 1
}

need_program() {
  [ -x "${1-}" ] || fail "start: needs the program as its argument"
}

need_browser() {
  local log=target/interop/page.log
  mkdir -p target/interop
  install_strophe target/interop >$log 2>&1 || { tail -n 20 $log; fail "$1: Chromium is installed"; }
  export NODE_MODULES=$PWD/target/interop/node/node_modules
}

work=$(mktemp -d)
server=''
trap 'stop_quickstart; rm -rf "$work"' EXIT

stop_quickstart() {
  [ -z "$server" ] || kill "$server" 2>/dev/null
  wait 2>/dev/null
}

start_quickstart() {
  "$1" run --quickstart --data-dir "$work/data" >"$work/log" 2>&1 &
  server=$!
  for _ in $(seq 150); do
    page=$(grep -o 'http://localhost:[0-9]*/' "$work/log" | head -n 1)
    [ -z "$page" ] || return 0
    kill -0 "$server" 2>/dev/null || break
    sleep 0.2
  done
  tail -n 20 "$work/log"
  fail "start: the server says where its page is"
}
