#!/usr/bin/env bash
# The chart on a real Kubernetes of two nodes (node.sh): installed, tested, scaled, rolled, drained and broken while the load generator
# counts what is lost. Wants root, and half an hour the first time.
#
#   scripts/k8s/e2e.sh              all checks of e2e-checks.sh
#   scripts/k8s/e2e.sh NAME …       these, in this order; `install` must be among them, or the node run with KEEP=1 before
#
# KEEP=1 leaves the nodes running: `scripts/k8s/node.sh in kubectl get pods -A`. PROGRAM and LOADTEST name a static server and a load
# generator that are there already.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
[ "$(id -u)" = 0 ] || { echo "this wants root: namespaces, mounts, control groups" >&2; exit 1; }
# shellcheck source=../lib/install.sh
. scripts/lib/install.sh
state=target/k8s/state
node=scripts/k8s/node.sh

finish() {
  [ -n "${KEEP-}" ] || $node stop
}
trap finish EXIT

scripts/image/oci.sh
layout=$(echo target/image/starling-*)
if [ -z "${LOADTEST-}" ]; then
  cargo build --locked --release -p starling-loadtest
  LOADTEST=target/release/starling-loadtest
fi
for program in prometheus promtool; do need_deb target/k8s/node prometheus usr/bin/$program; done
need_mvn scripts/lib/cassandra/pom.xml target/cassandra-jars
$node start
scripts/k8s/pack.py layout "$layout" docker.io/library/starling:e2e >$state/images/starling.tar
scripts/k8s/pack.py python docker.io/library/python:e2e >$state/images/python.tar
# By the names that the tutorial and the chart say.
version=${layout#target/image/starling-}
scripts/k8s/pack.py layout "$layout" "docker.io/library/starling:$version" >$state/images/tutorial.tar
scripts/k8s/pack.py python "docker.io/library/$(sed -n 's/^  image: \(python:[^ ]*\).*/\1/p' deploy/helm/starling/values.yaml)" >$state/images/said.tar
for one in starling python tutorial said; do $node image $state/images/$one.tar; done
python3 scripts/image/oci.py unpack "$layout" $state/image
$node in env STARLING="$PWD/$state/image/starling" LOADTEST="$(realpath "$LOADTEST")" bash scripts/k8s/e2e-checks.sh "$@"
