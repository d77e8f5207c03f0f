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

# shellcheck source=transforms/tools.sh
. "$(dirname "${BASH_SOURCE[0]}")/tools.sh"
out=${1:-$root/target/components}
mkdir -p "$out/guests" "$tools"
out=$(cd "$out" && pwd)
export CARGO_TARGET_DIR=$root/target/guests
triple=wasm32-unknown-unknown

# Two runs at once would install into one folder.
if command -v flock >/dev/null; then
    exec 9>"$tools/.lock"
    flock 9
fi

# From inside the repository, so that rust-toolchain.toml applies.
cd "$root"
need_rust_wasm
need_wasm_tools

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
    say "made ${2#"$root"/}"
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
        "--remap-path-prefix=$root=."
        "--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=cargo"
    )
    CARGO_ENCODED_RUSTFLAGS=$(printf '%s\x1f%s' "${flags[@]}") \
        cargo build --quiet --locked --release --target "$triple" \
        --manifest-path "$workspace/Cargo.toml" "${packages[@]}"
}

# Every crate of a workspace but the SDK, by folder, so that none is forgotten.
# The template is no crate of it.
crates() {
    local manifest crate
    for manifest in "$1"/*/Cargo.toml; do
        crate=$(basename "$(dirname "$manifest")")
        case $crate in
            guest | template) ;;
            *) printf '%s\n' "$crate" ;;
        esac
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
    say "made ${core#"$root"/}"
fi
say "components are in ${out#"$root"/}"
