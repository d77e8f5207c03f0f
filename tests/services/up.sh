#!/usr/bin/env bash
# Postgres and Kafka for tests and for trying things out:  eval "$(tests/services/up.sh [DIR])"
# What DATABASE_URL and KAFKA_BROKERS name already is used as it is; the rest is started, with its
# data in DIR (target/services). tests/services/down.sh [DIR] stops it and removes the data.
set -euo pipefail
# shellcheck source=tests/services/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
dir=${1:-$(cd "$services/../.." && pwd)/target/services}

if [[ -n ${DATABASE_URL:-} ]]; then
  say 'using the Postgres that DATABASE_URL names'
  postgres=DATABASE_URL=$DATABASE_URL
else
  "$services/install.sh" postgres
  postgres=$("$services/postgres.sh" start "$dir/postgres")
fi
if [[ -n ${KAFKA_BROKERS:-} ]]; then
  say "using the Kafka at $KAFKA_BROKERS (KAFKA_BROKERS)"
  kafka=KAFKA_BROKERS=$KAFKA_BROKERS
else
  "$services/install.sh" kafka
  kafka=$("$services/kafka.sh" start "$dir/kafka")
fi
for line in "$postgres" "$kafka"; do
  while IFS='=' read -r name value; do printf 'export %s=%q\n' "$name" "$value"; done <<<"$line"
done
