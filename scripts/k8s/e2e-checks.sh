#!/usr/bin/env bash
# What e2e.sh does within the nodes' namespaces: each check prints `ok …` or `FAILED …` and why, the last line is `N passed, N failed`.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
# shellcheck source=e2e-lib.sh
. scripts/k8s/e2e-lib.sh

make_secrets() {
  kubectl create namespace chat &&
    kubectl label namespace chat pod-security.kubernetes.io/enforce=restricted && outside chat &&
    node_certificates "$work/made" && client_certificate "$work/tls" && secret localhost-tls "$work/tls/tls.crt" "$work/tls/tls.key"
}
spread() {
  local part
  for part in manager router; do
    k get pods -l "app.kubernetes.io/component=$part" -o wide
    [ "$(k get pods -l "app.kubernetes.io/component=$part" -o 'jsonpath={range .items[*]}{.spec.nodeName}{"\n"}{end}' | sort -u | wc -l)" = 2 ] || return
  done
}
# What the kernel says of the first process of each pod.
confined() {
  local part id
  for part in manager router; do
    id=$(process "$(pod $part)") && grep -E '^(Uid|CapEff|CapBnd|NoNewPrivs|Seccomp):' "/proc/$id/status" && grep ' / / ' "/proc/$id/mountinfo"
    grep -qP '^Uid:\t65532\t65532\t' "/proc/$id/status" && grep -qP '^NoNewPrivs:\t1' "/proc/$id/status" &&
      grep -qP '^CapBnd:\t0+$' "/proc/$id/status" && awk '$5 == "/" && $6 ~ /^ro/ { found = 1 } END { exit !found }' "/proc/$id/mountinfo" || return
  done
}
check_install() {
  expect "the namespace takes only restricted pods, and the secrets are made" make_secrets
  expect "the chart installs, with the tables made first, and all its pods become ready" deploy
  expect "the pods of each part are on both nodes" spread
  expect "they run as user 65532 without rights, on a file system that they cannot write" confined
}

check_message() {
  expect "helm test: messages come by each way in" timeout 120 helm test starling -n chat --logs --timeout 100s
}

refused() {
  local told
  if told=$(deploy --set manager.replicas=two 2>&1); then echo "it was taken: $told"; return 1; fi
  echo "$told"
  grep -q "/manager/replicas\|manager.replicas" <<<"$told" && grep -q "want integer" <<<"$told"
}
check_schema() {
  expect "a wrong value is refused with the name of its field" refused
}

# Without what only the Prometheus operator knows.
taken() {
  local one
  kubectl create namespace plain || return
  for one in base overlays/dev overlays/embedded overlays/prod; do
    kubectl kustomize "deploy/kustomize/$one" | awk 'BEGIN { RS = ORS = "---\n" } !/apiVersion: monitoring.coreos.com/' |
      kubectl -n plain apply --dry-run=server -f - || return
  done
}
check_kustomize() {
  expect "the API server takes the objects of each overlay" taken
}

check_roll() {
  settled >/dev/null
  load 75 20
  expect "all connection managers are replaced under load" eval 'k rollout restart deploy/starling-manager && settled'
  expect "all session routers are replaced under load" eval 'k rollout restart deploy/starling-router && settled'
  expect "the new pods of each part are on both nodes" spread
  judge "both rollouts: nothing lost, nothing doubled, nobody seen to go, everybody resumed" 20
}

check_upgrade() {
  settled >/dev/null
  load 60 20
  expect "an upgrade replaces managers and routers at the same time" eval 'deploy --set config.log.level=debug && settled'
  judge "the upgrade: nothing lost, nothing doubled, nobody seen to go, everybody resumed" 20
  restored
}

