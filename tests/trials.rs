//! Property: what a transform would do, costs and is can be seen without
//! publishing, and without changing anything where the events come from.

use crate::support::cdc::{Capture, position};
use crate::support::database::{Database, insert};
use crate::support::relay::Relay;
use crate::support::{component, root};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

const LANGUAGES: [&str; 6] = ["rust", "go", "js", "ts", "python", "c"];

fn text(path: &Path) -> String {
    path.to_str().expect("a path").to_owned()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

/// GIVEN an empty directory, WHEN a project is made in each language, THEN it has
/// its name everywhere and its build can be run; a directory in use and a bad
/// name are refused. (`transforms/templates.sh` builds and tests them.)
#[test]
fn a_project_is_made_in_each_language() {
    let directory = tempfile::tempdir().expect("a directory");
    for language in LANGUAGES {
        let into = text(&directory.path().join(language));
        Relay::run(&["new", "--lang", language, "--into", &into, "mask-cards"]).expect(0, &[]);
        let script = Path::new(&into).join("build.sh");
        let build = std::fs::read_to_string(&script).expect("a build script");
        assert!(build.contains("mask-cards") && !build.contains("template"), "{build}");
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&script).expect("a file").permissions());
        assert_eq!(mode & 0o111, 0o111, "{language}: executable");
        Relay::run(&["new", "--lang", language, "--into", &into, "mask-cards"]).expect(8, &["not empty", "--into"]);
    }
    Relay::run(&["new", "--lang", "rust", "Mask Cards"]).expect(3, &["`Mask Cards`", "mask-cards"]);
    Relay::run(&["new", "--lang", "cobol", "x"]).expect(2, &["cobol", "python"]);
}

