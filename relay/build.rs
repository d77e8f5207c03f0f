//! Has cargo look whether files were added to what `relay new` carries.

/// The folders of `commands::new`.
const CARRIED: [&str; 13] = [
    "wit",
    "tests/cases/template",
    "transforms/rust/template",
    "transforms/rust/guest",
    "transforms/go/template",
    "transforms/go/sdk",
    "transforms/js/template",
    "transforms/js/sdk",
    "transforms/ts/template",
    "transforms/python/template",
    "transforms/python/sdk",
    "transforms/c/template",
    "transforms/c/sdk",
];

fn main() {
    for folder in CARRIED {
        println!("cargo::rerun-if-changed=../{folder}");
    }
}
