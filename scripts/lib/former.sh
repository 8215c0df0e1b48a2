#!/usr/bin/env bash
# Builds the program of the commit that `proto/recorded/VERSION/commit` names, and prints where it is: nodes of both work side by side.
# It stays in target/former, so the next time costs nothing.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1

read -r commit < <(cat proto/recorded/*/commit | tail -n 1)
home=$PWD/target/former
program=$home/starling-$commit
if [ ! -x "$program" ]; then
  git cat-file -e "$commit^{commit}" 2>/dev/null || { echo "commit $commit is not here: fetch the whole history" >&2; exit 1; }
  rm -rf "$home/source" && mkdir -p "$home/source" || exit 1
  git archive "$commit" | tar -x -C "$home/source" || exit 1
  echo "building the program of $commit, once" >&2
  (cd "$home/source" && cargo build -q -p starling-server --target-dir "$home/build") || exit 1
  cp "$home/build/debug/starling" "$program" || exit 1
fi
echo "$program"
