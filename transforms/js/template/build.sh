#!/bin/sh
# Leaves relay-template.wasm here. Needs Node.js 20 or newer.
set -eu
cd "$(dirname "$0")"
[ -d node_modules ] || npm install --no-audit --no-fund
npm run --silent build
