#!/usr/bin/env bash
# Builds the C guest: build.sh OUT.wasm
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=transforms/tools.sh
. "$here/../../../transforms/tools.sh"
[ $# -eq 1 ] || { say "usage: build.sh OUT.wasm"; exit 2; }
build=$root/target/guests/c
mkdir -p "$build" "$(dirname "$1")"

# A clang that has a C library and builtins for wasm32: the WASI SDK's, or a
# system one (CLANG names it).
try() {
	"$@" --target=wasm32-wasi -Os -Wall -Wextra -mexec-model=reactor -fuse-ld=lld \
		-x c - -o "$build/try.wasm" <<<'#include <stdlib.h>
void *f(int n) { return calloc(n, 1); }' 2>/dev/null
}
clang=
for c in ${CLANG:-} ${WASI_SDK_PATH:+"$WASI_SDK_PATH/bin/clang"} clang clang-2{2,1,0} clang-1{9,8,7,6}; do
	if try "$c"; then clang=$c && break; fi
done
if [ -n "$clang" ]; then
	say "clang for wasm32-wasi: found"
else
	say "clang for wasm32-wasi: not found; installing clang-19, lld-19 and wasi-libc by apt"
	sudo=; [ "$(id -u)" = 0 ] || sudo=sudo
	{
		$sudo apt-get update -qq
		$sudo apt-get install -y -qq --no-install-recommends \
			clang-19 lld-19 wasi-libc libclang-rt-19-dev-wasm32
	} >&2
	clang="clang-19"
fi
need_wasm_tools
need_wit_bindgen

bindings c "$build"
"$clang" --target=wasm32-wasi -Os -Wall -Wextra -mexec-model=reactor -fuse-ld=lld -I"$build" \
	"$here/minimal.c" "$build/transform.c" "$build/transform_component_type.o" \
	-o "$build/minimal.core.wasm"
"$wasm_tools" component new "$build/minimal.core.wasm" -o "$build/minimal.wasm"
check_component "$build/minimal.wasm"
cp "$build/minimal.wasm" "$1"
