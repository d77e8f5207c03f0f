# Sourced by the scripts beside it: finding what is installed, and what both services need.
# shellcheck shell=bash
# shellcheck disable=SC2034 # some of these are for the scripts that source this
services=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
kafka_version=$(sed -n 's|.*<kafka.version>\(.*\)</kafka.version>.*|\1|p' "$services/kafka/pom.xml")
cache=${RELAY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/relay}
kafka_cache=$cache/kafka-$kafka_version
# Of go-containerregistry, which has a whole registry of OCI artifacts in one small program.
registry_version=v0.22.1
registry_cache=$cache/registry-$registry_version

# A newer major than Debian's, for what only that has, as npm's package: bare server programs,
# where the user postgres can usually reach them.
postgres17_version=17.10.0-beta.17
postgres17_cache=$(cd "$services/../.." && pwd)/target/tools/postgres-$postgres17_version

# Standard output is for the lines a caller reads; everything said goes to standard error.
say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() { say "error: $*"; exit 1; }
log=/dev/null # each script says where its service writes
fail() { say "error: $1; the end of $log:"; tail -n 40 "$log" >&2; exit 1; }
# The calls stand in the third and fourth line of a script.
usage() { sed -n '3,4s/^# *//p' "$0" >&2; exit 64; }

# The find_ functions print where the thing is, or fail.
find_postgres() {
  local bin best=
  if bin=$(command -v initdb); then dirname "$(readlink -f "$bin")"; return; fi
  # Debian keeps the server's binaries off PATH; the newest major wins.
  for bin in /usr/lib/postgresql/*/bin; do
    [[ -x $bin/initdb ]] || continue
    best=$(printf '%s\n' "$best" "$bin" | sort -V | tail -n 1)
  done
  [[ -n $best ]] && echo "$best"
}

# The one above if it is new enough, else the package's.
find_postgres17() {
  local bin
  if bin=$(find_postgres) && (( $("$bin/postgres" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/') >= 17 )); then
    echo "$bin"
    return
  fi
  [[ -x $postgres17_cache/native/bin/postgres ]] && echo "$postgres17_cache/native/bin"
}

find_java() {
  local java major
  for java in "${JAVA_HOME:+$JAVA_HOME/bin/java}" "$(command -v java)" /usr/lib/jvm/*/bin/java; do
    [[ -n $java && -x $java ]] || continue
    major=$("$java" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p')
    if (( ${major:-0} >= 17 )); then echo "$java"; return; fi
  done
  return 1
}

find_kafka() {
  if [[ -n ${KAFKA_HOME:-} && -d $KAFKA_HOME/libs ]]; then echo "$KAFKA_HOME/libs"; return; fi
  [[ -d $kafka_cache/libs ]] && echo "$kafka_cache/libs"
}

find_registry() { [[ -x $registry_cache/registry ]] && echo "$registry_cache/registry"; }

listening() { (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# Below Linux's range for outgoing connections (32768 up): while a service is stopped in the
# middle of a test, no client's own socket may land on the port it will come back to.
free_port() {
  local port
  for _ in {1..200}; do
    port=$((20000 + (RANDOM << 15 | RANDOM) % 12000))
    listening "$port" || { echo "$port"; return; }
  done
  die 'no free port between 20000 and 32000'
}

# wait_for SECONDS COMMAND...: tries the command until it succeeds or the time is over.
wait_for() {
  local end=$((SECONDS + $1)); shift
  until "$@"; do
    (( SECONDS < end )) || return 1
    sleep 0.05
  done
}

# runs PID WORD: is this process alive, and still the one whose command line has WORD? A reused
# number and a zombie that nobody reaps (a container's first process seldom does) are neither.
runs() { [[ -n $1 ]] && grep -qaF -- "$2" "/proc/$1/cmdline" 2>/dev/null; }
gone() { ! runs "$@"; }

# One start or stop of a directory at a time. The services are started with 9>&-.
lock() { exec 9>"$1/lock"; flock -w 120 9 || die "$1 is locked by another run"; }

# certificate DIR: a throw-away authority (ca.pem) and a server's certificate (server.pem,
# server.key) for localhost and 127.0.0.1. The authority's key is deleted once it has signed.
certificate() (
  umask 077
  cd "$1" &&
    openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj '/CN=relay test CA' \
      -addext 'keyUsage=critical,keyCertSign,cRLSign' -keyout ca.key -out ca.pem &&
    openssl req -newkey rsa:2048 -nodes -subj '/CN=localhost' -keyout server.key -out server.csr &&
    openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -set_serial 2 -days 3650 \
      -extfile <(echo 'subjectAltName=DNS:localhost,IP:127.0.0.1') -out server.pem &&
    chmod 644 ca.pem server.pem && rm ca.key server.csr
) >/dev/null 2>&1
