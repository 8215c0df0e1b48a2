#!/usr/bin/env bash
# Starling, as one process and as a cluster, ejabberd and Prosody under the same scenarios, one after another, never two at once: docs/benchmarks.md.
#
#   scripts/lib/bench-peers.sh                                 three runs of six seconds each; writes table and charts of the page
#   scripts/lib/bench-peers.sh --servers cluster --runs 1      a cluster of Starling alone, on Redis and Cassandra, which are shown apart
#   scripts/lib/bench-peers.sh --runs 1 --seconds 2 --count 40 --only chat --servers starling,prosody
#                                                              less; prints the table and leaves the page alone
#
# The configurations are in scripts/peers. Every run is against a process that was just started, on data in which the accounts are.
# Results stay in target/bench-peers, for `starling-loadtest compare`, with report.html and all of its charts as PNG in charts/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. scripts/lib/install.sh

runs=3 seconds=6 count='' only='' servers=starling,cluster,ejabberd,prosody profile=release page=(--write docs/benchmarks.md --charts images)
command="make bench-peers${*:+ BENCH='$*'}"
while [ $# -gt 0 ]; do
  case $1 in
    --runs) runs=$2 ;; --seconds) seconds=$2 ;; --count) count=$2 ;; --only) only=$2 ;; --servers) servers=$2 ;; --profile) profile=$2 ;;
    *) echo "unknown: $1" >&2 && exit 64 ;;
  esac
  page=()
  shift 2
done

# Name, scenario, archive on, and more for the command line. Each name is a line of the table.
loads=(
  "idle hold false"
  "idle-tls hold false --transport starttls"
  "login login-storm false --mechanism scram-sha-1"
  "login-tls login-storm false --mechanism scram-sha-1 --transport starttls"
  "chat-1 chat-closed false"
  "chat-16 chat-closed-16 false"
  "chat-16-tls chat-closed-16 false --transport starttls"
  "chat-16-1k-sm chat-closed-1k false"
  "chat-2000 chat-open false"
  "chat-1-archive chat-closed true"
  "chat-16-archive chat-closed-16 true"
  "archive archive true"
  "offline offline false"
  "presence presence-storm false"
  "reconnect reconnect-storm false"
  "resume resume-churn false"
)

[[ $servers != *ejabberd* ]] || need_apt ejabberd erlang-base
[[ $servers != *prosody* ]] || need_apt prosody lua-sec # without lua-sec it has no TLS, and says so only in its log
need_apt openssl
folder=$profile
[ "$profile" = dev ] && folder=debug
cargo build --profile "$profile" -p starling-server -p starling-loadtest
ulimit -n "$(ulimit -Hn)"
loadtest=target/$folder/starling-loadtest results=target/bench-peers
rm -rf "$results" && mkdir -p "$results"
root=$(mktemp -d)
pid=
# The cluster: two managers, two routers, as scripts/cluster.sh has them, with stores that stay while the others are started anew.
export STARLING=target/$folder/starling CLUSTER_DIR=target/bench-peers-cluster CLUSTER_REDIS=17480 CLUSTER_CQL=20142 CLUSTER_MORE=$root/more.toml
parts=(router-1 router-2 manager-1 manager-2)
end() {
  stop
  [[ $servers != *cluster* ]] || scripts/cluster.sh stop
  rm -rf "$root" "$CLUSTER_DIR"
}
trap end EXIT

# Two that are free, and not the same.
ports() { python3 -c 'import socket
two = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(one.getsockname()[1] for one in two))'; }

# process_of PART…: their ids, with commas between.
process_of() {
  local ids
  ids=$(for part in "$@"; do cat "$CLUSTER_DIR/$part.pid"; done)
  echo "${ids//$'\n'/,}"
}

start_cluster() {
  local archive=$1 part
  mkdir -p "$root/cluster-$archive"
  sed -e '/^\[limits\]/,$!d' -e "s|@ARCHIVE@|$archive|" scripts/peers/starling.toml >"$CLUSTER_MORE"
  scripts/cluster.sh stores >/dev/null
  for part in "${parts[@]}"; do scripts/cluster.sh start "$part"; done
  pid=$(process_of "${parts[@]}")
  plain=15224,127.0.0.1:25224 tls=15222,127.0.0.1:25222
}

