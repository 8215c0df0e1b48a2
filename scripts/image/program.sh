#!/usr/bin/env bash
# Builds the static program of the image into FILE. The directories of the source, of Cargo and of the compiler are not in it, so it has the
# same bytes wherever it is built: scripts/image/twice.sh compares.
#
#   program.sh FILE [PACKAGE PROGRAM]     starling-server and starling, unless others are named
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
file=$1 package=${2:-starling-server} program=${3:-starling}
source=$(pwd -P)
cargo=${CARGO_HOME:-$HOME/.cargo}
rust=$(rustc --print sysroot)
made=${CARGO_TARGET_DIR:-target}
# Named: programs that run during the build stay as they are.
target=$(rustc -vV | sed -n 's/^host: //p')

# Its build id is made from debug info too: that of C names directories, and is not in the program in the end.
flags=(-C target-feature=+crt-static -C "link-arg=-Wl,--build-id=none")
# The last that fits holds.
for map in "$rust=rust" "$cargo=cargo" "$source=starling"; do flags+=("--remap-path-prefix=$map"); done
case $made in /*) flags+=("--remap-path-prefix=$made=starling/target") ;; esac
# With spaces where a path has them.
CARGO_ENCODED_RUSTFLAGS=$(IFS=$'\x1f' && echo "${flags[*]}") \
  cargo build --locked --release -p "$package" --bin "$program" --target "$target"
mkdir -p "$(dirname "$file")"
strip --strip-debug -o "$file" "$made/$target/release/$program"

for path in "$source" "$cargo" "$rust" "$HOME"; do
  [ "${path%/}" ] || continue
  named=$( (LC_ALL=C grep -aoF -- "${path%/}/" "$file" || true) | wc -l)
  if [ "$named" != 0 ]; then
    echo "$file names $path $named times: it would have other bytes elsewhere" >&2
    exit 1
  fi
done
