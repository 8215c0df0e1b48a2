#!/usr/bin/env bash
# The first process of a Kubernetes node in namespaces of its own: `node.sh` starts it. Everything is its child, so that its end is
# the end of all; it ends by itself after NODE_LIMIT seconds. Two kubelets share it, `one` and `two`, each with a containerd of its own:
# to Kubernetes these are two nodes.
set -euo pipefail
dir=$1 bin=$2
address=10.10.0.1
services=10.96.0.0/16 pods=10.244.0.0/16
cd "$dir"
log=$dir/log
mkdir -p "$log/var" pki etc

# Mounts, links and names are this process's own; pods see those that come later.
mount --make-rshared /
mount -t tmpfs -o size=2g tmpfs /run
mount --bind "$log/var" /var/log
hostname starling-k8s
ip link set lo up
# There is no other machine: the address of the nodes is on a bridge that leads nowhere.
ip link add node0 type bridge
ip address add $address/24 dev node0
ip address add 10.10.0.2/24 dev node0
ip link set node0 up
ip route add default dev node0
sysctl -qw net.ipv4.ip_forward=1 net.bridge.bridge-nf-call-iptables=1
printf 'nameserver %s\n' $address >etc/resolv.conf

# signed NAME SUBJECT [NAMES]: a certificate of the one authority, for both ends.
signed() {
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc -keyout "pki/$1.key" -subj "$2" 2>/dev/null |
    openssl x509 -req -days 2 -CA pki/ca.crt -CAkey pki/ca.key -out "pki/$1.crt" -extfile <(
      printf 'extendedKeyUsage=serverAuth,clientAuth\n'
      [ -z "${3-}" ] || printf 'subjectAltName=%s\n' "$3"
    ) 2>/dev/null
}
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc -days 2 -keyout pki/ca.key -out pki/ca.crt \
  -subj /CN=starling-k8s 2>/dev/null
openssl genrsa -out pki/accounts.key 2048 2>/dev/null
signed apiserver /CN=kube-apiserver "IP:127.0.0.1,IP:$address,IP:10.96.0.1,DNS:kubernetes.default.svc"
signed admin /O=system:masters/CN=admin
signed proxy /CN=front-proxy
signed metrics /CN=metrics DNS:custom-metrics.kube-system.svc
base64_of() { base64 -w0 "pki/$1"; }
cat >kubeconfig <<YAML
apiVersion: v1
kind: Config
clusters: [{name: node, cluster: {server: "https://127.0.0.1:6443", certificate-authority-data: $(base64_of ca.crt)}}]
users: [{name: admin, user: {client-certificate-data: $(base64_of admin.crt), client-key-data: $(base64_of admin.key)}}]
contexts: [{name: node, context: {cluster: node, user: admin}}]
current-context: node
YAML

run() {
  local name=$1
  shift
  "$@" >"$log/$name.log" 2>&1 </dev/null &
}

# What is in etcd need not outlive this process.
run etcd "$bin/etcd" --data-dir /run/etcd --unsafe-no-fsync --log-level warn
run apiserver "$bin/kube-apiserver" --etcd-servers http://127.0.0.1:2379 --advertise-address $address \
  --tls-cert-file pki/apiserver.crt --tls-private-key-file pki/apiserver.key --client-ca-file pki/ca.crt \
  --service-cluster-ip-range $services --authorization-mode Node,RBAC --allow-privileged \
  --service-account-issuer https://kubernetes.default.svc --service-account-key-file pki/accounts.key \
  --service-account-signing-key-file pki/accounts.key --kubelet-preferred-address-types InternalIP \
  --kubelet-client-certificate pki/admin.crt --kubelet-client-key pki/admin.key --enable-aggregator-routing \
  --proxy-client-cert-file pki/proxy.crt --proxy-client-key-file pki/proxy.key --requestheader-client-ca-file pki/ca.crt \
  --requestheader-allowed-names front-proxy --requestheader-username-headers X-Remote-User \
  --requestheader-group-headers X-Remote-Group --requestheader-extra-headers-prefix X-Remote-Extra-
run manager "$bin/kube-controller-manager" --kubeconfig kubeconfig --leader-elect=false --root-ca-file pki/ca.crt \
  --service-account-private-key-file pki/accounts.key --horizontal-pod-autoscaler-sync-period 5s
