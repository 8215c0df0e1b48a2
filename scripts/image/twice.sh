#!/usr/bin/env bash
# Builds the program of the image in two directories, each with a Cargo of its own, and compares the bytes. By hand: half an hour on two cores.
# The last commit is what is built; PACKAGE and PROGRAM name a smaller one. With KEEP=FILE the program stays there.
#
#   twice.sh [PACKAGE PROGRAM]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
cargo=${CARGO_HOME:-$HOME/.cargo}
scratch=$(mktemp -d "${TMPDIR:-/tmp}/twice.XXXXXX")
trap 'rm -rf "$scratch"' EXIT

commit=$(git rev-parse HEAD)
for at in one another/further; do
  here=$scratch/$at
  mkdir -p "$here/source" "$here/cargo/registry"
  git archive "$commit" | tar -x -C "$here/source"
  # What was fetched is not fetched again; it is unpacked anew.
  for part in cache index; do [ ! -e "$cargo/registry/$part" ] || cp -a "$cargo/registry/$part" "$here/cargo/registry/"; done
  CARGO_HOME=$here/cargo CARGO_TARGET_DIR=target "$here/source/scripts/image/program.sh" "$here/program" "$@"
done
cmp "$scratch/one/program" "$scratch/another/further/program"
sha256sum "$scratch/one/program" | sed 's/ .*//'
[ -z "${KEEP-}" ] || install -D -m 755 "$scratch/one/program" "$KEEP"
echo "both builds have these bytes"
