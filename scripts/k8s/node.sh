#!/usr/bin/env bash
# A Kubernetes of two nodes on this machine: containerd and runc of Debian; etcd, Kubernetes' servers, CoreDNS and Helm built from Go
# modules. All of it is in namespaces of its own; `stop` ends it at once, and leaves the machine as it was. Wants root.
#
#   scripts/k8s/node.sh start              starts it, unless it runs; the first time builds for a quarter of an hour
#   scripts/k8s/node.sh in COMMAND …       runs a command there, with kubectl and helm in its path
#   scripts/k8s/node.sh image FILE         imports an archive of images into both nodes
#   scripts/k8s/node.sh stop
#
# Programs and state are in target/k8s. NODE_LIMIT is how many seconds it runs at most (7200).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. scripts/lib/install.sh
top=$PWD
bin=$top/target/k8s/node
dir=$top/target/k8s/state
kubernetes=1.36.3
helm=4.3.1
# Of the whole machine, set by the kubelet.
settings=(vm.overcommit_memory vm.panic_on_oom kernel.panic kernel.panic_on_oops kernel.keys.root_maxkeys kernel.keys.root_maxbytes)

# built MODULE PACKAGE NAME [FLAGS]: a program of a module of ours, unless it is built of just these files.
built() {
  local module=scripts/k8s/$1 name=$3 mark
  mark=$bin/.$name.$(find "$module" -type f -exec cat {} + | cksum | cut -d ' ' -f 1)
  [ -e "$mark" ] && return
  echo "building $name" >&2
  (cd "$module" && env -u GOFLAGS CGO_ENABLED=0 go build -buildvcs=false -trimpath -ldflags "-s -w ${4-}" -o "$bin/$name" "$2")
  rm -f "$bin/.$name".*
  touch "$mark"
}

programs() {
  local of flags one
  need_apt containerd runc containernetworking-plugins nftables conntrack iproute2 openssl redis-server
  need_go "$bin" "helm.sh/helm/v4/cmd/helm@v$helm" -ldflags "-s -w"
  # Where no Go was that is new enough, there is one now.
  PATH=$(echo "$bin"/go/lib/python3*/site-packages/go/bin):$PATH
  flags="-X k8s.io/client-go/pkg/version.gitVersion=v$kubernetes"
  of=k8s.io/component-base/version
  flags+=" -X $of.gitVersion=v$kubernetes -X $of.gitMajor=1 -X $of.gitMinor=${kubernetes:2:2}"
  built node . node "$flags"
  built node ./metrics metrics
  built node ./pause pause
  built dns . dns
  for one in etcd kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubelet kubectl; do ln -sf node "$bin/$one"; done
}

# init: the process id of the first process, if it runs.
init() {
  local pid
  pid=$(cat "$dir/init" 2>/dev/null) && grep -qa '^bash.scripts/k8s/init.sh' "/proc/$pid/cmdline" 2>/dev/null && echo "$pid"
}

inside() {
  local pid
  pid=$(init) || { echo "it does not run" >&2; return 1; }
  # shellcheck disable=SC2016 # of the inner shell
  nsenter -t "$pid" -m -n -p -i -u -- env PATH="$bin:$PATH" KUBECONFIG="$dir/kubeconfig" \
    bash -c 'cd "$1" && shift && exec "$@"' - "$top" "$@"
}

# Every controller's group for each node.
groups() {
  local one group
  for one in /sys/fs/cgroup/*/; do
    [ "$one" = /sys/fs/cgroup/unified/ ] && continue
    for group in starling-k8s starling-k8s/one starling-k8s/two; do
      mkdir -p "$one$group"
      if [ -e "$one$group/cpuset.cpus" ]; then
        cat "${one}cpuset.cpus" >"$one$group/cpuset.cpus"
        cat "${one}cpuset.mems" >"$one$group/cpuset.mems"
      fi
    done
  done
}

start() {
  local pid end
  init >/dev/null && return
  programs
  stop # what one left that was killed
  mkdir -p "$dir/images" "$dir/log"
  scripts/k8s/pack.py program "$bin/pause" docker.io/library/pause:e2e >"$dir/images/pause.tar"
  sysctl "${settings[@]}" >"$dir/settings"
  groups
  setsid unshare --mount --net --pid --ipc --uts --fork --kill-child --mount-proc \
    bash scripts/k8s/init.sh "$dir" "$bin" >"$dir/log/init.log" 2>&1 </dev/null &
  disown
  for _ in {1..100}; do pid=$(pgrep -P $!) && break; sleep 0.05; done
  echo "$pid" >"$dir/init"
  end=$((SECONDS + 120))
  while ((SECONDS < end)); do
    init >/dev/null || break
    if [ -s "$dir/kubeconfig" ] && [ "$(inside kubectl get nodes 2>/dev/null | grep -c ' Ready ')" = 2 ]; then return; fi
    sleep 0.5
  done
  echo "the nodes are not ready; the ends of $dir/log:" >&2
  tail -n 5 "$dir"/log/*.log >&2
  return 1
}

stop() {
  local pid
  if pid=$(init); then
    kill -KILL "$pid"
    for _ in {1..200}; do init >/dev/null || break; sleep 0.1; done
  fi
  # A group is gone a moment after its last process.
  for _ in {1..100}; do
    find /sys/fs/cgroup/*/starling-k8s -depth -type d -exec rmdir {} + 2>/dev/null || true
    ls -d /sys/fs/cgroup/*/starling-k8s >/dev/null 2>&1 || break
    sleep 0.1
  done
  [ ! -e "$dir/settings" ] || sysctl -q -p "$dir/settings"
  rm -rf "$dir"
}

image() {
  local name
  for name in one two; do inside ctr -a "/run/containerd-$name/containerd.sock" -n k8s.io images import "$1" >/dev/null; done
}

case ${1-} in
  build) programs ;;
  start) start ;;
  in) shift && inside "$@" ;;
  image) image "$(realpath "${2:?which archive}")" ;;
  stop) stop ;;
  *)
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0" | grep -v '^set' >&2
    exit 64
    ;;
esac