run scheduler "$bin/kube-scheduler" --kubeconfig kubeconfig --leader-elect=false
run proxy "$bin/kube-proxy" --kubeconfig kubeconfig --hostname-override one --proxy-mode nftables --cluster-cidr $pods \
  --conntrack-max-per-core 0 --conntrack-tcp-timeout-established 0s --conntrack-tcp-timeout-close-wait 0s
cat >etc/Corefile <<TEXT
.:53 {
    bind $address
    errors
    cache {
        disable success cluster.local
        disable denial cluster.local
    }
    kubernetes cluster.local {
        kubeconfig $dir/kubeconfig
        ttl 5
    }
}
TEXT
run metrics "$bin/metrics" -listen $address:6444 -cert pki/metrics.crt -key pki/metrics.key -authority pki/ca.crt -kubeconfig kubeconfig

# kubelet NAME NUMBER
kubelet() {
  local name=$1 socket=/run/containerd-$1/containerd.sock home=$dir/$1
  mkdir -p "$home/cni" "$home/kubelet"
  cat >"$home/cni/10-pods.conflist" <<JSON
{"cniVersion": "0.4.0", "name": "pods", "plugins": [
  {"type": "bridge", "bridge": "pods0", "isGateway": true, "hairpinMode": true, "ipMasq": false, "ipam": {
    "type": "host-local", "dataDir": "/run/cni-$name", "routes": [{"dst": "0.0.0.0/0"}],
    "ranges": [[{"subnet": "$pods", "rangeStart": "10.244.$2.2", "rangeEnd": "10.244.$2.250", "gateway": "10.244.0.1"}]]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
JSON
  # Without CAP_SYS_RESOURCE nobody's oom_score_adj may be lowered.
  cat >"$home/containerd.toml" <<TOML
version = 2
root = "$home/containerd"
state = "/run/containerd-$name"
[grpc]
address = "$socket"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "docker.io/library/pause:e2e"
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "$home/cni"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
TOML
  run "containerd-$name" containerd --config "$home/containerd.toml"
  cat >"$home/kubelet.yaml" <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: false}, webhook: {enabled: false}, x509: {clientCAFile: $dir/pki/ca.crt}}
authorization: {mode: AlwaysAllow}
cgroupDriver: cgroupfs
cgroupRoot: /starling-k8s/$name
failCgroupV1: false
failSwapOn: false
enforceNodeAllocatable: [pods]
localStorageCapacityIsolation: false
evictionHard: {memory.available: 1Mi}
imageGCHighThresholdPercent: 100
containerRuntimeEndpoint: unix://$socket
port: 1025$2
healthzPort: 1035$2
clusterDNS: [$address]
clusterDomain: cluster.local
resolvConf: $dir/etc/resolv.conf
podLogsDir: /var/log/pods-$name
nodeStatusUpdateFrequency: 4s
# Changed secrets and maps are in pods' files within seconds.
syncFrequency: 5s
configMapAndSecretChangeDetectionStrategy: Watch
YAML
  for _ in {1..300}; do [ -S "$socket" ] && break; sleep 0.1; done
  ctr -a "$socket" -n k8s.io images import "$dir/images/pause.tar" >"$log/import-$name.log" 2>&1
  run "kubelet-$name" "$bin/kubelet" --config "$home/kubelet.yaml" --kubeconfig kubeconfig --hostname-override "$name" \
    --node-ip "10.10.0.$2" --root-dir "$home/kubelet"
}

for _ in {1..600}; do
  [ "$("$bin/kubectl" --kubeconfig kubeconfig get --raw /readyz 2>/dev/null)" = ok ] && break
  sleep 0.2
done
run dns "$bin/dns" -conf etc/Corefile
# Pods' own metrics, where prometheus-adapter would serve those of Prometheus.
"$bin/kubectl" --kubeconfig kubeconfig apply -f - >"$log/api.log" <<YAML
apiVersion: v1
kind: Service
metadata: {name: custom-metrics, namespace: kube-system}
spec: {ports: [{port: 443, targetPort: 6444}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: custom-metrics, namespace: kube-system, labels: {kubernetes.io/service-name: custom-metrics}}
addressType: IPv4
ports: [{name: "", port: 6444}]
endpoints: [{addresses: [$address]}]
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1beta2.custom.metrics.k8s.io}
spec:
  group: custom.metrics.k8s.io
  version: v1beta2
  groupPriorityMinimum: 100
  versionPriority: 100
  service: {name: custom-metrics, namespace: kube-system}
  caBundle: $(base64_of ca.crt)
YAML
kubelet one 1
kubelet two 2
sleep "${NODE_LIMIT:-7200}" &
wait $!
