#!/usr/bin/env bash
# Builds the image as an OCI layout without an engine, in target/image/starling-VERSION, and sees that it is one and that its program
# runs with nothing around it. PROGRAM names a static program that is there already; whether it has the same bytes elsewhere is not looked at.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
layout=target/image/starling-$version
scratch=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$scratch"' EXIT

if [ -z "${PROGRAM-}" ]; then
  PROGRAM=$scratch/starling
  scripts/image/program.sh "$PROGRAM"
fi
python3 scripts/image/oci.py is-static "$PROGRAM"

# When it was made is when its source was.
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
rm -rf "$layout"
mkdir -p target/image
python3 scripts/image/oci.py pack "$PROGRAM" "$layout"
python3 scripts/image/oci.py pack "$PROGRAM" "$scratch/again"
diff -r "$layout" "$scratch/again"
python3 scripts/image/oci.py check "$layout"

# In it there is no shell, no library and no name service; devices are there, as in every container.
root=$scratch/root
mkdir "$root"
python3 scripts/image/oci.py unpack "$layout" "$root"
mkdir "$root/dev"
inside() {
  local alone=(unshare --mount)
  [ "$(id -u)" = 0 ] || alone+=(--map-root-user)
  # shellcheck disable=SC2016 # of the inner shell
  exec "${alone[@]}" sh -c 'mount --rbind /dev "$0/dev" && exec chroot "$0" "$@"' "$root" "$@"
}
(inside /starling --version)
data=/var/lib/starling/data
(
  for kind in C2S DIRECT_TLS HTTP HTTPS; do export "STARLING_LISTEN_$kind=['127.0.0.1:0']"; done
  STARLING_ADMIN_LISTEN=127.0.0.1:0 inside /starling run --data-dir "$data"
) >"$scratch/log" 2>&1 &
server=$!
for _ in $(seq 300); do
  if (inside /starling ctl --data-dir "$data" status) >"$scratch/status" 2>/dev/null; then
    sed 's/^/  /' "$scratch/status"
    kill -TERM "$server" && wait "$server"
    server=
    echo "$layout is an OCI layout, made twice with the same bytes; its program ran alone and answered"
    exit 0
  fi
  kill -0 "$server" 2>/dev/null || break
  sleep 0.1
done
cat "$scratch/log" >&2
exit 1
