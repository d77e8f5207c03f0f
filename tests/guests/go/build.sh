#!/usr/bin/env bash
# Builds the Go guest: build.sh OUT.wasm
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=transforms/tools.sh
. "$here/../../../transforms/tools.sh"
[ $# -eq 1 ] || { say "usage: build.sh OUT.wasm"; exit 2; }
build=$root/target/guests/go
mkdir -p "$build" "$(dirname "$1")"

need_go
need_wasm_tools
need_wit_bindgen

# The bindings want the transform inside one of their packages, so both are
# laid out in one module under target.
rm -rf "$build/module"
bindings go "$build/module"
cp -R "$here/." "$build/module"
(
	cd "$build/module"
	GOOS=wasip1 GOARCH=wasm GOWORK=off GOFLAGS=-mod=mod \
		"$go" build -trimpath -buildvcs=false -buildmode=c-shared -ldflags='-s -w' -o "$build/minimal.core.wasm" .
)
"$wasm_tools" parse "$here/wasi_none.wat" -o "$build/wasi_none.wasm"
"$wasm_tools" component embed --world transform "$root/wit" "$build/minimal.core.wasm" \
	-o "$build/minimal.embed.wasm"
"$wasm_tools" component new "$build/minimal.embed.wasm" \
	--adapt "wasi_snapshot_preview1=$build/wasi_none.wasm" -o "$build/minimal.wasm"
check_component "$build/minimal.wasm"
cp "$build/minimal.wasm" "$1"
