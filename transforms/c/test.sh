#!/usr/bin/env bash
# Tests of the C SDK: in native code under sanitizers, and its layouts against
# generated bindings.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=transforms/tools.sh
. "$here/../tools.sh"
build=$root/target/guests/c/test
mkdir -p "$build"
need_clang
need_wit_bindgen

bindings c "$build"
"$clang" --target=wasm32-wasi -Wall -Wextra -Wno-unused -I"$build" -fsyntax-only "$here/test/layout.c"
say "layouts: as generated"

"${CC:-cc}" -std=c11 -g -O1 -Wall -Wextra -Wpedantic -Werror -fsanitize=address,undefined -fno-sanitize-recover \
	"$here/test/sdk_test.c" "$here"/sdk/{edit,json,memory,outcome,path,settings}.c -o "$build/sdk_test"
"$build/sdk_test"
