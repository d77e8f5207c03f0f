//! Property: who follows `docs/writing-transforms.md` word by word gets what it
//! promises.

use crate::support::root;
use std::path::Path;
use std::process::{Command, Stdio};

/// Finds what the tutorial says it needs beside the relay.
const TOOLS: &str = ". transforms/tools.sh; need_go; need_wasm_tools; export GO=$go WASM_TOOLS=$wasm_tools";

/// The blocks of the tutorial as one script. What should fail must.
fn script(text: &str) -> String {
    let mut script = format!("cd {:?}; {TOOLS}; cd \"$1\"\nset -x\n", root());
    for block in text.split("\n```sh").skip(1) {
        let (kind, rest) = block.split_once('\n').expect("a fence");
        let commands = rest.split_once("\n```").expect("a closed fence").0;
        match kind {
            "" => script.push_str(&format!("{commands}\n")),
            " fails" => script.push_str(&format!("if ( {commands} ); then echo 'this should fail' >&2; exit 1; fi\n")),
            other => panic!("a block of kind{other}"),
        }
    }
    // Those steps of the workflow that are the project's own.
    let workflow = text.split_once("\n```yaml\n").expect("a workflow").1.split_once("\n```").expect("a closed fence").0;
    let steps = workflow.lines().filter_map(|line| line.trim().strip_prefix("- run: ")).filter(|step| !step.starts_with("cargo install"));
    script.extend(steps.map(|step| format!("{step}\n")));
    script
}

#[test]
fn the_tutorial_is_followed_literally() {
    let text = std::fs::read_to_string(root().join("docs/writing-transforms.md")).expect("the tutorial");
    let directory = tempfile::tempdir().expect("a directory");
    let binary = Path::new(env!("CARGO_BIN_EXE_relay")).parent().expect("a directory");
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &script(&text), "tutorial"])
        .arg(directory.path())
        .env("PATH", format!("{}:{}", binary.display(), std::env::var("PATH").unwrap_or_default()))
        .stdin(Stdio::null())
        .output()
        .expect("bash starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{said}\n---\n{log}", output.status);

    // What it shows is what was seen; fuel differs between compilers.
    let shown = text.split_once("\n```text\n").expect("a failure shown").1.split_once("\n```").expect("a closed fence").0;
    for line in shown.lines().skip(1) {
        assert!(said.contains(line), "not seen: {line}\n{said}");
    }
    for promised in
        ["***.com", "1 dropped: test", "3 events, 2 messages", "memory of an instance", "verdict", "written cases/masks-the-email"]
    {
        assert!(said.contains(promised), "{promised}: {said}");
    }
    assert!(!said.contains("written cases/passes-what-has-nothing"), "a case that passes stays as it is");
    assert!(directory.path().join("mask-cards/report.xml").exists());

    // The library is used as its own documentation has it, which is compiled.
    let rust = text.split_once("\n```rust\n").expect("the library").1.split_once("\n```").expect("a closed fence").0;
    let compiled = std::fs::read_to_string(root().join("relay/src/suite/mod.rs")).expect("reads").replace("mask.wasm", "mask-cards.wasm");
    for line in rust.lines().filter(|line| !line.is_empty()) {
        assert!(compiled.contains(&format!("//! {line}\n")), "{line}");
    }
}
