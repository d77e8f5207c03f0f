#!/usr/bin/env bash
# The transforms' own tests, in native code: no Wasm, no database, no broker.
set -euo pipefail
cd "$(dirname "$0")/rust"
CARGO_TARGET_DIR=../../target/guests cargo test --locked --quiet
