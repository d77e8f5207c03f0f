#!/usr/bin/env bash
# Stops what up.sh started in DIR (target/services) and removes its data: down.sh [DIR]
set -euo pipefail
# shellcheck source=tests/services/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
dir=${1:-$(cd "$services/../.." && pwd)/target/services}

"$services/kafka.sh" stop "$dir/kafka"
"$services/postgres.sh" stop "$dir/postgres"
# Postgres may have had to put its data elsewhere.
[[ ! -L $dir/postgres/elsewhere ]] || rm -rf "$(readlink "$dir/postgres/elsewhere")"
# Only what the scripts made: DIR may be anybody's.
rm -rf "$dir/postgres" "$dir/kafka"
rmdir "$dir" 2>/dev/null || true
say "stopped; $dir is gone"
