#!/usr/bin/env bash
# One scratch Postgres on loopback, everything it owns in DIR (its unix socket too):
#   postgres.sh start DIR [--port P] [--tls] [--standby-of DIR] [--postgres17]
#   postgres.sh stop DIR [--kill]
# start prints DATABASE_URL=… (with --tls also POSTGRES_CA=…). A DIR that was started before
# keeps its data, port, certificate and version. A standby of a primary that was stopped in
# order is a copy of it.
set -euo pipefail
# shellcheck source=tests/services/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

[[ $# -ge 2 ]] || usage
command=$1 dir=$2
shift 2
port='' tls='' kill='' primary='' find=find_postgres
while [[ $# -gt 0 ]]; do
  case $command$1 in
    start--port) port=$2; shift ;;
    start--tls) tls=1 ;;
    start--standby-of) primary=$2; shift ;;
    start--postgres17) find=find_postgres17 ;;
    stop--kill) kill=1 ;;
    *) usage ;;
  esac
  shift
done
case $command in start | stop) ;; *) usage ;; esac
[[ $command = start || -d $dir ]] || exit 0

# Postgres refuses to run as root; the Debian package has made this user.
owner=$(id -un)
as_owner=()
if (( EUID == 0 )); then owner=postgres as_owner=(runuser -u postgres --); fi
id "$owner" >/dev/null 2>&1 || die "no user $owner here: run $services/install.sh"

mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
lock "$dir"
# home is where the data is: DIR, or what DIR/elsewhere points to when that user cannot reach DIR.
home=$dir
if [[ -L $dir/elsewhere ]]; then
  home=$(readlink "$dir/elsewhere")
elif ! "${as_owner[@]}" test -x "$dir"; then
  home=$(mktemp -d "${TMPDIR:-/tmp}/relay-postgres.XXXXXX")
  chmod 755 "$home"
  ln -s "$home" "$dir/elsewhere"
  say "user $owner cannot reach $dir; its data is in $home"
fi
cd / # the owner may not enter the caller's directory
log=$home/log mark=$home/data
pid=$(head -n 1 "$mark/postmaster.pid" 2>/dev/null || true)

if [[ $command = stop ]]; then
  runs "$pid" "$mark" || exit 0
  if [[ -z $kill ]]; then
    kill -INT "$pid" # a fast shutdown: clients are disconnected, not waited for
    wait_for 60 gone "$pid" "$mark" || die "process $pid does not go away"
    exit
  fi
  # The children too: they hold the shared memory, without which the next start refuses. So it
  # does while a lock file names a process that is dead but not reaped: nothing lives, remove them.
  read -ra all <"/proc/$pid/task/$pid/children" || true
  all+=("$pid")
  kill -KILL "${all[@]}" 2>/dev/null || true
  for pid in "${all[@]}"; do
    wait_for 30 gone "$pid" postgres || die "process $pid does not go away"
  done
  # A dead server's System V segment stays; the seventh line has its key and its id.
  segment=$(awk 'NR == 7 { print $2 }' "$mark/postmaster.pid" 2>/dev/null || true)
  [[ -z $segment ]] || ipcrm -m "$segment" 2>/dev/null || true
  rm -f "$mark/postmaster.pid" "$home"/.s.PGSQL.*
  exit
fi

[[ ! -e $dir/answer || ! -e $dir/postgres17 ]] || find=find_postgres17
bin=$("$find") || die "no Postgres here: run $services/install.sh"

# The programs too have to be where that user can reach them.
if ! "${as_owner[@]}" test -x "$bin/postgres"; then
  [[ -d $home/programs ]] || cp -a "${bin%/bin}" "$home/programs"
  bin=$home/programs/bin
fi

# Leaves the lines that start prints in DIR/answer, last of all: a directory without it was never
# finished and is made anew.
create() {
  rm -rf "$mark" "$home/password"
  port=${port:-$(free_port)}
  chown "$owner" "$home"
  install -m 600 -o "$owner" /dev/stdin "$home/password" <<<relay
  local from=$primary source
  [[ ! -L $primary/elsewhere ]] || from=$(readlink "$primary/elsewhere")
  if [[ -n $primary && ! -e $from/data/postmaster.pid ]]; then
    cp -a "$from/data" "$mark"
    touch "$mark/standby.signal"
    chown "$owner" "$mark/standby.signal"
    source=$(sed -n 's|^DATABASE_URL=||p' "$primary/answer")
    echo "primary_conninfo = '$source'" >>"$mark/postgresql.auto.conf"
    : >"$log"
  elif [[ -n $primary ]]; then
    PGPASSWORD=relay "${as_owner[@]}" "$bin/pg_basebackup" -D "$mark" -R -X stream -c fast --no-sync \
      -d "$(sed -n 's|^DATABASE_URL=||p' "$primary/answer")" >"$log" 2>&1 || fail 'pg_basebackup failed'
  else
  # Not trust: passwords are asked for, on the socket too.
  "${as_owner[@]}" "$bin/initdb" -D "$mark" -U relay --pwfile="$home/password" -A scram-sha-256 \
    -E UTF8 --no-locale --no-sync >"$log" 2>&1 || fail 'initdb failed'
  fi
  rm "$home/password"
  chown "$owner" "$log"
  {
    cat <<END
listen_addresses = '127.0.0.1'
port = $port
wal_level = logical
max_connections = 200
max_wal_senders = 20
max_replication_slots = 20
max_prepared_transactions = 64
shared_buffers = 128MB
# The data outlives a killed process, which is all that tests do to it; not a power cut.
# synchronous_commit stays on: what a commit means is under test.
fsync = off
full_page_writes = off
# In the data directory, where it goes with the rest after a SIGKILL; /dev/shm would keep it.
dynamic_shared_memory_type = mmap
END
    # A socket's path is at most 107 bytes.
    if (( ${#home} < 85 )); then echo "unix_socket_directories = '$home'"; else echo "unix_socket_directories = ''"; fi
    if [[ -n $tls ]]; then
      certificate "$home" || die 'openssl could not make a certificate'
      chown "$owner" "$home/server.key"
      printf '%s\n' 'ssl = on' "ssl_cert_file = '$home/server.pem'" "ssl_key_file = '$home/server.key'"
    fi
  } >>"$mark/postgresql.conf"
  [[ $find = find_postgres ]] || touch "$dir/postgres17"
  {
    echo "DATABASE_URL=postgres://relay:relay@127.0.0.1:$port/postgres"
    [[ -z $tls ]] || echo "POSTGRES_CA=$home/ca.pem"
  } >"$dir/answer.new"
  mv "$dir/answer.new" "$dir/answer"
}

asked=$port
[[ -e $dir/answer ]] || create
port=$(sed -n 's|^DATABASE_URL=.*:\([0-9]*\)/.*|\1|p' "$dir/answer")
[[ -z $asked || $asked = "$port" ]] || die "$dir was made with port $port, not $asked"
[[ -z $tls ]] || grep -q POSTGRES_CA "$dir/answer" || die "$dir was made without --tls"

if ! runs "$pid" "$mark"; then
  listening "$port" && die "port $port is taken"
  # -w waits until it accepts connections; after a SIGKILL that is once the log is replayed.
  "${as_owner[@]}" "$bin/pg_ctl" -D "$mark" -l "$log" -w -t 90 start </dev/null >/dev/null 2>&1 9>&- ||
    fail 'Postgres did not start'
fi
cat "$dir/answer"
