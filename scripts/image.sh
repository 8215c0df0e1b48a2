#!/usr/bin/env bash
# Builds the image of deploy/docker/Dockerfile by the first engine that answers: docker, podman, buildah. IMAGE names it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
image=${IMAGE:-starling:$version}
for engine in docker podman buildah; do
  if command -v "$engine" >/dev/null && "$engine" info >/dev/null 2>&1; then
    "$engine" build -f deploy/docker/Dockerfile -t "$image" .
    echo "$image is built, by $engine"
    exit
  fi
done
echo 'no container engine answers: neither docker nor podman nor buildah' >&2
exit 1
