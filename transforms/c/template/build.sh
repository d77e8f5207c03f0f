#!/bin/sh
# Builds relay-template.wasm. CLANG and WASM_TOOLS name the tools where they are not on PATH.
set -e
cd "$(dirname "$0")"
"${CLANG:-clang}" --target=wasm32-wasi -O2 -Wall -Wextra -mexec-model=reactor -fuse-ld=lld -Wl,--strip-debug \
	-Isdk ./*.c sdk/*.c -o relay-template.core.wasm
"${WASM_TOOLS:-wasm-tools}" component embed --world transform wit relay-template.core.wasm |
	"${WASM_TOOLS:-wasm-tools}" component new -o relay-template.wasm
