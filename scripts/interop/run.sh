#!/usr/bin/env bash
# Real XMPP clients against a real server: slixmpp, Strophe.js in Chromium over WebSocket and over BOSH, and Smack.
#
#   scripts/interop/run.sh target/debug/starling          the server under test
#   scripts/interop/run.sh --peer prosody                 Debian's Prosody, to prove the tests themselves
#   … --only slixmpp,strophe-ws,strophe-bosh,smack        some of the clients
#
# One line a test, `ok <client>: <what>` or `FAILED <client>: <what>: <why>`, then `N passed, N failed`. A client that cannot be
# installed, stops early or takes longer than its bound is a failure. Only processes started here are stopped, by their ids.
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
target=$here/../../target/interop
bound=150
# shellcheck source=install.sh
. "$here/install.sh"
# shellcheck source=server.sh
. "$here/server.sh"

usage() {
  sed -n '2,9s/^# \{0,1\}//p' "$here/run.sh"
  exit 64
}

kind=starling program='' only=slixmpp,strophe-ws,strophe-bosh,smack
while [ $# -gt 0 ]; do
  case $1 in
    --peer) kind=${2-} program=${2-} && shift 2 ;;
    --only) only=${2-} && shift 2 ;;
    -*) usage ;;
    *) program=$1 && shift ;;
  esac
done
case $kind in starling | prosody) ;; *) usage ;; esac
[ -n "$program" ] || usage

mkdir -p "$target"
target=$(cd "$target" && pwd)
work=$(mktemp -d)
results=$work/results
: >"$results"
finish() {
  stop_server
  rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

report() {
  echo "$1" | tee -a "$results"
}

# in_time NAME COMMAND…: runs a client within the bound; its own lines are the results, and its exit code must agree with them.
in_time() {
  local name=$1 code
  shift
  local failed
  timeout --kill-after=5 "$bound" "$@" 2>"$work/$name.err" | tee "$work/$name.out"
  code=${PIPESTATUS[0]}
  grep -E '^(ok|FAILED) ' "$work/$name.out" >>"$results"
  failed=$(grep -c '^FAILED ' "$work/$name.out")
  if [ "$code" = 124 ] || [ "$code" = 137 ]; then
    report "FAILED $name: ends within $bound s"
  elif [ "$code" != 0 ] && [ "$failed" = 0 ]; then
    report "FAILED $name: ends without an error: exit code $code"
  elif ! grep -q '^ok ' "$work/$name.out" && [ "$failed" = 0 ]; then
    report "FAILED $name: runs a test: it ran none"
  fi
  if [ "$code" != 0 ]; then
    tail -n 40 "$work/$name.err" | sed "s/^/  $name: /"
  fi
}

# installed NAME COMMAND…: whether a client's parts are there; if not, that is the client's failure.
installed() {
  local name=$1
  shift
  "$@" >"$work/$name.install" 2>&1 && return
  tail -n 20 "$work/$name.install" | sed "s/^/  $name: /"
  report "FAILED $name: is installed"
  return 1
}

wanted() {
  case ",$only," in *",$1,"*) true ;; *) false ;; esac
}

command -v python3 >/dev/null || need_apt python3
[ "$kind" = starling ] || need_apt openssl prosody
mkdir "$work/server"
if ! start_server "$kind" "$program" "$work/server"; then
  report "FAILED server: starts"
  echo "0 passed, 1 failed"
  exit 1
fi

if wanted slixmpp && installed slixmpp install_slixmpp "$target"; then
  in_time slixmpp "$target/venv/bin/python" "$here/slixmpp/client.py"
fi
for transport in ws bosh; do
  if wanted strophe-$transport && installed strophe-$transport install_strophe "$target"; then
    NODE_PATH=$target/node/node_modules in_time strophe-$transport node "$here/strophe/client.cjs" "$transport"
  fi
done
if wanted smack && installed smack install_smack "$target" "$here/smack"; then
  in_time smack java -cp "$target/smack/classes:$target/smack/lib/*" Client
fi

passed=$(grep -c '^ok ' "$results")
failed=$(grep -c '^FAILED ' "$results")
if [ "$failed" != 0 ]; then
  cp "$work/server/server.log" "$target/server.log"
  echo "the server's log: $target/server.log"
fi
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" != 0 ]