# evict POD: the HTTP answer's code, or what was told.
evict() {
  k create --raw "/api/v1/namespaces/chat/pods/$1/eviction" -f - <<JSON
{"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "$1", "namespace": "chat"}}
JSON
}
second_is_refused() {
  local first second told
  first=$(pod "$1" 1) second=$(pod "$1" 2)
  evict "$first" || return
  if told=$(evict "$second" 2>&1); then echo "the second was evicted, too"; return 1; fi
  echo "$told"
  grep -q "disruption budget" <<<"$told"
}
emptied() {
  kubectl drain one --ignore-daemonsets --delete-emptydir-data --timeout 150s && settled &&
    [ -z "$(k get pods --field-selector spec.nodeName=one -o name)" ]
}
check_drain() {
  settled >/dev/null
  load 90 20
  expect "a second manager's eviction is refused while the first one's place is empty" second_is_refused manager
  settled >/dev/null
  expect "a second router's eviction is refused while the first one's place is empty" second_is_refused router
  settled >/dev/null
  expect "a node is drained: its pods come up on the other one" emptied
  kubectl uncordon one >/dev/null
  judge "evictions and the drain: nothing lost, nothing doubled, nobody seen to go" 1
}

autoscaled=(--set manager.autoscaling.by=hpa --set manager.autoscaling.minReplicas=1 --set manager.autoscaling.maxReplicas=3
  --set manager.autoscaling.scaleDownStabilizationSeconds=30 --set manager.autoscaling.scaleDownPodSeconds=5)
# What `replicas` has been since.
watch_replicas() {
  kubectl -n chat get deploy starling-manager --watch -o 'jsonpath={.spec.replicas}{"\n"}' >"$work/replicas" 2>/dev/null &
  watching=$!
}
least() {
  sleep 3
  kill "$watching"
  echo "replicas have been: $(paste -sd ' ' "$work/replicas")"
  [ "$(sort -n "$work/replicas" | head -1)" = "$1" ]
}
are() { [ "$(replicas)" = "$1" ]; }
metric() { kubectl get --raw "/apis/custom.metrics.k8s.io/v1beta2/namespaces/chat/pods/*/xmpp_cm_connections"; }
# Also of those that have none: without the metric a pod would count as full.
each_counts() {
  metric | tee "$work/metric"
  grep -q '"value":"[1-9]' "$work/metric" && [ "$(grep -o '"describedObject"' "$work/metric" | wc -l)" = 2 ]
}
check_scale() {
  local holding
  settled >/dev/null
  load 240 14
  expect "the custom-metrics API tells the connections of each pod" until_true 20 each_counts # the clients are on their way
  watch_replicas
  expect "the autoscaler is turned on" deploy "${autoscaled[@]}"
  expect "turning it on drops nothing: there were two, and two stay" least 2
  expect "few connections: it goes to one" until_true 90 are 1
  "$LOADTEST" run loadtest/scenarios/hold.toml --target $address:30222 --transport starttls --i-own-this-target --seconds 90 --count 46 \
    --name hold --quiet >"$work/hold" 2>&1 &
  holding=$!
  expect "many connections: it goes to three" until_true 120 are 3
  expect "the three are ready" settled
  watch_replicas
  expect "an upgrade with the autoscaler on" deploy "${autoscaled[@]}" --set service.labels.again=yes
  expect "the upgrade drops nothing: there were three, and three stay" least 3
  wait "$holding"
  expect "they are gone: it goes back to one" until_true 120 are 1
  judge "two to one to three to one: nothing lost, nothing doubled, nobody seen to go" 1
  restored
}

# How many of the routers have answered a call since they began, with as many links as there are managers.
routers_that_answer() {
  local pod count=0
  for pod in $(k get pods -l app.kubernetes.io/component=router -o name); do
    curl -fsS --max-time 5 "http://$(address_of "${pod#pod/}"):5281/metrics" >"$work/router" || return
    if grep -q '^rpc_server_call_duration_seconds_count' "$work/router" && grep -qx 'starling_links 2' "$work/router"; then count=$((count + 1)); fi
  done
  echo "$count of $(k get pods -l app.kubernetes.io/component=router -o name | wc -l) answer"
  [ "$count" = "$1" ]
}
check_routers() {
  settled >/dev/null
  load 90 20
  expect "there is one session router" eval 'deploy --set router.replicas=1 && settled'
  expect "there are three" eval 'deploy --set router.replicas=3 && settled'
  expect "within 30 s each of the three has links to both managers, and answers calls" until_true 30 routers_that_answer 3
  judge "two to one to three routers: nothing lost, nothing doubled, nobody seen to go"
  restored
}

are_ready() { k wait pod -l "app.kubernetes.io/component=$1" --for "condition=Ready=$2" --timeout "$3"; }
managers_stay() {
  local end=$((SECONDS + 60))
  while ((SECONDS < end)); do are_ready manager true 1s || return; sleep 5; done
}
# One that has begun says what it lacks to whoever asks; to Kubernetes it is alive, and has not started.
waits_for_redis() {
  local pod
  for pod in $(k get pods -l app.kubernetes.io/component=router -o name); do
    curl -sS --max-time 5 "http://$(address_of "${pod#pod/}"):5281/startupz" | grep -i redis && curl -fsS --max-time 5 "http://$(address_of "${pod#pod/}"):5281/livez" && return
  done
  return 1
}
new_router_waits() { k delete "pod/$(pod router)" --wait=false && until_true 60 waits_for_redis; }
check_redis() {
  settled >/dev/null
  local before
  before=$(restarts)
  redis-cli -h $address SHUTDOWN >/dev/null 2>&1
  expect "Redis is away: a router that starts is not ready, and says why" new_router_waits
  expect "Redis is away for a minute: managers stay ready" managers_stay
  redis
  expect "Redis is back: routers are ready" are_ready router true 60s
  expect "nothing was restarted for it" [ "$(restarts)" = "$before" ]
  check_message
}

# The first process of a pod, seen from here.
process() {
  local id
  id=$(k get pod "$1" -o 'jsonpath={.status.containerStatuses[0].containerID}')
  grep -l "${id#containerd://}" /proc/[0-9]*/cgroup 2>/dev/null | head -1 | cut -d / -f 3
}
killed() {
  local pod id
  pod=$(pod "$1") && id=$(process "$pod") && [ -n "$id" ] && kill -9 "$id" && echo "killed $id of $pod" &&
    until_true 30 restarted "$pod" && k wait "pod/$pod" --for condition=Ready --timeout 60s
}
restarted() { [ "$(k get pod "$1" -o 'jsonpath={.status.containerStatuses[0].restartCount}')" -gt 0 ]; }
check_kill() {
  settled >/dev/null
  load 60 20
  expect "a manager is killed (kill -9), and ready again" killed manager
  sleep 5
  expect "a router is killed (kill -9), and ready again" killed router
  judge "both kills: nothing lost, nothing doubled, nobody seen to go" 1
}

# served PORT ADDRESS [CERTIFICATE KEY]: the fingerprint of what is shown there.
served() {
  openssl s_client -connect "$2:$1" -servername localhost ${3:+-cert "$3" -key "$4"} </dev/null 2>/dev/null |
    openssl x509 -noout -fingerprint -sha256
}
shows() { [ "$(served "$2" "$3" "${@:4}")" = "$(openssl x509 -in "$1" -noout -fingerprint -sha256)" ]; }
check_secrets() {
  settled >/dev/null
  load 75 20
  local at manager
  at=$(address_of "$(pod router)") manager=$(pod manager)
  expect "a router shows its node certificate" shows "$work/made/router.crt" 5290 "$at" "$work/made/manager.crt" "$work/made/manager.key"
  expect "node certificates are changed" node_certificates "$work/made"
  expect "a router shows the new one without a restart" until_true 90 \
    shows "$work/made/router.crt" 5290 "$at" "$work/made/manager.crt" "$work/made/manager.key"
  client_certificate "$work/tls2"
  expect "clients' certificate is changed" secret localhost-tls "$work/tls2/tls.crt" "$work/tls2/tls.key"
  expect "a manager shows the new one without a restart" until_true 90 shows "$work/tls2/tls.crt" 5223 "$(address_of "$manager")"
  judge "both changes: nothing lost, nothing doubled, nobody seen to go"
  expect "links come up with the new certificates" eval 'k rollout restart deploy/starling-manager && settled'
}

# The page of metrics of each pod, as promtool would have it.
described() {
  local pod page
  for pod in $(k get pods -l 'app.kubernetes.io/component in (manager, router)' -o name); do
    page=$(curl -fsS --max-time 10 "http://$(address_of "${pod#pod/}"):5281/metrics") && promtool check metrics <<<"$page" || return
  done
}
check_watch() {
  settled >/dev/null
  expect "promtool finds nothing wrong with the metrics of any pod" described
  expect "every expression of every dashboard, and every rule, is evaluated on what Prometheus has scraped" \
    python3 -B scripts/k8s/watching.py "$watched"
  sed 's/^/     /' "$work/out"
}

left() {
  local kinds
  kinds=$(kubectl api-resources --verbs=list --namespaced -o name | grep -v events | paste -sd , -)
  k get "$kinds" -l app.kubernetes.io/instance=starling -o name
}
only_the_secret() { [ "$(left)" = secret/starling-cluster ]; }
uninstalled() {
  # Helm leaves the pod of `helm test` and its script, which are no part of the release.
  k delete pod,configmap -l app.kubernetes.io/component=test
  helm uninstall starling -n chat --wait --timeout 120s && { until_true 60 only_the_secret || { left; return 1; }; }
}
check_uninstall() {
  expect "uninstall leaves nothing but the routers' secret, as it says" uninstalled
}

# One process with a volume, in a namespace of its own.
volume() {
  kubectl create namespace solo && mkdir -p "$work/solo" && chmod 777 "$work/solo" && kubectl apply -f - <<YAML
apiVersion: v1
kind: PersistentVolume
metadata: {name: solo}
spec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], hostPath: {path: "$work/solo"}}
YAML
}
solo() {
  timeout 200 helm upgrade --install solo $chart -n solo -f scripts/k8s/e2e-embedded.yaml --wait --timeout 120s
}
replaced() {
  kubectl -n solo delete pod solo-starling-embedded-0 --timeout 60s && until_true 60 kubectl -n solo get pod solo-starling-embedded-0 &&
    kubectl -n solo wait pod/solo-starling-embedded-0 --for condition=Ready --timeout 60s
}
check_embedded() {
  expect "one pod with a volume is installed" eval 'volume && solo'
  expect "helm test there" timeout 120 helm test solo -n solo --logs --timeout 100s
  load 45 20 31222
  expect "the pod is deleted, and another one has its volume" replaced
  judge "the replacement: nothing lost, nothing doubled, nobody seen to go, everybody resumed" 20
  helm uninstall solo -n solo --wait --timeout 60s >/dev/null
  expect "its volume stays after uninstall" kubectl -n solo get pvc data-solo-starling-embedded-0
}

# What a page says, line by line, in a namespace as new as the reader's. Nobody acts on a PodMonitor here; its kind is known.
fresh() {
  kubectl delete namespace chat --ignore-not-found --timeout 120s && kubectl delete pv guide --ignore-not-found && kubectl apply -f - <<YAML
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: podmonitors.monitoring.coreos.com}
spec:
  group: monitoring.coreos.com
  names: {kind: PodMonitor, plural: podmonitors}
  scope: Namespaced
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]
YAML
}
# walk PAGE LEAST: its lines are checks, and so many are run at least.
walk() {
  local log=$work/$1.log
  expect "nothing is there before the $1" fresh || return
  STARLING=$STARLING LOADTEST=$LOADTEST python3 -B scripts/k8s/walk.py "$1" "$work/$1" | tee "$log"
  passed=$((passed + $(grep -c '^ok ' "$log"))) failed=$((failed + $(grep -c '^FAILED ' "$log")))
  expect "most lines of the $1 were run" [ "$(grep -c '^ok ' "$log")" -ge "$2" ]
  kubectl delete namespace chat --ignore-not-found --timeout 120s >/dev/null
  kubectl delete crd podmonitors.monitoring.coreos.com >/dev/null
}
check_tutorial() { walk tutorial 28; }
check_guide() { walk guide 23; }

checks=(install message schema kustomize roll upgrade drain routers scale redis kill secrets embedded watch uninstall tutorial guide)
[ $# = 0 ] || checks=("$@")
begin
for one in "${checks[@]}"; do "check_$one"; done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
