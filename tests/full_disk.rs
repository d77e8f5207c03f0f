//! Property: a disk that is full, for what the relay writes beside its messages or for its
//! log, costs no event; for the messages themselves, the relay ends, and the next goes on.

use crate::support::relay::Relay;
use crate::support::swapping::{Port, Swapping, chameleon};
use serde_json::Value;
use std::process::{Command, Stdio};

const EVENTS: usize = 2000;

/// Events of one key, in order.
fn events(directory: &tempfile::TempDir) -> String {
    let path = directory.path().join("events.jsonl");
    let line = |n| format!("{{\"id\":\"{n}\",\"entity\":\"o\",\"key\":\"k\",\"payload_text\":\"{}\"}}\n", "x".repeat(50));
    std::fs::write(&path, (0..EVENTS).map(line).collect::<String>()).expect("writes");
    path.to_str().expect("a path").to_owned()
}

/// GIVEN a file of messages that cannot grow, WHEN the relay writes it, THEN it ends and says
/// so; WHEN there is room again, THEN every line is whole, and every event is there in order.
#[test]
fn half_a_line_of_messages_is_taken_away() {
    let directory = tempfile::tempdir().expect("a directory");
    let (path, out) = (events(&directory), directory.path().join("out.jsonl"));
    let out = out.to_str().expect("a path");
    let args = ["run", "--source", &path, "--out", out];
    Relay::start_on_full_disk(&args, 16).wait().expect(8, &["[io]", "cannot write messages", out, "free space"]);
    let before = std::fs::read_to_string(out).expect("reads");
    assert!(!before.ends_with('\n'), "it was cut in the middle of a line");
    Relay::run(&args).expect(0, &["half a line"]);
    let text = std::fs::read_to_string(out).expect("reads");
    let ids = |line: &str| serde_json::from_str::<Value>(line).expect("a whole line")["id"].as_str().expect("an id").to_owned();
    let ids: Vec<usize> = text.lines().map(|line| ids(line).parse().expect("a number")).collect();
    let again = ids.len() - EVENTS;
    assert!(again > 0 && again < EVENTS);
    assert!(ids[..again].iter().copied().eq(0..again) && ids[again..].iter().copied().eq(0..EVENTS));
}

/// GIVEN a log that cannot be written, WHEN the relay runs or fails, THEN it does what it
/// does otherwise.
#[test]
fn a_log_on_a_full_disk_ends_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = events(&directory);
    let run = |args: &[&str]| {
        let full = || Stdio::from(std::fs::OpenOptions::new().write(true).open("/dev/full").expect("opens"));
        Command::new(env!("CARGO_BIN_EXE_relay")).args(args).stdin(Stdio::null()).stderr(full()).output().expect("relay starts")
    };
    let done = run(&["run", "--source", &path, "--stdout"]);
    assert_eq!((done.status.code(), done.stdout.iter().filter(|byte| **byte == b'\n').count()), (Some(0), EVENTS));
    assert_eq!(run(&["run", "--source", "/nowhere.jsonl", "--stdout"]).status.code(), Some(8));
}

/// GIVEN a disk without room for a module, WHEN one is swapped in, THEN that is refused and
/// events go on with the old one; WHEN there is room, THEN it is taken.
#[test]
fn a_module_that_does_not_fit_on_the_disk() {
    let it = Swapping::new("", "");
    let relay = Relay::start_on_full_disk(&["run", "-c", &it.config()], 64);
    let port = Port::of(&relay);
    let before = port.active();
    let (code, report) = port.swap("", &chameleon("pass2"));
    assert_ne!(code, 200, "{report}");
    assert!(report.to_string().contains("cannot"), "{report}");
    assert_eq!(port.active(), before);
    it.insert(&["a", "b"], 10);
    it.until_published();
    relay.stop().expect(0, &[]);
    let (relay, port) = it.serve();
    assert_eq!(port.swap("", &chameleon("pass2")).0, 200);
    relay.stop().expect(0, &[]);
}
