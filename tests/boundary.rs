//! Property: the contract means the same in every language, and a guest's
//! failure is its own event's.

use crate::support::component;
use relay::config::{Flow, Limits, OnFailure, When};
use relay::error::Kind;
use relay::event::{Event, Header, read_line};
use relay::transform::{Chain, LaneChain, Produced, StageSpec};
use std::path::PathBuf;

fn spec(path: PathBuf, settings: &str) -> StageSpec {
    StageSpec {
        name: "guest".into(),
        path,
        settings: settings.into(),
        limits: Limits::default(),
        when: When::default(),
        topics: vec!["other".into(), "orders.*".into()],
        on_poison: OnFailure::Halt,
    }
}

fn lane(specs: &[StageSpec]) -> LaneChain {
    LaneChain::new(Chain::load(specs, &Flow::default()).expect("loads"))
}

fn event(n: u64, event_type: &str) -> Event {
    let text = format!(
        r#"{{"id":"id-{n}","entity":"order","event_type":"{event_type}","topic":"t","key":"k","payload_text":"abc","headers":[{{"name":"x","value":"1"}},{{"name":"x","value":"2"}}]}}"#
    );
    read_line(&text, n).expect("an event")
}

fn messages(produced: &Produced, origin: usize) -> Vec<&Event> {
    produced.messages.iter().filter(|(o, _)| *o == origin).map(|(_, e)| e).collect()
}

