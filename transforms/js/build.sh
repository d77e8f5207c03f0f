#!/usr/bin/env bash
# Builds the JavaScript and TypeScript transforms as components.
#
#   transforms/js/build.sh [OUTDIR]        OUTDIR: <repo>/target/components
#
# OUTDIR/js/<transform>.wasm.
# A second run rebuilds only what changed.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=transforms/tools.sh
. "$here/../tools.sh"
out=${1:-$root/target/components}
mkdir -p "$out/js" "$root/target/guests/js"
out=$(cd "$out" && pwd)
# npm installs here, not in the tree; what is built is copied beside.
work=$root/target/guests/js
wit=$root/wit/transform.wit

# Two runs at once would install into one folder.
if command -v flock >/dev/null; then
	exec 9>"$work/.lock"
	flock 9
fi

# `fresh OUT SOURCE...`: whether OUT is newer than all that it is made from.
fresh() {
	local made=$1
	shift
	[ -f "$made" ] && [ -z "$(find "$@" "$wit" "$here/sdk" "$here/build.sh" -newer "$made" -not -path '*/test/*' -print -quit)" ]
}

transforms=()
for name in redact route filter split; do
	fresh "$out/js/$name.wasm" "$here/$name" || transforms+=("$name")
done
if [ "${#transforms[@]}" = 0 ]; then
	say "js: nothing changed"
	exit
fi

need_node
need_wasm_tools

# Anew, so that nothing is left of what the tree has no more.
for folder in sdk redact route filter split; do
	rm -rf "${work:?}/$folder"
	cp -R "$here/$folder" "$work/$folder"
done
cp "$here/tsconfig.json" "$work"
packages=$(cat "$here/package.json" "$here/sdk/package.json")
if [ "$(cat "$work/node_modules/.installed" 2>/dev/null)" != "$packages" ]; then
	say "npm: installing componentize-js, rolldown and typescript below target/guests/js"
	cp "$here/package.json" "$work"
	(cd "$work" && npm install --silent --no-audit --no-fund --no-package-lock)
	printf '%s\n' "$packages" >"$work/node_modules/.installed"
fi

# `finish BUILT OUT`: renamed into place, because a running relay may watch the file.
finish() {
	check_component "$1"
	cp "$1" "$2.new"
	mv "$2.new" "$2"
}

(cd "$work" && npx --no tsc)
for name in "${transforms[@]}"; do
	(
		cd "$work"
		module=$(find "$name" -name 'transform.[jt]s')
		npx --no relay-guest "$module" "$name.wasm" --wit "$wit"
	)
	finish "$work/$name.wasm" "$out/js/$name.wasm"
done
