#!/bin/sh
# Builds relay-template.wasm. GO and WASM_TOOLS name the tools where they are not on PATH.
set -e
cd "$(dirname "$0")"
GOOS=wasip1 GOARCH=wasm GOWORK=off "${GO:-go}" build -trimpath -buildvcs=false -buildmode=c-shared -ldflags=-w \
	-o relay-template.core.wasm .
"${WASM_TOOLS:-wasm-tools}" component embed --world transform wit relay-template.core.wasm |
	"${WASM_TOOLS:-wasm-tools}" component new --adapt wasi_snapshot_preview1=sdk/wasi_none.wat -o relay-template.wasm
