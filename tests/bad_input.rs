//! Property: bad input is one clear message with coordinates, remedy and the
//! documented exit code, and nothing is lost or skipped.

use crate::support::consumer::{Consumer, create_topic};
use crate::support::database::{Database, insert};
use crate::support::relay::Relay;
use crate::support::{component, services, unique};

fn file(text: &str) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("input");
    std::fs::write(&path, text).expect("writes");
    let path = path.to_str().expect("a path").to_owned();
    (directory, path)
}

#[test]
fn command_line_and_configuration() {
    Relay::run(&["run", "--bogus"]).expect(2, &["--bogus"]);
    Relay::run(&["run"]).expect(3, &["the source is missing", "remedy:"]);
    Relay::run(&["run", "--source", "x.jsonl"]).expect(3, &["the sink is missing"]);
    Relay::run(&["run", "-c", "/does/not/exist.toml"]).expect(3, &["/does/not/exist.toml"]);
    Relay::run(&["run", "--source", "x", "--stdout", "--settings", "{}"]).expect(3, &["--settings without --transform"]);
    let (_d, path) = file("[source]\nkind = \"file\"\npath = \"x\"\ntabel = 1\n[sink]\nkind = \"stdout\"\n");
    Relay::run(&["check", "--offline", "-c", &path]).expect(3, &["tabel"]);
    Relay::run(&["check", "-c", &path, "--json"]).expect(3, &[]);
}

