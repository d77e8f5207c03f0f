#!/bin/sh
# Builds relay-template.wasm. COMPONENTIZE_PY names the tool where it is not on PATH.
set -e
cd "$(dirname "$0")"
"${COMPONENTIZE_PY:-componentize-py}" --quiet --wit-path wit --world transform componentize --stub-wasi \
	--python-path . --python-path sdk/src --output relay-template.wasm.new app
mv relay-template.wasm.new relay-template.wasm
