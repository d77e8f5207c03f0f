//! Property: exactly-once of what is read from the log: each event once and in order,
//! whatever is killed, and the server is told nothing that is not recorded.

use crate::exactly_once::{STEPS, kill_many};
use crate::support::cdc::Capture;
use crate::support::database::Database;
use crate::support::oracle::{Repeats, Writers, create_aggregates, demand, is_complete, versions};
use crate::support::relay::{PATIENCE, Relay};
use crate::support::{component, eventually, seed};
use clap::ValueEnum as _;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use std::collections::BTreeMap;

fn capture(database: &Database) -> Capture {
    let source = "outbox = \"public.outbox\"\nstatus_interval = \"100ms\"\nlock_retry = \"50ms\"\n";
    let capture = Capture::partitioned(database, source, 4);
    let redact = component("redact");
    let rest = format!(
        "[transactions]\nmax_events = 50\nlinger = \"20ms\"\n[flow]\nretry_min = \"10ms\"\nretry_max = \"50ms\"\n[[transform]]\npath = \"{}\"\n\
         settings = {{ fields = [\"card\"] }}",
        redact.display()
    );
    capture.write(source, &rest);
    let text = std::fs::read_to_string(capture.config()).expect("reads");
    std::fs::write(capture.config(), format!("delivery = \"exactly-once\"\n{text}")).expect("writes");
    capture.init(&["--apply"]).expect(0, &[]);
    capture
}

/// GIVEN writers at work, WHEN a relay that reads the log is killed at random and at each
/// step of a transaction, THEN each committed event is there once, in order.
#[test]
fn kills_double_nothing_of_the_log() {
    let seed = seed("once-log");
    let database = Database::with_outbox();
    create_aggregates(&database, 30);
    let capture = capture(&database);
    let writers = Writers::start(&database, 4, 30, usize::MAX, seed);
    let args = capture.args("run", &[]);
    kill_many(&mut || Relay::start(&args), "reading the log", &mut StdRng::seed_from_u64(seed));
    for point in STEPS {
        let name = point.to_possible_value().expect("a name").get_name().to_owned();
        let mut relay = Relay::start_with(&args, &[("RELAY_CRASH_AT", &format!("{name}*3"))]);
        eventually(&format!("it dies at {name}"), PATIENCE, || relay.ended().is_some());
    }
    writers.stop();
    capture.drain().expect(0, &[]);
    demand_of(&capture, &database);
}

/// What a consumer reads of a pipeline that reads the log, once everything is there.
fn demand_of(capture: &Capture, database: &Database) {
    let committed = versions(database);
    let mut consumer = capture.consumer();
    consumer.until("everything", PATIENCE, |received| is_complete(received, &committed));
    demand(consumer.read_to_end(), &committed, Repeats::Never);
}

/// GIVEN a pipeline whose log goes on without events of its own, WHEN it is stopped and
/// started, THEN it goes on, for the server was told nothing that is not recorded.
#[test]
fn a_log_that_only_passes_by() {
    let database = Database::with_outbox();
    create_aggregates(&database, 5);
    let capture = capture(&database);
    let mut client = database.connect();
    client.batch_execute("CREATE TABLE noise (n int)").expect("creates");
    for round in 0..3 {
        Writers::start(&database, 1, 5, 5, seed("once-idle")).join();
        let relay = capture.start();
        let slot = "SELECT (confirmed_flush_lsn - '0/0')::int8 FROM pg_replication_slots WHERE slot_name = $1";
        let mut position = || client.query_one(slot, &[&capture.slot]).expect("a slot").get::<_, i64>(0);
        let before = position();
        database.connect().batch_execute("INSERT INTO noise SELECT generate_series(1, 20000); CHECKPOINT").expect("inserts");
        let newest: i64 = database.connect().query_one("SELECT (pg_current_wal_lsn() - '0/0')::int8", &[]).expect("asks").get(0);
        eventually("the slot moves past it", PATIENCE, || position() > before && position() >= newest);
        if round == 1 { relay.kill() } else { drop(relay.stop().expect(0, &[])) }
    }
    capture.drain().expect(0, &[]);
    demand_of(&capture, &database);
}

/// GIVEN an event at which the relay halts among those of other keys, WHEN it is mended and
/// started again, THEN none of the others comes twice.
#[test]
fn what_halts_takes_its_transaction_with_it() {
    let database = Database::with_outbox();
    let capture = capture(&database);
    let text = std::fs::read_to_string(capture.config()).expect("reads");
    let strict = text.replace(component("redact").to_str().expect("a path"), component("guests/hostile").to_str().expect("a path"));
    std::fs::write(capture.config(), strict).expect("writes");
    let mut client = database.connect();
    let mut tx = client.transaction().expect("begins");
    for n in 0..3000_i64 {
        let (aggregate, version) = (n % 50 + 1, n / 50 + 1);
        let payload = format!("{{\"aggregate\":{aggregate},\"version\":{version}}}");
        let kind = if n % 700 == 650 { "halt" } else { "pass" };
        crate::support::database::insert(&mut tx, &aggregate.to_string(), kind, &payload);
    }
    tx.commit().expect("commits");
    for _ in 0..5 {
        capture.drain().expect(7, &["[transform-halt]"]);
    }
    std::fs::write(capture.config(), text).expect("writes");
    capture.drain().expect(0, &[]);
    let committed: BTreeMap<i64, i64> = (1..=50).map(|aggregate| (aggregate, 60)).collect();
    let mut consumer = capture.consumer();
    consumer.until("everything", PATIENCE, |received| is_complete(received, &committed));
    demand(consumer.read_to_end(), &committed, Repeats::Never);
}

/// GIVEN a snapshot in chunks larger than a transaction, WHEN the relay is killed and stopped
/// within, THEN each row comes once.
#[test]
fn a_snapshot_that_is_cut_off_comes_once() {
    let database = Database::new();
    let mut client = database.connect();
    client
        .batch_execute("CREATE TABLE item (id int PRIMARY KEY, v text); INSERT INTO item SELECT g, 'x' FROM generate_series(1, 3000) g")
        .expect("fills");
    let source = "tables = [\"public.item\"]\nsnapshot = \"initial\"\nsnapshot_chunk_rows = 200\nstatus_interval = \"100ms\"\nlock_retry = \"50ms\"\n";
    let capture = Capture::partitioned(&database, source, 4);
    capture.write(source, "[transactions]\nmax_events = 50\nlinger = \"20ms\"\n");
    let text = std::fs::read_to_string(capture.config()).expect("reads");
    std::fs::write(capture.config(), format!("delivery = \"exactly-once\"\n{text}")).expect("writes");
    capture.init(&["--apply"]).expect(0, &[]);
    let args = capture.args("run", &[]);
    for (n, point) in STEPS.into_iter().enumerate() {
        let name = point.to_possible_value().expect("a name").get_name().to_owned();
        let mut relay = Relay::start_with(&args, &[("RELAY_CRASH_AT", &format!("{name}*{}", n + 1))]);
        eventually(&format!("it dies at {name}"), PATIENCE, || relay.ended().is_some());
        let relay = capture.start();
        relay.stop().expect(0, &[]);
    }
    capture.drain().expect(0, &[]);
    let mut consumer = capture.consumer();
    consumer.until("every row", PATIENCE, |received| received.len() >= 3000);
    let mut ids: Vec<i64> = consumer.read_to_end().iter().map(|m| m.json()["id"].as_i64().expect("an id")).collect();
    ids.sort_unstable();
    assert_eq!(ids, (1..=3000).collect::<Vec<_>>());
}
