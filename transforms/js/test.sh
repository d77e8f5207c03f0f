#!/usr/bin/env bash
# The SDK's own tests, in Node: no Wasm, no packages.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=transforms/tools.sh
. "$here/../tools.sh"
need_node
cd "$here/sdk"
node --test test/*.test.js
