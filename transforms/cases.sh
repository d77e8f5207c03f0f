#!/usr/bin/env bash
# Runs the shared cases on a language's transforms: cases.sh RELAY DIR
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../tests/cases"
for transform in redact route filter split; do
	"$1" test "$2/$transform.wasm" --cases "$transform" | sed '/^ok /d'
done
