#!/usr/bin/env bash
# Tests of the SDK, the transforms and the template in any Python: no Wasm.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$PWD/sdk/src"
for tests in sdk/tests redact route filter split template; do
	(cd "$tests" && python3 -m unittest --quiet)
done
