#!/bin/sh
# Builds relay-template.wasm. CARGO and WASM_TOOLS name the tools where they are not on PATH.
set -e
cd "$(dirname "$0")"
# Named, because Cargo's own configuration may have it elsewhere.
target=${CARGO_TARGET_DIR:-target}
"${CARGO:-cargo}" build --release --target wasm32-unknown-unknown --target-dir "$target"
"${WASM_TOOLS:-wasm-tools}" component new "$target/wasm32-unknown-unknown/release/relay_template.wasm" -o relay-template.wasm
