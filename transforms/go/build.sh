#!/usr/bin/env bash
# Builds the Go transforms: build.sh [OUTDIR]
#
# OUTDIR (<repo>/target/components)/go/{redact,route,filter,split}.wasm.
# A second run builds only what changed.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=transforms/tools.sh
. "$here/../tools.sh"
out=${1:-$root/target/components}
build=$root/target/guests/go
mkdir -p "$build" "$out/go"
out=$(cd "$out/go" && pwd)

changed=()
for name in redact route filter split; do
	if [ ! -f "$out/$name.wasm" ] ||
		[ -n "$(find "$here/$name" "$here/sdk" "$root/wit" "$here/build.sh" "$here/template/build.sh" \
			-newer "$out/$name.wasm" -print -quit)" ]; then
		changed+=("$name")
	fi
done
if [ "${#changed[@]}" = 0 ]; then
	say "go: nothing changed"
	exit
fi
need_go
need_wasm_tools

# All of them are built as a newcomer builds: the template's script, in a folder
# like a project of its own.
for name in "${changed[@]}"; do
	work=$build/$name
	rm -rf "$work"
	mkdir -p "$work"
	cp -R "$here/template/." "$here/sdk" "$root/wit" "$work"
	rm "$work"/*.go
	cp "$here/$name"/*.go "$work"
	GO=$go WASM_TOOLS=$wasm_tools "$work/build.sh"
	check_component "$work/relay-template.wasm"
	# Renamed into place, because a running relay may watch the file.
	cp "$work/relay-template.wasm" "$out/$name.wasm.new"
	mv "$out/$name.wasm.new" "$out/$name.wasm"
	say "made go/$name.wasm"
done
