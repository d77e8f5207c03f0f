#!/usr/bin/env bash
# One Apache Kafka broker on loopback, everything it owns in DIR:
#   kafka.sh start DIR [--port P] [--behind PORT] [--secure [--keystore FILE --keystore-password PW]]
#   kafka.sh stop DIR [--kill]
# start prints KAFKA_BROKERS=… (with --secure also KAFKA_SECURE_BROKERS=… and KAFKA_CA=…, for a
# SASL_SSL listener with SCRAM-SHA-512 and PLAIN, user relay, password relay-secret).
# FILE is a .p12, or a .pem with an unencrypted key and its chain; by default one is made.
# With --behind it has one listener more, KAFKA_BEHIND=…, whose clients are told to come to PORT:
# for a proxy there.
# A DIR that was started before keeps its data, cluster id, ports and listeners.
set -euo pipefail
# shellcheck source=tests/services/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
user=relay password=relay-secret

[[ $# -ge 2 ]] || usage
command=$1 dir=$2
shift 2
port='' behind='' secure='' keystore='' keystore_password='' signal=TERM
while [[ $# -gt 0 ]]; do
  case $command$1 in
    start--port) port=$2; shift ;;
    start--behind) behind=$2; shift ;;
    start--secure) secure=1 ;;
    start--keystore) keystore=$(realpath "$2"); shift ;;
    start--keystore-password) keystore_password=$2; shift ;;
    stop--kill) signal=KILL ;;
    *) usage ;;
  esac
  shift
done

secure_settings() {
  local type=PEM
  if [[ -z $keystore ]]; then
    certificate "$dir" || die 'openssl could not make a certificate'
    keystore=$dir/keystore.pem
    (umask 077; cat "$dir/server.key" "$dir/server.pem" >"$keystore")
  # A client needs the authority: with a given keystore, that is the chain inside it.
  elif [[ $keystore = *.p12 || $keystore = *.pfx ]]; then
    type=PKCS12
    openssl pkcs12 -in "$keystore" -passin "pass:$keystore_password" -nokeys -out "$dir/ca.pem"
  else
    sed -n '/BEGIN CERT/,/END CERT/p' "$keystore" >"$dir/ca.pem"
  fi
  cat <<END
listener.name.secure.ssl.keystore.type=$type
listener.name.secure.ssl.keystore.location=$keystore
listener.name.secure.sasl.enabled.mechanisms=SCRAM-SHA-512,PLAIN
listener.name.secure.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.secure.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_$user="$password";
END
  # A PEM file holds its key in the clear: Java 17 cannot read one that openssl encrypted.
  [[ $type = PEM ]] || printf 'listener.name.secure.ssl.%s.password=%s\n' \
    keystore "$keystore_password" key "$keystore_password"
}