/// GIVEN rows in an outbox, WHEN they are captured, THEN the file has what a relay
/// would publish, in order, and the table has all of it still; AND a replay of
/// file or table says what becomes of them, and where two components differ.
#[test]
fn rows_of_an_outbox_are_captured_and_replayed() {
    let database = Database::with_outbox();
    let mut client = database.connect();
    for n in 0..5 {
        insert(&mut client, &format!("a{n}"), "OrderPlaced", &format!(r#"{{"n":{n},"card":"4111","email":"a@b.c"}}"#));
    }
    insert(&mut client, "a5", "OrderPlaced", "null");
    let directory = tempfile::tempdir().expect("a directory");
    let file = text(&directory.path().join("events.jsonl"));
    Relay::run(&["capture", "--source", &database.url, "--out", &file]).expect(0, &["events=6"]);
    Relay::run(&["capture", "--source", &database.url, "--out", &file]).expect(8, &["events.jsonl", "does not exist"]);
    Relay::run(&["capture", "--source", &database.url, "--table", "nowhere", "--out", &format!("{file}.2")]).expect(5, &["nowhere"]);
    assert_eq!(std::fs::read_dir(directory.path()).expect("reads").count(), 1, "no part of a file is left");
    let two = Relay::run(&["capture", "--source", &database.url, "--limit", "2"]).expect(0, &["events=2"]).stdout;
    let captured = std::fs::read_to_string(&file).expect("reads");
    assert!(captured.starts_with(&two) && two.lines().count() == 2, "{two}");
    assert_eq!(database.rows(), 6, "nothing is taken");

    let redact = text(&component("redact"));
    let settings = r#"{"fields":["card"]}"#;
    for source in [&file, &database.url] {
        let replay = ["replay", &redact, "--source", source, "--settings", settings, "--json"];
        let report = json(&Relay::run(&replay).expect(0, &[]).stdout);
        let tally = &report["components"][0]["tally"];
        assert_eq!((&tally["events"], &tally["emitted"], &tally["passed"]), (&6.into(), &5.into(), &1.into()), "{report}");
    }
    let against = ["replay", &redact, "--source", &file, "--settings", settings, "--against", &redact];
    let same = Relay::run(&against).expect(0, &[]).stdout;
    assert!(!same.contains("event "), "{same}");
    let other = [&against[..], &["--against-settings", r#"{"fields":["card","email"]}"#]].concat();
    let differ = Relay::run(&other).expect(10, &["differ in 5 of 6 events"]).stdout;
    assert!(differ.contains("emit[0].payload.email") && differ.contains("\"a@b.c\"") && differ.contains("\"***\""), "{differ}");
    let outcomes = Relay::run(&["replay", &redact, "--source", &file, "--settings", settings, "--outcomes"]).expect(0, &[]).stdout;
    assert_eq!(outcomes.lines().map(json).filter(|line| line["outcome"]["emit"][0].to_string().contains("***")).count(), 5);
    assert_eq!(database.rows(), 6, "nothing is taken");

    Relay::run(&["run", "--source", &database.url, "--out", &text(&directory.path().join("out")), "--until-drained"]).expect(0, &[]);
    let mut published: Vec<_> = std::fs::read_to_string(directory.path().join("out")).expect("reads").lines().map(json).collect();
    published.sort_by_key(|event| event["position"]["commit"].as_u64());
    assert_eq!(captured.lines().map(json).collect::<Vec<_>>(), published, "as a relay reads them");
}

/// GIVEN changes in the log, WHEN they are captured from the slot, THEN they are
/// what a relay would publish, the slot stands where it stood, and no other is
/// left behind.
#[test]
fn changes_of_a_slot_are_captured_without_moving_it() {
    let database = Database::new();
    let mut client = database.connect();
    client.batch_execute("CREATE TABLE item (id int PRIMARY KEY, price numeric, at timestamptz)").expect("creates");
    let capture = Capture::new(&database, "tables = [\"public.item\"]\nmessages = [\"audit\"]\nrows.truncate = \"emit\"");
    client
        .batch_execute(
            "INSERT INTO item SELECT n, n / 10.0, '2026-01-01 12:00+02' FROM generate_series(1, 5) n;
             UPDATE item SET id = 50 WHERE id = 5; DELETE FROM item WHERE id = 1;
             SELECT pg_logical_emit_message(true, 'audit', '{\"aggregate_id\":\"k\",\"payload\":1}'); TRUNCATE item",
        )
        .expect("writes");
    let slots =
        "SELECT array_agg(format('%s %s', slot_name, confirmed_flush_lsn)) FROM pg_replication_slots WHERE database = current_database()";
    let before: Vec<String> = client.query_one(slots, &[]).expect("a slot").get(0);
    let captured = capture.run("capture", &[]).expect(0, &["events=10"]).stdout;
    assert_eq!(capture.run("capture", &["--limit", "3"]).expect(0, &["events=3"]).stdout.lines().count(), 3);
    let after: Vec<String> = client.query_one(slots, &[]).expect("a slot").get(0);
    assert_eq!(before, after);

    let published = capture.publish();
    assert_eq!(published.len(), 10);
    for (line, message) in captured.lines().map(json).zip(&published) {
        assert_eq!(line["id"], message.id());
        assert_eq!((line["position"]["commit"].as_u64(), line["position"]["index"].as_u64()), {
            let (commit, index) = position(message);
            (Some(commit), Some(index))
        });
        let payload = message.payload.as_deref().map_or(Value::Null, |bytes| serde_json::from_slice(bytes).expect("JSON"));
        assert_eq!(line.get("payload").cloned().unwrap_or_default(), payload, "{line}");
    }
    // Until nobody takes more, of one large transaction too; every copy is gone at once.
    client.batch_execute("INSERT INTO item SELECT n, n FROM generate_series(1, 5000) n").expect("writes");
    assert_eq!(capture.run("capture", &["--limit", "7"]).expect(0, &["events=7"]).stdout.lines().count(), 7);
    capture.run("capture", &["--out", "/dev/full/x"]).expect(8, &["/dev/full"]);
    let full = format!("{} 2>&1 >/dev/full", capture.shell("capture"));
    let output = Command::new("bash").args(["-c", &full]).output().expect("bash starts");
    assert_eq!(output.status.code(), Some(8), "{}", String::from_utf8_lossy(&output.stdout));
    let left: i64 =
        client.query_one("SELECT count(*) FROM pg_replication_slots WHERE database = current_database()", &[]).expect("slots").get(0);
    assert_eq!(left, 1);
    capture.drain().expect(0, &["events=5000"]);
    // And while a relay reads the slot.
    let relay = capture.start();
    capture.run("capture", &[]).expect(0, &["events=0"]);
    relay.stop().expect(0, &[]);
}

/// GIVEN a component, WHEN it is measured, THEN each number is there, and its cost
/// in fuel is the same each time.
#[test]
fn a_component_is_measured() {
    let redact = text(&component("redact"));
    let bench = ["bench", &redact, "--settings", r#"{"fields":["card"]}"#, "--time", "50ms", "--against", &redact, "--json"];
    let report = json(&Relay::run(&bench).expect(0, &[]).stdout);
    let [first, second] = [&report["components"][0], &report["components"][1]];
    assert_eq!(first["fuel"], second["fuel"], "{report}");
    assert_eq!(first["outcomes"]["emitted"], 256);
    for number in ["/compile", "/instantiate/p50", "/together/p50", "/together/max", "/alone/p99", "/fuel/p50", "/boundary", "/memory"] {
        assert!(first.pointer(number).and_then(Value::as_f64).is_some_and(|n| n > 0.0), "{number}: {report}");
    }
    let table = Relay::run(&["bench", &redact, "--settings", r#"{"fields":["card"]}"#, "--time", "10ms"]).expect(0, &[]).stdout;
    for line in ["compile", "instantiate", "event, 64 in a call", "fuel an event", "throughput of a core", "memory of an instance"] {
        assert!(table.contains(line), "{line}: {table}");
    }
    Relay::run(&["bench", &redact, "--events", "/nowhere"]).expect(8, &["/nowhere"]);
    Relay::run(&["bench", &redact, "--settings", "{}"]).expect(4, &["`create` refused"]);
}

/// GIVEN components and what is none, WHEN they are inspected, THEN it says what
/// each is, which settings it takes, and why it would be refused.
#[test]
fn a_component_is_inspected() {
    let redact = text(&component("redact"));
    let shown = Relay::run(&["inspect", &redact]).expect(0, &[]).stdout;
    for found in
        ["relay:transform/host@1.0.0", "relay:transform/transformer@1.0.0", "Rust", "rustc", "redact 0.1.0", "fields: array", "verdict"]
    {
        assert!(shown.contains(found), "{found}: {shown}");
    }
    let about = json(&Relay::run(&["inspect", &redact, "--settings", r#"{"fields":["card"]}"#, "--json"]).expect(0, &[]).stdout);
    assert_eq!((&about["usable"], &about["anatomy"]["component"]), (&true.into(), &true.into()), "{about}");
    Relay::run(&["inspect", &redact, "--settings", r#"{"field":[]}"#]).expect(4, &["`field`"]);
    let core = text(&component("guests/core-module"));
    let shown = Relay::run(&["inspect", &core]).expect(4, &["core module"]).stdout;
    assert!(shown.contains("refused") && shown.contains("wasm-tools component new"), "{shown}");
    Relay::run(&["inspect", &text(&root().join("README.md"))]).expect(4, &["README.md"]);
}

/// The null transform, for a contract with this changed.
fn other_contract(what: &str, by: &str) -> Vec<u8> {
    let contract = std::fs::read_to_string(root().join("wit/transform.wit")).expect("the contract");
    assert!(contract.contains(what), "{what}");
    let code = std::fs::read_to_string(root().join("relay/src/measure/null.wat")).expect("the null transform");
    let mut core = wat::parse_str(code).expect("assembles");
    let mut resolve = wit_parser::Resolve::default();
    let package = resolve.push_str("transform.wit", &contract.replace(what, by)).expect("a contract");
    let world = resolve.select_world(&[package], Some("transform")).expect("a world");
    wit_component::embed_component_metadata(&mut core, &resolve, world, wit_component::StringEncoding::UTF8).expect("embeds");
    wit_component::ComponentEncoder::default().module(&core).expect("a module").encode().expect("encodes")
}

/// GIVEN a component built for a contract that is one field off, WHEN it is
/// loaded, THEN it is refused, and the field named.
#[test]
fn a_module_one_field_off_the_contract_is_refused_by_the_field_s_name() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("off.wasm");
    std::fs::write(&file, other_contract("unchanged: list<string>,", "unchanged: list<string>, ")).expect("writes");
    Relay::run(&["inspect", &text(&file)]).expect(0, &[]);
    for (what, by, named) in [
        ("    unchanged: list<string>,", "    untouched: list<string>,", "its `event` lacks `unchanged`"),
        ("    unchanged: list<string>,\n", "", "its `event` lacks `unchanged`"),
        ("    before: option<list<u8>>,", "    before: option<string>,", "`before` of `event` is option<string>, must be option<list<u8>>"),
        ("    time: s64,", "    time: s64, more: bool,", "its `event` has `more`"),
        ("enum failure-kind {", "enum failure-kind { other,", "its `failure-kind` has `other`"),
    ] {
        std::fs::write(&file, other_contract(what, by)).expect("writes");
        Relay::run(&["inspect", &text(&file)]).expect(4, &["off.wasm", "contract", named]);
    }
}
