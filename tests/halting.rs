//! Property: a failed event halts the relay with a full report; everything
//! before it is published, nothing after it in its lane, and it stays where it is.

use crate::support::consumer::{Consumer, create_topic};
use crate::support::database::{Database, insert};
use crate::support::relay::Relay;
use crate::support::{component, services, unique};

/// GIVEN an event at which the relay halts, WHEN it is skipped by its id, THEN the next
/// start goes on behind it, and keeps it where it can.
#[test]
fn a_halted_relay_is_told_to_go_on() {
    for letters in ["", "[dead_letters]\n"] {
        let it = crate::dead_letters::Letters::new("on_poison = \"halt\"", "");
        let text = std::fs::read_to_string(it.config()).expect("reads").replace("[dead_letters]\n", letters);
        std::fs::write(it.config(), text).expect("writes");
        it.insert(&[(1, 1, "pass"), (1, 2, "poison"), (1, 3, "pass"), (1, 4, "halt"), (1, 5, "pass")]);
        for left in [4, 2] {
            let halted = it.drain().expect(7, &[]);
            assert_eq!(it.database.rows(), left);
            let id = halted.stderr.rsplit(" id=").next().and_then(|rest| rest.split_whitespace().next()).expect("an id").to_owned();
            Relay::run(&["skip", &id, "-c", &it.config()]).expect(0, &[]);
        }
        it.drain().expect(0, &["somebody asked that this event be skipped"]);
        assert_eq!(it.database.rows(), 0);
        assert_eq!(it.received().len(), 3);
        if !letters.is_empty() {
            assert_eq!(it.list().len(), 2);
        }
    }
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("relay.toml");
    std::fs::write(&path, "[source]\nkind = \"file\"\npath = \"-\"\n[sink]\nkind = \"stdout\"\n").expect("writes");
    Relay::run(&["skip", "x", "-c", path.to_str().expect("a path")]).expect(3, &["state.file"]);
}

/// 500 events of one aggregate, the 300th of them special.
fn halt_at(event_type: &str, settings: &str) -> (crate::support::relay::Finished, Vec<String>, Database, Vec<String>) {
    let database = Database::with_outbox();
    let topic = unique("halt");
    create_topic(&topic, 1, &[]);
    let mut client = database.connect();
    let mut tx = client.transaction().expect("begins");
    let ids: Vec<String> = (0..500).map(|n| insert(&mut tx, "one", if n == 300 { event_type } else { "pass" }, "{}").to_string()).collect();
    tx.commit().expect("commits");
    let guest = component("guests/hostile");
    let finished = Relay::run(&[
        "run",
        "--name",
        &topic,
        "--source",
        &database.url,
        "--brokers",
        &services::kafka().brokers,
        "--topic",
        &topic,
        "--transform",
        guest.to_str().expect("a path"),
        "--settings",
        settings,
        "--until-drained",
    ]);
    let mut consumer = Consumer::new(&[&topic]);
    let received = consumer.read_to_end().iter().map(|m| m.id()).collect();
    (finished, received, database, ids)
}

fn assert_halted(event_type: &str, texts: &[&str]) {
    let (finished, received, database, ids) = halt_at(event_type, "{}");
    let coordinates = ["source=outbox", "table=public.outbox", "transform=hostile", "lane=", &ids[300]];
    finished.expect(7, &[texts, &coordinates].concat());
    assert_eq!(received, ids[..300], "everything before it, in order, nothing after");
    assert_eq!(database.rows(), 200, "it and what follows stay");
}

#[test]
fn a_trap_on_one_event_in_a_batch() {
    assert_halted("trap", &["[trap]", "code=trap:unreachable", "digest=", "guest:", "remedy:"]);
}

#[test]
fn an_endless_loop() {
    assert_halted("loop", &["[trap]", "code=trap:deadline", "event_deadline"]);
}

#[test]
fn a_memory_hog() {
    assert_halted("hog", &["[trap]", "code=trap:memory"]);
}

#[test]
fn a_deep_recursion() {
    // Its own stack in linear memory runs out before the real one.
    assert_halted("recurse", &["[trap]", "code=trap:"]);
}

#[test]
fn too_many_messages() {
    assert_halted("many", &["[trap]", "limits.messages"]);
}

#[test]
fn an_output_flood() {
    assert_halted("flood", &["[trap]", "limits."]);
}

#[test]
fn a_forbidden_topic() {
    assert_halted("topic", &["[contract]", "code=contract:topic", "forbidden.topic"]);
}

#[test]
fn too_few_outcomes() {
    assert_halted("few", &["[contract]", "code=contract:outcomes"]);
}

#[test]
fn a_reserved_header() {
    assert_halted("badheader", &["[contract]", "relay-position"]);
}

#[test]
fn a_partition_that_is_not_there() {
    assert_halted("badpartition", &["[message-refused]", "partition 999999", "topic="]);
}

#[test]
fn fail_poison_and_fail_halt() {
    assert_halted("poison", &["[poison]"]);
    assert_halted("halt", &["[transform-halt]"]);
}

#[test]
fn a_leak_is_bounded_and_log_spam_is_limited() {
    let (finished, received, database, ids) = halt_at("logspam", "{}");
    let finished = finished.expect(0, &["log lines over limits.log_rate were left out"]);
    assert!(finished.stderr.lines().count() < 500, "{} lines", finished.stderr.lines().count());
    assert_eq!((received, database.rows()), (ids, 0));
}