# Writes DIR/server.properties, formats DIR/data and, last of all, leaves DIR/answer: the lines
# that start prints. A directory without it was never finished and is made anew.
create() {
  local secure_port='' behind_port='' controller_port cluster_id scram=()
  rm -rf "$dir/data"
  port=${port:-$(free_port)}
  controller_port=$(free_port)
  [[ -z $secure ]] || secure_port=$(free_port)
  [[ -z $behind ]] || behind_port=$(free_port)
  {
    cat <<END
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller_port${secure:+,SECURE://127.0.0.1:$secure_port}${behind:+,BEHIND://127.0.0.1:$behind_port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_SSL,BEHIND:PLAINTEXT
controller.listener.names=CONTROLLER
controller.quorum.bootstrap.servers=127.0.0.1:$controller_port
log.dirs=$dir/data
# A mistyped topic must fail, and a test says how many partitions it wants.
auto.create.topics.enable=false
# One node holds the only replica of everything.
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
offsets.topic.num.partitions=4
transaction.state.log.num.partitions=4
share.coordinator.state.topic.num.partitions=4
# Nobody else is going to join the group.
group.initial.rebalance.delay.ms=0
# An oracle reads back everything a test wrote, at whatever timestamp.
log.retention.ms=-1
# Preallocated per partition (10 MB), and taken from a small heap (128 MB).
log.index.size.max.bytes=1048576
log.cleaner.dedupe.buffer.size=8388608
num.network.threads=2
num.io.threads=4
# After a SIGKILL the controller turns the restarted broker away until its old session is over
# (9 s by default). Shorter still would fence a broker that a busy machine merely delays.
broker.session.timeout.ms=4000
broker.heartbeat.interval.ms=500
END
    [[ -z $secure ]] || secure_settings
    [[ -z $behind ]] || echo "advertised.listeners=PLAINTEXT://127.0.0.1:$port,BEHIND://127.0.0.1:$behind${secure:+,SECURE://127.0.0.1:$secure_port}"
  } >"$dir/server.properties"
  [[ -z $secure ]] || scram=(--add-scram "SCRAM-SHA-512=[name=$user,password=$password]")
  # 16 bytes in base64, without the characters that would read as an option or a path.
  cluster_id=$(head -c 16 /dev/urandom | base64 | tr '+/' 'AB' | tr -d =)
  "$java" "${jvm[@]}" -cp "$libs/*" kafka.tools.StorageTool format --standalone -t "$cluster_id" \
    -c "$dir/server.properties" "${scram[@]}" >"$log" 2>&1 || fail 'formatting failed'
  {
    echo "KAFKA_BROKERS=127.0.0.1:$port"
    [[ -z $behind ]] || echo "KAFKA_BEHIND=127.0.0.1:$behind_port"
    [[ -z $secure ]] || printf '%s\n' "KAFKA_SECURE_BROKERS=127.0.0.1:$secure_port" "KAFKA_CA=$dir/ca.pem"
  } >"$dir/answer.new"
  mv "$dir/answer.new" "$dir/answer"
}

# An open port is not yet a broker: this asks for the cluster's metadata (key 3, version 1, no
# topics), and is content when the answer counts one live broker.
answers() {
  local count
  count=$({
    exec 3<>"/dev/tcp/127.0.0.1/$port"
    printf '\0\0\0\x0e\0\x03\0\x01\0\0\0\x01\xff\xff\0\0\0\0' >&3
    timeout 5 head -c 12 <&3 | od -An -j 11 -tu1
  } 2>/dev/null) || return 1
  (( ${count:-0} == 1 ))
}
ready() { answers || ! runs "$pid" "$mark"; }

case $command in start | stop) ;; *) usage ;; esac
[[ $command = start || -d $dir ]] || exit 0
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
log=$dir/log mark=$dir/server.properties
lock "$dir"
pid=$(cat "$dir/pid" 2>/dev/null || true)

if [[ $command = stop ]]; then
  runs "$pid" "$mark" || exit 0
  kill -"$signal" "$pid"
  if ! wait_for 60 gone "$pid" "$mark"; then
    say "process $pid ignored SIGTERM for 60 s; killing it"
    kill -KILL "$pid"
    wait_for 30 gone "$pid" "$mark" || die "process $pid does not go away"
  fi
  rm -f "$dir/pid"
  exit
fi

java=$(find_java) || die "no Java 17 here: run $services/install.sh"
libs=$(find_kafka) || die "no Kafka here: run $services/install.sh"
# A broker that lives for a few tests: only the quick compiler, no collector threads. What
# KAFKA_JVM_OPTS says comes after and wins; a benchmark sets -XX:TieredStopAtLevel=4.
jvm=(-Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xshare:auto -Dlog4j2.level=INFO)
archive=${libs%/libs}/classes.jsa
[[ ! -e $archive ]] || jvm+=("-XX:SharedArchiveFile=$archive")
read -ra extra <<<"${KAFKA_JVM_OPTS:-}"

asked=$port
[[ -e $dir/answer ]] || create
port=$(sed -n 's/^KAFKA_BROKERS=.*://p' "$dir/answer")
[[ -z $asked || $asked = "$port" ]] || die "$dir was made with port $port, not $asked"
[[ -z $secure ]] || grep -q SECURE "$dir/answer" || die "$dir was made without --secure"

if ! runs "$pid" "$mark"; then
  listening "$port" && die "port $port is taken"
  # A session of its own, and none of the caller's files: "$(kafka.sh start DIR)" must return.
  setsid "$java" "${jvm[@]}" "${extra[@]}" -cp "$libs/*" kafka.Kafka "$mark" \
    </dev/null >>"$log" 2>&1 9>&- &
  pid=$!
  echo "$pid" >"$dir/pid"
  # The command line is bash's own until setsid has become java.
  wait_for 5 runs "$pid" "$mark" || fail 'the JVM did not start'
fi
wait_for 90 ready || fail 'no answer within 90 s'
runs "$pid" "$mark" || fail 'the broker exited'
cat "$dir/answer"
