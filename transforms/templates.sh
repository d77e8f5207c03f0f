#!/usr/bin/env bash
# What a newcomer does, in every language: `relay new` in an empty directory, its
# build, its cases.
#
#   transforms/templates.sh RELAY
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=transforms/tools.sh
. "$here/tools.sh"
PATH=$(cd "$(dirname "$1")" && pwd):$PATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

need_wasm_tools
export WASM_TOOLS=$wasm_tools
need_clang
export CLANG=$clang
need_go
export GO=$go
need_node
need_componentize_py

try() {
	local language=$1 start=$SECONDS
	(cd "$work" && relay new --lang "$language" "mask-$language" >/dev/null)
	(cd "$work/mask-$language" && ./build.sh && relay test | sed '/^ok /d')
	say "$language: from nothing to passing cases in $((SECONDS - start)) s"
}
# Beside one another: most of each is one thread. What the last one needs changes what
# `rustc` is, for itself alone.
tries=()
for language in c go js ts python; do
	try "$language" &
	tries+=($!)
done
(
	need_rust_wasm
	try rust
) &
tries+=($!)
for try in "${tries[@]}"; do wait "$try"; done
