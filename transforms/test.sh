#!/usr/bin/env bash
# The transforms' own tests, in native code: no Wasm, no database, no broker.
set -euo pipefail
cd "$(dirname "$0")/rust"
CARGO_TARGET_DIR=$(cd ../.. && pwd)/target/guests
export CARGO_TARGET_DIR
cargo test --locked --quiet

# The template as `relay new` lays it out, with the versions locked here. In the
# repository, so that rust-toolchain.toml applies.
project=$CARGO_TARGET_DIR/rust/test
rm -rf "$project"
mkdir -p "$project"
cp -RL template/. Cargo.lock "$project"
cp -RL guest "$project/sdk"
cd "$project"
cargo test --quiet