/// The behaviour table of the guest `minimal`, one twin a language.
fn behaves(language: &str) {
    let path = component(&format!("guests/minimal-{language}"));
    let refused = Chain::load(&[spec(path.clone(), r#"{"refuse":"because"}"#)], &Flow::default()).err().expect("refused");
    assert_eq!(refused.kind(), Kind::SettingsRefused);
    assert!(refused.to_string().contains("because"), "{refused}");

    let mut lane = lane(&[spec(path, "{}")]);
    for (n, kind) in [(4, Kind::Poison), (5, Kind::TransformHalt)] {
        let failing = event(n, if n == 4 { "fail" } else { "halt" });
        let (at, error) = lane.run(&[event(1, "pass"), failing, event(2, "pass")]).failure.expect("a failure");
        assert_eq!((at, error.kind()), (1, kind));
        let report = error.to_string();
        assert!(report.contains("code=asked") && report.contains(&format!("id-{n}")), "{report}");
    }
    let types = ["pass", "drop", "emit2", "edit", "pass", "pass", "log", "echo", "anything"];
    let events: Vec<_> = types.iter().enumerate().map(|(n, t)| event(n as u64, t)).collect();
    let produced = lane.run(&events);
    assert!(produced.failure.is_none(), "{:?}", produced.failure);

    for passed in [0, 6, 8] {
        assert_eq!(messages(&produced, passed), [&events[passed]], "{language} {}", types[passed]);
    }
    assert!(messages(&produced, 1).is_empty());
    let [first, second] = messages(&produced, 2)[..] else { panic!("two of emit2") };
    assert_eq!((&*first.id, first.payload.as_deref(), &*first.topic), ("id-2:0", Some(b"a".as_slice()), "t"));
    assert_eq!(first.headers.last(), Some(&Header::new("h", "1")));
    assert_eq!((&*second.id, &second.payload, &*second.topic), ("id-2:1", &None, "other"));
    let [edited] = messages(&produced, 3)[..] else { panic!("one of edit") };
    assert_eq!((&*edited.id, edited.key.as_deref()), ("id-3", Some(b"k2".as_slice())));
    assert_eq!(edited.headers, [Header { name: "n".into(), value: None }]);
    let [echoed] = messages(&produced, 7)[..] else { panic!("one of echo") };
    assert_eq!((echoed.payload.as_deref(), &*echoed.event_type), (Some(b"cba".as_slice()), "echoed"));
}

#[test]
fn a_rust_guest_keeps_the_contract() {
    behaves("rust");
}

#[test]
fn a_c_guest_keeps_the_contract() {
    behaves("c");
}

#[test]
fn a_go_guest_keeps_the_contract() {
    behaves("go");
}

/// GIVEN a batch of 500 with hostile events among them, WHEN it is run and,
/// after each failure, run on behind it, THEN exactly those fail, each with its
/// own reason, and all others come out.
#[test]
fn bisecting_finds_exactly_the_guilty() {
    let mut lane = lane(&[spec(component("guests/hostile"), "{}")]);
    let guilty = [(7, "trap"), (8, "recurse"), (200, "few"), (333, "many"), (334, "topic"), (499, "trap")];
    let events: Vec<_> =
        (0..500_usize).map(|n| event(n as u64, guilty.iter().find(|(g, _)| *g == n).map_or("pass", |(_, what)| *what))).collect();
    let (mut failed, mut passed, mut start) = (Vec::new(), Vec::new(), 0);
    while start < events.len() {
        let produced = lane.run(&events[start..]);
        passed.extend(produced.messages.iter().map(|(n, _)| start + n));
        let Some((at, error)) = produced.failure else { break };
        assert!(error.to_string().contains(&format!("id-{}", start + at)), "{error}");
        failed.push(start + at);
        start += at + 1;
    }
    assert_eq!(failed, guilty.iter().map(|(n, _)| *n).collect::<Vec<_>>());
    assert_eq!(passed, (0..500).filter(|n| !failed.contains(n)).collect::<Vec<_>>());
}

/// A leak is stopped by the memory limit, the instance replaced, and no event
/// is blamed that works on a fresh one.
#[test]
fn a_leak_costs_instances_not_events() {
    let mut lane = lane(&[spec(component("guests/hostile"), "{}")]);
    let produced = lane.run(&(0..300).map(|n| event(n, "leak")).collect::<Vec<_>>());
    assert!(produced.failure.is_none(), "{:?}", produced.failure);
    assert_eq!(produced.messages.len(), 300);
}

#[test]
fn an_instance_is_replaced_after_the_configured_number_of_calls() {
    let mut spec = spec(component("guests/hostile"), "{}");
    spec.limits.recycle_after = 3;
    let mut lane = lane(&[spec]);
    let counts: Vec<_> = (0..7)
        .map(|n| {
            let produced = lane.run(&[event(n, "count")]);
            String::from_utf8_lossy(produced.messages[0].1.payload.as_deref().expect("a count")).into_owned()
        })
        .collect();
    assert_eq!(counts, ["1", "2", "3", "1", "2", "3", "1"]);
}

/// Stages chain in the host: the messages of one are the events of the next,
/// and a failure downstream takes the event's siblings with it.
#[test]
fn stages_chain_and_siblings_share_their_fate() {
    let minimal = component("guests/minimal-rust");
    let mut chained = lane(&[spec(minimal.clone(), "{}"), spec(component("guests/hostile"), "{}")]);
    let produced = chained.run(&[event(0, "echo"), event(1, "emit2"), event(2, "pass")]);
    assert!(produced.failure.is_none(), "{:?}", produced.failure);
    let ids: Vec<_> = produced.messages.iter().map(|(n, e)| (*n, e.id.to_string())).collect();
    assert_eq!(ids, [(0, "id-0".into()), (1, "id-1:0".into()), (1, "id-1:1".into()), (2, "id-2".into())]);

    // `emit2` twice nests the ids.
    let mut twice = lane(&[spec(minimal.clone(), "{}"), spec(minimal, "{}")]);
    let produced = twice.run(&[event(0, "emit2")]);
    let ids: Vec<_> = produced.messages.iter().map(|(_, e)| e.id.to_string()).collect();
    assert_eq!(ids, ["id-0:0:0", "id-0:0:1", "id-0:1:0", "id-0:1:1"]);
}

/// Every way a file can fail to be a transform is said in one clear line.
#[test]
fn foreign_components_are_refused_with_the_reason() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = |name: &str, bytes: &[u8]| {
        let path = directory.path().join(name);
        std::fs::write(&path, bytes).expect("writes");
        path
    };
    let whole = std::fs::read(component("guests/minimal-rust")).expect("reads");
    for (path, expected) in [
        (directory.path().join("missing.wasm"), "cannot read the component"),
        (file("empty.wasm", b""), "an empty file"),
        (file("text.wasm", b"hello, world"), "not WebAssembly"),
        (file("cut.wasm", &whole[..whole.len() / 2]), "not a valid component"),
        (component("guests/core-module"), "a core module, not a component"),
        (component("guests/other-world"), "does not export `relay:transform/transformer@1.0.0`"),
        (component("guests/extra-import"), "imports `relay:extra/clock"),
        (component("guests/wasi-import"), "imports `wasi:cli/environment"),
        (component("guests/old-enum"), "its `operation` lacks `message`"),
    ] {
        let error =
            Chain::load(&[spec(path.clone(), "{}")], &Flow::default()).err().unwrap_or_else(|| panic!("{} was accepted", path.display()));
        let text = error.to_string();
        assert_eq!(error.kind(), Kind::Component, "{text}");
        assert!(text.contains(expected), "wanted `{expected}` in: {text}");
        assert!(text.contains("remedy:") && text.contains(path.to_str().expect("a path")), "{text}");
    }
}

/// `create` may trap, loop or answer at length; each is a refusal, not a hang.
#[test]
fn a_hostile_create_is_refused() {
    let mut spec = spec(component("guests/hostile"), "{}");
    spec.limits.create_deadline = std::time::Duration::from_millis(200);
    for (settings, expected) in [(r#"{"trap":1}"#, "unreachable"), (r#"{"loop":1}"#, "ran past its deadline")] {
        spec.settings = settings.into();
        let error = Chain::load(std::slice::from_ref(&spec), &Flow::default()).err().expect("refused").to_string();
        assert!(error.contains(expected), "wanted `{expected}` in: {error}");
    }
}