# start SERVER ARCHIVE: sets pid, plain and tls. The same data each time.
start() {
  [ "$1" != cluster ] || { start_cluster "$2"; return; }
  local server=$1 archive=$2 dir=$root/$1-$2 file
  read -r plain other < <(ports)
  tls=$plain
  mkdir -p "$dir/data"
  if [ ! -e "$dir/cert.pem" ]; then
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost \
      -keyout "$dir/key.pem" -out "$dir/cert.pem" 2>/dev/null
    [ "$server" != ejabberd ] || cat "$dir/key.pem" >>"$dir/cert.pem"
  fi
  file=$(ls scripts/peers/"$server".*)
  [ "$server" != starling ] || tls=$other
  sed -e "s|@DIR@|$dir|g; s|@PORT@|$plain|; s|@TLS_PORT@|$tls|; s|@ARCHIVE@|$archive|" -e "$([ "$archive" = false ] || echo 's|#ARCHIVE||; s|--ARCHIVE||')" \
    "$file" >"$dir/$(basename "$file")"
  file=$dir/$(basename "$file")
  case $server in
    starling) "target/$folder/starling" run --config "$file" --data-dir "$dir/data" >>"$dir/out" 2>&1 & ;;
    # As ejabberdctl starts it, but without the schedulers' busy waiting, which would count as work, and as no node of a cluster.
    ejabberd)
      HOME=$dir ERL_LIBS=/usr/lib/$(uname -m)-linux-gnu EJABBERD_CONFIG_PATH=$file EJABBERD_LOG_PATH=$dir/ejabberd.log \
        erl -noinput +K true +P 250000 +Q 65536 +sbwt none +sbwtdcpu none +sbwtdio none -mnesia dir "\"$dir/data\"" -s ejabberd >>"$dir/out" 2>&1 &
      ;;
    prosody) prosody -F --config "$file" >>"$dir/out" 2>&1 & ;;
  esac
  pid=$!
  for _ in $(seq 600); do
    kill -0 "$pid" 2>/dev/null || { tail -n 30 "$dir/out"; echo "$server ended" >&2; exit 1; }
    (: <>"/dev/tcp/127.0.0.1/$plain") 2>/dev/null && return
    sleep 0.1
  done
  echo "$server does not listen" >&2 && exit 1
}

stop() {
  [ -n "$pid" ] || return 0
  if [[ $pid == *,* ]]; then
    # Managers first: they move their sessions to nobody, and wait for what routers still answer.
    for part in manager-1 manager-2 router-1 router-2; do scripts/cluster.sh end "$part"; done
    pid=
    return 0
  fi
  kill "$pid" 2>/dev/null || true
  wait "$pid" 2>/dev/null || true
  pid=
}

# play SCENARIO MORE…: exit code 99 is a finding, and stands in the table.
play() {
  local code=0
  "$loadtest" run "$@" --quiet --correctness-only || code=$?
  [ $code = 0 ] || [ $code = 99 ]
}

for ((run = 1; run <= runs; run++)); do
  for load in "${loads[@]}"; do
    read -r name scenario archive more <<<"$load"
    [[ -z $only || $name =~ $only ]] || continue
    read -ra more <<<"$more"
    for server in ${servers//,/ }; do
      few=(loadtest/scenarios/login-storm.toml --mechanism scram-sha-1 --seconds 1)
      [ -z "$count" ] || few+=(--count "$count")
      start "$server" "$archive"
      if [ ! -e "$root/$server-$archive/ready" ]; then
        play "${few[@]}" --target "127.0.0.1:$plain" >/dev/null # makes the accounts, which is not measured
        touch "$root/$server-$archive/ready"
        stop
        start "$server" "$archive"
      fi
      play "${few[@]}" --target "127.0.0.1:$plain" >/dev/null # code and buffers that any connection needs are there then
      at=$plain
      [[ ${more[*]} != *starttls* ]] || at=$tls
      arguments=("loadtest/scenarios/$scenario.toml" --name "$name" --target "127.0.0.1:$at" --server-pid "$pid" --seconds "$seconds")
      [ -z "$count" ] || arguments+=(--count "$count")
      [ "$server" != cluster ] || arguments+=(--server-name "Starling, a cluster" --beside
        "redis=$(process_of redis),cassandra=$(process_of cassandra)")
      if ! play "${arguments[@]}" "${more[@]}" --json "$results/$name-$server-$run.json"; then
        echo "$name could not be played against $server" >&2 # the table shows a gap
      fi
      stop
    done
  done
done
"$loadtest" report "$results" --output "$results/report.html" --png "$results/charts"
"$loadtest" table "$results" --made-by "$command" "${page[@]}"
