#!/usr/bin/env bash
# Does what the README says under "Try it": starts what `make run` starts, signs in with slixmpp as the two accounts that it prints
# and sends the first message, which must arrive within 60 s of the start.
#
#   scripts/readme-test.sh target/quick/starling      the program to start, instead of the one that `make run` would build
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
# shellcheck source=lib/quickstart.sh
. scripts/lib/quickstart.sh

need_program "${1-}"
grep -q '^    make run' README.md || fail "readme: the README says \`make run\`"
read -r -a words < <(make --no-print-directory -n run)
[ "${words[*]:0:2}" = "cargo run" ] || fail "readme: \`make run\` is a cargo run: ${words[*]}"
while [ "${words[0]-}" != -- ]; do
  [ ${#words[@]} -gt 1 ] || fail "readme: \`make run\` hands arguments to the program"
  words=("${words[@]:1}")
done

mkdir -p target/interop
log=target/interop/readme.log
install_slixmpp target/interop >"$log" 2>&1 || { tail -n 20 "$log"; fail "readme: slixmpp is installed"; }
timeout --kill-after=5 120 target/interop/venv/bin/python scripts/interop/slixmpp/quickstart.py \
  "$1" "${words[@]:1}" --data-dir "$work/data" 2>"$work/log" | tee "$work/out"
code=${PIPESTATUS[0]}
passed=$(grep -c '^ok ' "$work/out")
failed=$(grep -c '^FAILED ' "$work/out")
if [ "$code" != 0 ] || [ "$passed" = 0 ]; then
  tail -n 40 "$work/log"
  [ "$failed" != 0 ] || failed=1
fi
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
