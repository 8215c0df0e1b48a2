#!/usr/bin/env bash
# What the checks of e2e-checks.sh share. To be sourced within the nodes' namespaces.

address=10.10.0.1
work=$PWD/target/k8s/state/e2e
watched=http://127.0.0.1:9090
chart=deploy/helm/starling
passed=0 failed=0
mkdir -p "$work"

# expect WHAT COMMAND …: one check.
expect() {
  local what=$1 began=$SECONDS
  shift
  if "$@" >"$work/out" 2>&1; then
    echo "ok $what ($((SECONDS - began)) s)"
    passed=$((passed + 1))
  else
    echo "FAILED $what ($((SECONDS - began)) s)"
    tail -n 30 "$work/out" | sed 's/^/    /'
    failed=$((failed + 1))
    return 1
  fi
}

k() { kubectl -n chat "$@"; }

# until_true SECONDS COMMAND …
until_true() {
  local end=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < end)) || { "$@"; return 1; }
    sleep 0.5
  done
}

deploy() { timeout 240 helm upgrade --install starling $chart -n chat -f scripts/k8s/e2e.yaml --wait --timeout 180s "$@"; }

# Redis and Cassandra run beside the nodes, as they would elsewhere.
redis() {
  redis-server --bind $address --protected-mode no --dir "$work" --appendonly yes --appendfsync everysec --save "" \
    --maxmemory-policy noeviction --logfile "$work/redis.log" --daemonize yes --pidfile "$work/redis.pid" >/dev/null
}

cassandra() {
  local where=$work/cassandra
  mkdir -p "$where"
  echo "9042 7000" >"$where/port"
  printf 'rpc_address: 0.0.0.0\nbroadcast_rpc_address: %s\n' $address >"$where/more.yaml"
  CASSANDRA_DIR=$where CASSANDRA_YAML=$where/more.yaml scripts/lib/cassandra.sh start
}

# outside NAMESPACE: names for them there, as Services without pods.
outside() {
  local one
  for one in redis:6379 cassandra:9042; do
    kubectl -n "$1" apply -f - <<YAML || return
apiVersion: v1
kind: Service
metadata: {name: ${one%:*}}
spec: {clusterIP: None, ports: [{port: ${one#*:}}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: ${one%:*}, labels: {kubernetes.io/service-name: ${one%:*}}}
addressType: IPv4
ports: [{port: ${one#*:}}]
endpoints: [{addresses: ["$address"]}]
YAML
  done
}

# secret NAME CRT KEY [CA]: made or replaced.
secret() {
  k create secret generic "$1" --from-file=tls.crt="$2" --from-file=tls.key="$3" ${4:+--from-file=ca.crt="$4"} --dry-run=client -o yaml |
    k apply --server-side -f - >/dev/null
}

# client_certificate DIRECTORY: self-signed, for localhost.
client_certificate() {
  mkdir -p "$1"
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost \
    -addext basicConstraints=critical,CA:FALSE -keyout "$1/tls.key" -out "$1/tls.crt" 2>/dev/null
}

# node_certificates DIRECTORY: of the authority in it, or a new one; by the program in the image.
node_certificates() {
  local role
  for role in manager router; do
    "$STARLING" certificate --directory "$1" --roles "$([ $role = manager ] && echo connection-manager || echo session-router)" $role &&
      secret starling-$role "$1/$role.crt" "$1/$role.key" "$1/authority.crt"
  done
}

# Prometheus reads every pod of ours, and calls them what a PodMonitor would. Debian's knows no Kubernetes: it is told by a file.
prometheus() {
  mkdir -p "$work/prometheus"
  cat >"$work/prometheus/prometheus.yml" <<YAML
global: {scrape_interval: 5s, evaluation_interval: 15s}
rule_files: [$PWD/$chart/files/alerts.yaml]
scrape_configs:
  - {job_name: itself, static_configs: [{targets: ["${watched#http://}"]}]}
  - {job_name: pods, file_sd_configs: [{files: [$work/prometheus/pods.yml]}]}
YAML
  command prometheus --config.file "$work/prometheus/prometheus.yml" --storage.tsdb.path "$work/prometheus/data" \
    --web.listen-address "${watched#http://}" >"$work/prometheus/log" 2>&1 </dev/null &
  while sleep 3; do
    kubectl get pods -A -l 'app.kubernetes.io/name=starling,app.kubernetes.io/component in (manager, router, embedded)' \
      -o go-template-file=scripts/k8s/pods.tpl >"$work/prometheus/new" && mv "$work/prometheus/new" "$work/prometheus/pods.yml"
  done >/dev/null 2>&1 </dev/null &
  until_true 30 curl -fsS "$watched/-/ready" || tail -n 3 "$work/prometheus/log"
}

begin() {
  curl -fsS "$watched/-/ready" >/dev/null 2>&1 || prometheus
  redis-cli -h $address PING >/dev/null 2>&1 || redis
  CASSANDRA_DIR=$work/cassandra scripts/lib/cassandra.sh status >/dev/null || cassandra >"$work/cassandra.log" 2>&1
}

# load SECONDS CLIENTS [PORT]: pairs who write and stay, in the background.
load() {
  "$LOADTEST" run loadtest/scenarios/stay.toml --target "$address:${3-30222}" --transport starttls --i-own-this-target --seconds "$1" \
    --count "$2" --json "$work/load.json" >"$work/load" 2>&1 &
  loading=$!
  # Accounts and rosters are made first.
  until_true 60 grep -q 's left: ' "$work/load"
}

figure() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["figures"].get(sys.argv[2], 0))' "$work/load.json" "$1"; }

# load_is_good [RESUMED]: nothing lost, doubled or seen to go, by the generator's own count; with at least so many resumptions.
load_is_good() {
  local code
  wait "$loading"
  code=$?
  cat "$work/load"
  [ $code = 0 ] && python3 -c 'import sys; sys.exit(float(sys.argv[1]) < float(sys.argv[2]))' "$(figure resume.count)" "${1-0}"
}

# judge WHAT [RESUMED]: the same as a check, with its figures.
judge() {
  local what=$1
  shift
  expect "$what" load_is_good "$@" || return
  sed -n 's/^  \(delivery\|resume\|messages\|flaps\)/     \1/p' "$work/load"
}

# pod PART [NUMBER]: the name of one.
pod() { k get pods -l "app.kubernetes.io/component=$1" -o name | sed -n "${2-1}s/^pod.//p"; }
address_of() { k get pod "$1" -o 'jsonpath={.status.podIP}'; }
replicas() { k get deploy starling-manager -o 'jsonpath={.spec.replicas}'; }
restarts() { k get pods -o 'jsonpath={range .items[*].status.containerStatuses[*]}{.restartCount}{"\n"}{end}' | awk '{ n += $1 } END { print n + 0 }'; }
rolled() { k rollout status "deploy/starling-$1" --timeout 180s; }
# As it was installed. `replicas` is the autoscaler's since it was on, and Helm 4 takes nothing that is another's unless it is told.
restored() { deploy --force-conflicts >/dev/null 2>&1 && settled >/dev/null; }
# All pods of both parts are there and ready, and none is leaving.
settled() {
  rolled manager && rolled router && until_true 60 not_leaving
}
not_leaving() { [ -z "$(k get pods -o 'jsonpath={.items[*].metadata.deletionTimestamp}')" ]; }
