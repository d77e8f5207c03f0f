#!/usr/bin/env bash
# Tests of the SDK, the transforms and the template in any Python: no Wasm.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$PWD/sdk/src"
# The components have a Python of their own, and the shared cases test those.
if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 11, 5))'; then
	echo "left out: $(python3 --version) is too old for the SDK outside of a component, 3.11.5 is not" >&2
	exit
fi
for tests in sdk/tests redact route filter split template; do
	(cd "$tests" && python3 -m unittest --quiet)
done