#[test]
fn components() {
    let (_d, events) = file("{\"entity\":\"x\"}\n");
    for (guest, expected) in [
        ("core-module", "core module"),
        ("other-world", "does not export"),
        ("extra-import", "imports"),
        ("old-enum", "differs from the contract"),
    ] {
        let path = component(&format!("guests/{guest}"));
        let finished = Relay::run(&["run", "--source", &events, "--stdout", "--transform", path.to_str().expect("a path")]);
        let finished = finished.expect(4, &["[component]", guest, "remedy:"]);
        assert!(finished.stderr.contains(expected) || guest == "old-enum", "{}", finished.stderr);
    }
    let redact = component("redact");
    let args = ["run", "--source", &events, "--stdout", "--transform", redact.to_str().expect("a path"), "--settings"];
    Relay::run(&[&args[..], &[r#"{"feilds":["x"]}"#]].concat()).expect(4, &["feilds", "create"]);
    Relay::run(&[&args[..], &["[1]"]].concat()).expect(3, &["--settings is no JSON object"]);
}

#[test]
fn lines_of_a_file() {
    for (text, expected) in
        [("{\"entity\":\"x\"}\nnope\n", "line 2"), ("{\"entity\":\"x\",\"bogus\":1}\n", "bogus"), ("{\"key\":\"x\"}\n", "entity")]
    {
        let (_d, path) = file(text);
        Relay::run(&["run", "--source", &path, "--stdout"]).expect(7, &["[bad-event]", expected, &path]);
    }
    Relay::run(&["run", "--source", "/does/not/exist.jsonl", "--stdout"]).expect(8, &["/does/not/exist.jsonl"]);
    let (_d, path) = file("{\"entity\":\"x\"}\n");
    Relay::run(&["run", "--source", &path, "--out", "/does/not/exist/out"]).expect(8, &["/does/not/exist/out"]);
}

/// A transform that was promised JSON and gets none fails the event, which
/// stays; everything before it is published.
#[test]
fn a_payload_that_is_not_json() {
    let database = Database::new();
    database.connect().batch_execute(
        "CREATE TABLE outbox (xid xid8 NOT NULL DEFAULT pg_current_xact_id(), seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
         id bigint NOT NULL, aggregate_type text NOT NULL, aggregate_id text, payload text);
         INSERT INTO outbox (id, aggregate_type, aggregate_id, payload) VALUES (1, 'o', 'a', '{}'), (2, 'o', 'a', 'nope'), (3, 'o', 'a', '{}')",
    ).expect("a table of one's own");
    let topic = unique("notjson");
    create_topic(&topic, 1, &[]);
    let redact = component("redact");
    Relay::run(&[
        "run",
        "--source",
        &database.url,
        "--brokers",
        &services::kafka().brokers,
        "--topic",
        &topic,
        "--until-drained",
        "--transform",
        redact.to_str().expect("a path"),
        "--settings",
        r#"{"fields":["card"]}"#,
    ])
    .expect(7, &["[poison]", "code=invalid-json", "id=2", "position=2/0", "transform=redact"]);
    let mut consumer = Consumer::new(&[&topic]);
    assert_eq!(consumer.read_to_end().iter().map(|m| m.id()).collect::<Vec<_>>(), ["1"]);
    assert_eq!(database.rows(), 2);
}

#[test]
fn a_topic_that_does_not_exist() {
    let database = Database::with_outbox();
    insert(&mut database.connect(), "a", "X", "{}");
    let topic = unique("missing");
    let brokers = &services::kafka().brokers;
    let args = ["--source", &database.url, "--brokers", brokers, "--topic", &topic];
    Relay::run(&[&["run", "--until-drained"], &args[..]].concat()).expect(7, &["[message-refused]", &topic, "--create-topics"]);
    assert_eq!(database.rows(), 1);
    let checked = Relay::run(&[&["check"], &args[..]].concat()).expect(6, &["does not exist"]);
    assert!(checked.stdout.contains("FAIL broker"), "{}", checked.stdout);
    Relay::run(&[&["run", "--until-drained", "--create-topics", "2"], &args[..]].concat()).expect(0, &["topic created"]);
    assert_eq!(database.rows(), 0);
    let checked = Relay::run(&[&["check", "--json"], &args[..]].concat()).expect(0, &[]);
    let report: serde_json::Value = serde_json::from_str(&checked.stdout).expect("JSON");
    assert_eq!(report["ok"], true, "{report}");
}

#[test]
fn a_payload_over_the_topics_limit() {
    let database = Database::with_outbox();
    let mut client = database.connect();
    let ids = [insert(&mut client, "a", "X", "{}"), insert(&mut client, "a", "X", &format!("\"{}\"", "x".repeat(60_000)))];
    insert(&mut client, "a", "X", "{}");
    let topic = unique("small");
    create_topic(&topic, 1, &[("max.message.bytes", "20000")]);
    let finished =
        Relay::run(&["run", "--source", &database.url, "--brokers", &services::kafka().brokers, "--topic", &topic, "--until-drained"]);
    finished.expect(7, &["[message-refused]", "max.message.bytes", &ids[1].to_string(), &topic]);
    let mut consumer = Consumer::new(&[&topic]);
    assert_eq!(consumer.read_to_end().iter().map(|m| m.id()).collect::<Vec<_>>(), [ids[0].to_string()]);
    assert_eq!(database.rows(), 2);
}

/// Many messages that fit one by one must not be refused for the size of their
/// batch: the batch follows the topic's limit.
#[test]
fn batches_follow_a_small_limit() {
    let database = Database::with_outbox();
    database.connect().batch_execute(
        "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload) SELECT 'o', 'a', 'X', to_jsonb(repeat('x', 5000)) FROM generate_series(1, 200)",
    ).expect("inserts");
    let topic = unique("batches");
    create_topic(&topic, 1, &[("max.message.bytes", "20000")]);
    Relay::run(&["run", "--source", &database.url, "--brokers", &services::kafka().brokers, "--topic", &topic, "--until-drained"])
        .expect(0, &["events=200 messages=200"]);
}

#[test]
fn a_null_key_for_a_compacted_topic() {
    let database = Database::with_outbox();
    database.connect().batch_execute("INSERT INTO outbox (aggregate_type, event_type) VALUES ('o', 'X')").expect("inserts");
    let topic = unique("compacted");
    create_topic(&topic, 1, &[("cleanup.policy", "compact")]);
    Relay::run(&["run", "--source", &database.url, "--brokers", &services::kafka().brokers, "--topic", &topic, "--until-drained"])
        .expect(7, &["[message-refused]", "without a key"]);
}
