//! Property: every committed event is published once and in the order of its
//! aggregate, however transactions interleave.

use crate::support::consumer::{Consumer, create_topic};
use crate::support::database::Database;
use crate::support::oracle::{Repeats, Writers, create_aggregates, demand, is_complete, versions};
use crate::support::relay::{PATIENCE, Relay};
use crate::support::{component, eventually, seed, services, unique};

/// GIVEN 24 writers with savepoints, rollbacks, prepared transactions and slow
/// commits of low sequence numbers, WHEN the relay runs beside them, THEN every
/// committed event comes once, versions 1, 2, 3… of each aggregate.
fn race(flags: &[&str], init: &[&str]) {
    let seed = seed("visibility");
    let database = Database::new();
    database.init(init);
    create_aggregates(&database, 40);
    let topic = unique("visibility");
    create_topic(&topic, 6, &[]);
    let redact = component("redact");
    let mut args = vec![
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
        redact.to_str().expect("a path"),
        "--settings",
        r#"{"fields":["card"]}"#,
    ];
    args.extend(flags);
    let relay = Relay::start(&args);
    relay.await_log("reading the outbox");
    Writers::start(&database, 24, 40, 60, seed).join();

    let committed = versions(&database);
    let mut consumer = Consumer::new(&[&topic]);
    consumer.until("every committed version", PATIENCE, |received| is_complete(received, &committed));
    relay.stop().expect(0, &["stopped"]);
    demand(consumer.read_to_end(), &committed, Repeats::Never);
    assert!(consumer.received.iter().all(|m| m.json()["card"] == "***"), "each was redacted");
}

#[test]
fn every_committed_event_comes_once_and_in_order() {
    race(&[], &[]);
}

/// The same where rows are kept: the checkpoint must not skip a late commit.
#[test]
fn retained_rows_are_published_once_and_in_order() {
    let directory = tempfile::tempdir().expect("a directory");
    let config = directory.path().join("relay.toml");
    let text = "[source]\nkind = \"outbox\"\nurl = \"${PLACEHOLDER}\"\nretain = true\n[sink]\nkind = \"stdout\"\n";
    std::fs::write(&config, text.replace("${PLACEHOLDER}", "postgres://replaced@by/flag")).expect("writes");
    // Flags replace the source's address and the sink; `retain` stays.
    let seed = seed("retain");
    let database = Database::new();
    database.init(&["--retain"]);
    create_aggregates(&database, 20);
    let topic = unique("retain");
    create_topic(&topic, 3, &[]);
    let kafka = &services::kafka().brokers;
    let text = std::fs::read_to_string(&config)
        .expect("reads")
        .replace("kind = \"stdout\"", &format!("kind = \"kafka\"\nbrokers = \"{kafka}\"\ntopic = \"{topic}\""));
    std::fs::write(&config, text).expect("writes");
    let args = ["run", "--name", &topic, "-c", config.to_str().expect("a path"), "--source", &database.url];

    let relay = Relay::start(&args);
    relay.await_log("reading the outbox");
    Writers::start(&database, 8, 20, 60, seed).join();
    let committed = versions(&database);
    let mut consumer = Consumer::new(&[&topic]);
    consumer.until("every committed version", PATIENCE, |received| is_complete(received, &committed));
    relay.stop().expect(0, &[]);
    // A second run finds nothing new, though every row is still there.
    let rows = database.rows();
    assert!(rows > 0);
    Relay::run(&[&args[..], &["--until-drained"]].concat()).expect(0, &["events=0"]);
    demand(consumer.read_to_end(), &committed, Repeats::Never);
}

/// GIVEN an old transaction that holds the floor, WHEN it commits a low
/// sequence number long after others were published, THEN its event comes too.
#[test]
fn a_late_commit_of_a_low_number_is_not_lost() {
    let database = Database::with_outbox();
    let topic = unique("late");
    create_topic(&topic, 1, &[]);
    let mut slow = database.connect();
    let mut late = slow.transaction().expect("begins");
    let late_id = crate::support::database::insert(&mut late, "slow", "Late", "{}");
    let relay =
        Relay::start(&["run", "--name", &topic, "--source", &database.url, "--brokers", &services::kafka().brokers, "--topic", &topic]);
    let mut client = database.connect();
    for n in 0..200 {
        crate::support::database::insert(&mut client, &format!("a{}", n % 7), "Early", "{}");
    }
    eventually("the early rows are deleted", PATIENCE, || database.rows() == 0);
    late.commit().expect("commits");
    eventually("the late row is deleted", PATIENCE, || database.rows() == 0);
    let mut consumer = Consumer::new(&[&topic]);
    let received = consumer.until("all events", PATIENCE, |r| r.len() >= 201);
    assert_eq!(received.len(), 201);
    assert_eq!(received.last().expect("one").id(), late_id.to_string());
    relay.stop().expect(0, &[]);
}
