#!/usr/bin/env bash
# Builds the C guest: build.sh OUT.wasm
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=transforms/tools.sh
. "$here/../../../transforms/tools.sh"
[ $# -eq 1 ] || { say "usage: build.sh OUT.wasm"; exit 2; }
build=$root/target/guests/c
mkdir -p "$build" "$(dirname "$1")"

need_clang
need_wasm_tools
need_wit_bindgen

bindings c "$build"
"$clang" --target=wasm32-wasi -Os -Wall -Wextra -mexec-model=reactor -fuse-ld=lld -I"$build" \
	"$here/minimal.c" "$build/transform.c" "$build/transform_component_type.o" \
	-o "$build/minimal.core.wasm"
"$wasm_tools" component new "$build/minimal.core.wasm" -o "$build/minimal.wasm"
check_component "$build/minimal.wasm"
cp "$build/minimal.wasm" "$1"
