//! Property: `relay test` and `relay try` say what a transform does, without
//! database or broker, and what differs by event and field.

use crate::support::relay::{Finished, Relay};
use crate::support::{component, root};
use std::path::Path;
use tempfile::TempDir;

const CASE: &str = "# kept
settings: { fields: [card] }
events:
  - { payload: { id: 1, card: \"4111\" } }
  - { payload_text: \"not json\" }
  - { operation: delete }
outcomes:
  - emit: [{ payload: { id: 1, card: \"***\" } }]
  - fail: { code: invalid-json }
  - pass
";

/// A project with one case.
fn project(transform: &str, case: &str) -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::copy(component(transform), directory.path().join("it.wasm")).expect("copies");
    std::fs::create_dir(directory.path().join("cases")).expect("creates");
    std::fs::write(directory.path().join("cases/one.case.yaml"), case).expect("writes");
    directory
}

fn test(directory: &Path, flags: &[&str]) -> Finished {
    let path = directory.to_string_lossy();
    Relay::run(&[&["test", &path], flags].concat())
}

#[test]
fn a_right_case_passes_and_a_wrong_one_shows_what_differs() {
    let right = project("redact", CASE);
    let passed = test(right.path(), &["--fuzz", "50", "--seed", "1"]).expect(0, &[]);
    assert!(passed.stdout.contains("1 passed, 0 failed") && passed.stdout.contains("none breaks it"), "{}", passed.stdout);

    let wrong = project("redact", &CASE.replace("card: \"***\"", "card: \"###\"").replace("  - pass", "  - drop: why"));
    let report = wrong.path().join("report.xml");
    let failed = test(wrong.path(), &["--junit", &report.to_string_lossy()]).expect(10, &["1 of 1 cases failed"]);
    for text in
        ["event 1", "emit[0].payload.card", "expected \"###\"", "got      \"***\"", "event 3", "expected drop: why", "got      pass"]
    {
        assert!(failed.stdout.contains(text), "{text}: {}", failed.stdout);
    }
    let xml = std::fs::read_to_string(&report).expect("a report");
    assert!(xml.contains("failures=\"1\"") && xml.contains("emit[0].payload.card"), "{xml}");

    test(wrong.path(), &["--update"]).expect(0, &[]);
    test(wrong.path(), &[]).expect(0, &[]);
    let text = std::fs::read_to_string(wrong.path().join("cases/one.case.yaml")).expect("reads");
    assert!(text.starts_with("# kept\nsettings: { fields: [card] }\n"), "{text}");
}

#[test]
fn what_is_broken_is_named() {
    test(project("redact", "events: [{paylod: 1}]").path(), &[]).expect(11, &["one.case.yaml", "events[0]", "paylod"]);
    test(project("redact", &CASE.replace("fields", "field")).path(), &[]).expect(10, &["1 of 1"]);
    let refused = project("redact", "settings: { field: [card] }\nrefused: \"`field`\"");
    test(refused.path(), &[]).expect(0, &[]);
    test(project("redact", &format!("fuel: 10\n{CASE}")).path(), &[]).expect(10, &["1 of 1"]);
    Relay::run(&["test", "/nowhere"]).expect(4, &["/nowhere"]);
}

#[test]
fn a_trap_is_shown_with_the_guest_s_stack() {
    let events = "events: [{event_type: plain}, {event_type: trap}, {event_type: plain}]\n";
    let wrong = project("guests/hostile", &format!("{events}outcomes: [pass, pass, pass]"));
    let failed = test(wrong.path(), &[]).expect(10, &[]);
    assert!(
        failed.stdout.contains("event 2") && failed.stdout.contains("trap:") && failed.stdout.contains("wasm backtrace"),
        "{}",
        failed.stdout
    );
    // The guest carries DWARF.
    assert!(failed.stdout.contains("hostile/src/lib.rs:"), "{}", failed.stdout);
    assert!(!failed.stdout.contains("event 1") && !failed.stdout.contains("event 3"), "{}", failed.stdout);
}

#[test]
fn a_hidden_counter_is_no_transform() {
    let counts = "events: [{event_type: count}]\noutcomes: [{emit: [{payload_text: \"1\"}]}]";
    let directory = project("guests/hostile", counts);
    let failed = test(directory.path(), &[]).expect(10, &[]);
    assert!(failed.stdout.contains("again on the same instance: the transform keeps state"), "{}", failed.stdout);
    // Nor is it made golden.
    test(directory.path(), &["--update"]).expect(10, &["not written"]);
}

#[test]
fn events_are_tried() {
    let directory = project("redact", CASE);
    let events = directory.path().join("events.jsonl");
    std::fs::write(&events, "{\"payload\":{\"card\":1.10,\"n\":12345678901234567890.10}}\n\n{\"id\":\"x\"}\n").expect("writes");
    let (path, events) = (directory.path().to_string_lossy().into_owned(), events.to_string_lossy().into_owned());
    let tried = Relay::run(&["try", &path, &events, "--settings", "{\"fields\":[\"card\"]}"]).expect(0, &[]);
    let lines: Vec<serde_json::Value> = tried.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines[0]["outcome"]["emit"][0]["payload_json"], "{\"card\":\"***\",\"n\":12345678901234567890.10}");
    assert_eq!((&lines[1]["id"], &lines[1]["outcome"]), (&"x".into(), &"pass".into()));
}

/// GIVEN the shared cases, each checked in four ways, WHEN a transform runs them,
/// THEN all of them pass, and none was overlooked.
#[test]
fn the_transforms_pass_the_shared_cases() {
    for transform in ["redact", "route", "filter", "split"] {
        let cases = root().join("tests/cases").join(transform);
        let files = std::fs::read_dir(&cases).expect("cases").count();
        assert!(files > 20, "{transform}: {files} cases");
        let (path, cases) = (component(transform), cases.to_string_lossy().into_owned());
        let done = Relay::run(&["test", &path.to_string_lossy(), "--cases", &cases, "--fuzz", "20", "--seed", "7"]);
        let done = done.expect(0, &[]);
        assert!(done.stdout.contains(&format!("{files} passed, 0 failed")), "{}", done.stdout);
    }
}
