#!/usr/bin/env bash
# Builds the Python transforms: build.sh OUTDIR
#
# OUTDIR/python/{redact,route,filter,split}.wasm. A second run builds
# only what changed.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=transforms/tools.sh
. "$here/../tools.sh"
[ $# -eq 1 ] || { say "usage: build.sh OUTDIR"; exit 2; }
build=$root/target/guests/python
mkdir -p "$build" "$1/python"
out=$(cd "$1/python" && pwd)
need_componentize_py
need_wasm_tools

# `stage FROM TO`: a copy of the sources without what Python leaves beside them.
stage() {
	mkdir -p "$2"
	(cd "$1" && find . -name __pycache__ -prune -o -type f -print0 | tar -c --null -T -) | tar -x -C "$2"
}

# `publish BUILT NAME`: checks the component and renames it into place, because
# a running relay may watch the file.
publish() {
	check_component "$1"
	cp "$1" "$out/$2.wasm.new"
	mv "$out/$2.wasm.new" "$out/$2.wasm"
	say "made python/$2.wasm"
}

# `changed NAME`: whether something is newer than its component.
changed() {
	[ ! -e "$out/$1.wasm" ] || [ -n "$(find "$here/sdk/src" "$here/$1" "$root/wit" "$here/build.sh" "$COMPONENTIZE_PY" \
		-name __pycache__ -prune -o -type f -newer "$out/$1.wasm" -print -quit)" ]
}

for transform in redact route filter split; do
	changed "$transform" || continue
	work=$build/$transform
	rm -rf "$work"
	stage "$here/sdk/src" "$work/src"
	stage "$here/$transform" "$work/src"
	"$COMPONENTIZE_PY" --quiet --wit-path "$root/wit" --world transform componentize --stub-wasi \
		--python-path "$work/src" --output "$work/$transform.wasm" "$transform"
	publish "$work/$transform.wasm" "$transform"
done
