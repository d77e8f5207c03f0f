#!/usr/bin/env bash
# One OCI registry on loopback, in memory:
#   registry.sh start DIR
#   registry.sh stop DIR [--kill]
# start prints REGISTRY=localhost:PORT. What was pushed is gone when it stops.
set -euo pipefail
# shellcheck source=tests/services/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

[[ $# -ge 2 ]] || usage
command=$1 dir=$2

port() { sed -n 's/.*serving on port \([0-9]*\).*/\1/p' "$log"; }
serving() { [[ -n $(port) ]]; }

case $command in
  start)
    mkdir -p "$dir"
    lock "$dir"
    log=$dir/log
    registry=$(find_registry) || die 'no registry: run tests/services/install.sh registry'
    nohup "$registry" -port 0 </dev/null >"$log" 2>&1 9>&- &
    echo $! >"$dir/pid"
    wait_for 30 serving || fail 'the registry did not start'
    echo "REGISTRY=localhost:$(port)" ;;
  stop)
    [[ -e $dir/pid ]] || exit 0
    lock "$dir"
    pid=$(<"$dir/pid")
    # It has nothing to put in order: --kill makes no difference.
    ! runs "$pid" registry || kill -KILL "$pid"
    wait_for 10 gone "$pid" registry || fail "the registry did not stop"
    rm -f "$dir/pid" ;;
  *) usage ;;
esac
