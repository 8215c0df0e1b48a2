#!/usr/bin/env bash
# Apache Cassandra as a plain process, for tests: fetched by Maven, run by Java 17, one node or several on loopback.
#
#   scripts/lib/cassandra.sh start [NODES]   starts what does not run, prints host:port of the first node when all answer
#   scripts/lib/cassandra.sh stop            ends them and keeps their data; the next `start` goes on with it
#   scripts/lib/cassandra.sh clean           ends them and deletes their data
#   scripts/lib/cassandra.sh status          prints host:port if the first node runs, fails otherwise
#   scripts/lib/cassandra.sh nodetool ARG…   Cassandra's tool for operators, at the first node: it must be started with CASSANDRA_JMX=1
#
# Everything lies in CASSANDRA_DIR (target/cassandra): port, and for node N its files and nN/pid. Whoever wants a server of
# their own names another directory; the jars are shared. Node N listens on 127.0.0.N, all on one port.
# CASSANDRA_YAML names a file with more settings, for TLS or passwords (then the user cassandra with that password is there).
# CASSANDRA_JMX=1 opens the first node's port for nodetool, on loopback.
# CASSANDRA_TIERS (1) is how far Java compiles: 1 starts quickly, 4 costs a minute of CPU and is cheaper in the long run.
# `commitlog_sync: batch`: what was answered outlives a kill -9, which the default does not give.
set -uo pipefail
cassandra_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
. "$cassandra_root/scripts/lib/install.sh"
CASSANDRA_DIR=${CASSANDRA_DIR:-$cassandra_root/target/cassandra}
CASSANDRA_JARS=${CASSANDRA_JARS:-$cassandra_root/target/cassandra-jars}
# Seconds until a node must answer; a busy machine needs minutes.
CASSANDRA_WAIT=${CASSANDRA_WAIT:-240}

# The Java that runs it: 17, newer ones do not start it. Installed if there is none.
cassandra_java() {
  local one
  for one in "${JAVA_HOME:-}/bin/java" /usr/lib/jvm/*17*/bin/java "$(command -v java)"; do
    [ -x "$one" ] && "$one" -version 2>&1 | grep -q 'version "17\.' && echo "$one" && return
  done
  [ "${1-}" = installed ] && echo "no Java 17 was found" >&2 && return 1
  need_apt openjdk-17-jre-headless >&2 && cassandra_java installed
}

cassandra_answers() {
  (exec 3<>"/dev/tcp/$1/$2") 2>/dev/null
}

# A port that is free on every node's address, below those that the system gives to clients.
cassandra_free_port() {
  local port node
  for _ in {1..100}; do
    port=$((20000 + RANDOM % 10000))
    for ((node = 1; node <= $1; node++)); do cassandra_answers "127.0.0.$node" $port && continue 2; done
    echo $port && return
  done
  return 1
}

cassandra_pid() {
  local pid
  pid=$(cat "$CASSANDRA_DIR/n$1/pid" 2>/dev/null) && grep -q CassandraDaemon "/proc/$pid/cmdline" 2>/dev/null && echo "$pid"
}

# The files of one node: cassandra_configure NODE PORT STORAGE_PORT
cassandra_configure() {
  local home=$CASSANDRA_DIR/n$1
  mkdir -p "$home/conf" || return
  cat >"$home/conf/cassandra.yaml" <<YAML
cluster_name: starling-test
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
num_tokens: 4
auto_bootstrap: false
listen_address: 127.0.0.$1
rpc_address: 127.0.0.$1
native_transport_port: $2
storage_port: $3
seed_provider: [{class_name: org.apache.cassandra.locator.SimpleSeedProvider, parameters: [{seeds: "127.0.0.1:$3"}]}]
endpoint_snitch: GossipingPropertyFileSnitch
data_file_directories: [$home/data]
commitlog_directory: $home/commitlog
hints_directory: $home/hints
saved_caches_directory: $home/saved_caches
cdc_raw_directory: $home/cdc_raw
commitlog_sync: batch
commitlog_segment_size: 8MiB
commitlog_total_space: 128MiB
paxos_variant: v2
disk_failure_policy: die
commit_failure_policy: die
memtable_heap_space: 96MiB
memtable_offheap_space: 64MiB
concurrent_reads: 8
concurrent_writes: 16
concurrent_compactors: 1
file_cache_size: 32MiB
key_cache_size: 8MiB
auto_snapshot: false
YAML
  [ -z "${CASSANDRA_YAML-}" ] || cat "$CASSANDRA_YAML" >>"$home/conf/cassandra.yaml" || return
  printf 'dc=dc1\nrack=rack%s\n' "$1" >"$home/conf/cassandra-rackdc.properties"
  cat >"$home/conf/logback.xml" <<XML
<configuration>
  <appender name="FILE" class="ch.qos.logback.core.FileAppender">
    <file>$home/system.log</file>
    <encoder><pattern>%-5level %date{ISO8601} %F:%L - %msg%n</pattern></encoder>
  </appender>
  <root level="INFO"><appender-ref ref="FILE"/></root>
</configuration>
XML
}

# What Cassandra reaches into in Java 17, in `flags`.
cassandra_opens() {
  local one
  for one in java.base/jdk.internal.misc java.management.rmi/com.sun.jmx.remote.internal.rmi java.rmi/sun.rmi.registry \
    java.rmi/sun.rmi.server java.sql/java.sql java.base/java.lang.ref jdk.unsupported/sun.misc; do
    flags+=(--add-exports "$one=ALL-UNNAMED")
  done
  for one in java.base/{java.lang.module,jdk.internal.loader,jdk.internal.ref,jdk.internal.reflect,jdk.internal.math} \
    java.base/{jdk.internal.module,jdk.internal.util.jar,sun.nio.ch,java.io,java.lang.reflect,java.lang,java.util} \
    java.base/{java.util.concurrent,java.util.concurrent.atomic,java.nio} jdk.management/com.sun.management.internal; do
    flags+=(--add-opens "$one=ALL-UNNAMED")
  done
}

# cassandra_launch JAVA NODE: leaves the process running, in a session of its own.
cassandra_launch() {
  local java=$1 home=$CASSANDRA_DIR/n$2 flags=()
  cassandra_opens
  if [ "$2" = 1 ] && [ -n "${CASSANDRA_JMX-}" ]; then
    [ -s "$CASSANDRA_DIR/jmx" ] || cassandra_free_port 1 >"$CASSANDRA_DIR/jmx" || return
    flags+=("-Dcassandra.jmx.local.port=$(cat "$CASSANDRA_DIR/jmx")")
  fi
  setsid "$java" -Xms512m -Xmx1g -XX:+UseSerialGC -Xss256k -XX:-UsePerfData "-XX:TieredStopAtLevel=${CASSANDRA_TIERS:-1}" \
    "-XX:ErrorFile=$home/java.log" -XX:MaxDirectMemorySize=256m -Djdk.attach.allowAttachSelf=true -Dio.netty.tryReflectionSetAccessible=true \
    -Dcassandra-foreground=yes "-Dcassandra.config=file://$home/conf/cassandra.yaml" "-Dcassandra.storagedir=$home" \
    "-Dlogback.configurationFile=$home/conf/logback.xml" -Dcassandra.ring_delay_ms=15000 \
    -Dcassandra.skip_wait_for_gossip_to_settle=0 -Dcassandra.consistent.rangemovement=false \
    -Dcassandra.memtable.row_overhead_size=180 -Dcassandra.superuser_setup_delay_ms=0 "${flags[@]}" \
    -cp "$home/conf:$CASSANDRA_JARS/*" org.apache.cassandra.service.CassandraDaemon \
    </dev/null >"$home/out.log" 2>&1 &
  echo $! >"$home/pid"
  # Until it is Java, it is not known by its command line.
  for _ in {1..100}; do cassandra_pid "$2" >/dev/null && break; sleep 0.05; done
}

cassandra_start() {
  local nodes=${1:-1} java port storage node end
  need_mvn "$cassandra_root/scripts/lib/cassandra/pom.xml" "$CASSANDRA_JARS" >&2 || return
  java=$(cassandra_java) || return
  mkdir -p "$CASSANDRA_DIR" || return
  if ! read -r port storage 2>/dev/null <"$CASSANDRA_DIR/port"; then
    port=$(cassandra_free_port "$nodes") && storage=$(cassandra_free_port "$nodes") && [ "$port" != "$storage" ] || return
    echo "$port $storage" >"$CASSANDRA_DIR/port"
  fi
  for ((node = 1; node <= nodes; node++)); do
    cassandra_pid $node >/dev/null && continue
    cassandra_configure $node "$port" "$storage" && cassandra_launch "$java" $node || return
  done
  end=$((SECONDS + CASSANDRA_WAIT))
  for ((node = 1; node <= nodes; node++)); do
    until cassandra_answers "127.0.0.$node" "$port"; do
      if ! cassandra_pid $node >/dev/null || ((SECONDS > end)); then
        echo "node $node of Cassandra does not answer; the end of $CASSANDRA_DIR/n$node/system.log and out.log:" >&2
        tail -n 15 "$CASSANDRA_DIR/n$node"/{system,out}.log >&2
        return 1
      fi
      sleep 0.2
    done
  done
  echo "127.0.0.1:$port"
}

cassandra_nodetool() {
  local java port flags=()
  java=$(cassandra_java) && read -r port <"$CASSANDRA_DIR/jmx" || return
  cassandra_opens
  "$java" -Xmx128m -XX:+UseSerialGC "-Duser.home=$CASSANDRA_DIR" "${flags[@]}" -cp "$CASSANDRA_JARS/*" org.apache.cassandra.tools.NodeTool \
    -h 127.0.0.1 -p "$port" "$@"
}

cassandra_stop() {
  local home pid pids=() end=$((SECONDS + 60))
  for home in "$CASSANDRA_DIR"/n*; do
    pid=$(cassandra_pid "${home##*/n}") && pids+=("$pid")
  done
  [ ${#pids[@]} = 0 ] && return
  kill -CONT "${pids[@]}" && kill "${pids[@]}"
  for pid in "${pids[@]}"; do
    while kill -0 "$pid" 2>/dev/null; do
      ((SECONDS < end)) || { kill -KILL "$pid" && end=$((SECONDS + 10)); }
      sleep 0.1
    done
  done
}

cassandra_status() {
  local port
  cassandra_pid 1 >/dev/null && read -r port _ <"$CASSANDRA_DIR/port" && cassandra_answers 127.0.0.1 "$port" &&
    echo "127.0.0.1:$port"
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
  case ${1-} in
    start) cassandra_start "${2:-1}" ;;
    stop) cassandra_stop ;;
    clean) cassandra_stop && rm -rf "$CASSANDRA_DIR" ;;
    status) cassandra_status ;;
    nodetool) cassandra_nodetool "${@:2}" ;;
    *)
      echo "usage: scripts/lib/cassandra.sh start [NODES] | stop | clean | status | nodetool ARG…" >&2
      exit 64
      ;;
  esac
fi
