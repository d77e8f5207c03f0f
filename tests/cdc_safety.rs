//! Property: a slot or publication that cannot be read stops the relay by name,
//! with the remedy, before anything is skipped; nothing is made anew in silence.

use crate::support::cdc::Capture;
use crate::support::database::Database;
use crate::support::eventually;
use crate::support::relay::{PATIENCE, Relay};
use crate::support::services::Postgres;
use postgres::Client;

const SOURCE: &str = "outbox = \"public.outbox\"\n";

fn insert(database: &Database, aggregate: &str) {
    crate::support::database::insert(&mut database.connect(), aggregate, "X", "{}");
}

/// Demands the same of `check` and of `run`.
fn refused(capture: &Capture, texts: &[&str]) {
    let checked = capture.run("check", &[]).expect(5, &[]);
    for text in texts {
        assert!(checked.stdout.contains(text), "wanted `{text}` in:\n{}", checked.stdout);
    }
    capture.run("run", &[]).expect(5, texts);
}

/// Drops a slot that is being read.
fn drop_slot(client: &mut Client, slot: &str) {
    eventually("the slot is dropped", PATIENCE, || {
        let _ = client.query("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1", &[&slot]);
        client.query("SELECT pg_drop_replication_slot($1)", &[&slot]).is_ok()
    });
}

/// GIVEN a slot that is dropped, before the start or while it is read, THEN the
/// relay says so and ends; it makes no other.
#[test]
fn a_slot_that_is_dropped() {
    let database = Database::with_outbox();
    let capture = Capture::new(&database, SOURCE);
    let relay = capture.start();
    let mut client = database.connect();
    drop_slot(&mut client, &capture.slot);
    relay.wait().expect(5, &["[slot-missing]", &capture.slot, "relay init --cdc"]);
    refused(&capture, &["[slot-missing]", &capture.slot]);
    let slots = client.query("SELECT FROM pg_replication_slots WHERE slot_name = $1", &[&capture.slot]).expect("asks");
    assert!(slots.is_empty(), "made in silence");
}

/// A server of its own that keeps so much WAL for a slot, and an outbox there.
fn server_that_keeps(wal: &str) -> (Postgres, Database) {
    let postgres = Postgres::start(&format!("postgres-cdc-{wal}"), &[]);
    let database = Database::on(&postgres.url);
    database.init(&[]);
    let mut client = database.connect();
    client.batch_execute(&format!("ALTER SYSTEM SET max_slot_wal_keep_size = '{wal}'")).expect("alters");
    client.batch_execute("SELECT pg_reload_conf()").expect("reloads");
    (postgres, database)
}

/// GIVEN a server that keeps little WAL, WHEN a slot falls behind it, idle or
/// while it is read, THEN the relay says that it is invalidated, and ends.
#[test]
fn a_slot_that_is_invalidated() {
    let (_postgres, database) = server_that_keeps("1MB");
    let mut client = database.connect();
    let lose = |client: &mut Client, slot: &str| {
        eventually("the slot is lost", PATIENCE, || {
            client.batch_execute("SELECT pg_logical_emit_message(true, 'x', repeat('x', 100000)), pg_switch_wal()").expect("writes");
            client.batch_execute("CHECKPOINT").expect("checkpoints");
            let row = client.query_one("SELECT wal_status FROM pg_replication_slots WHERE slot_name = $1", &[&slot]).expect("a slot");
            row.get::<_, Option<String>>(0).as_deref() == Some("lost")
        });
    };
    let read = Capture::new(&database, SOURCE);
    let relay = read.start();
    // One that cannot keep up, made certain.
    relay.signal("STOP");
    lose(&mut client, &read.slot);
    relay.signal("CONT");
    let texts = ["[slot-invalidated]", &read.slot, "max_slot_wal_keep_size"];
    relay.wait().expect(5, &texts);
    refused(&read, &texts);
    let idle = Capture::new(&database, SOURCE);
    lose(&mut client, &idle.slot);
    refused(&idle, &["[slot-invalidated]", &idle.slot, "max_slot_wal_keep_size"]);
    idle.init(&["--apply"]).expect(5, &["[slot-invalidated]"]);
}

/// GIVEN a server that keeps WAL up to a limit, WHEN a transaction that does not end has
/// the slot keep much of it, THEN the relay warns before the limit, with what is left.
#[test]
fn a_slot_near_the_limit() {
    let (_postgres, database) = server_that_keeps("1GB");
    let mut client = database.connect();
    let capture = Capture::new(&database, &format!("{SOURCE}wal_warning_percent = 5\nslot_check = \"100ms\"\n"));
    let relay = capture.start();
    let mut holder = database.connect();
    holder
        .batch_execute("BEGIN; INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload) VALUES ('o', '1', 'X', '{}')")
        .expect("begins");
    eventually("the relay warns", PATIENCE, || {
        client.batch_execute("SELECT pg_logical_emit_message(true, 'x', repeat('x', 1000000))").expect("writes");
        relay.log().contains("the server keeps much WAL for this slot")
    });
    holder.batch_execute("COMMIT").expect("commits");
    relay.stop().expect(0, &["left_bytes=", &capture.slot, "max_slot_wal_keep_size"]);
    assert_eq!(capture.publish().len(), 1);
}

/// GIVEN a slot of another plugin or another database, THEN it is refused by
/// run, check and init alike.
#[test]
fn a_slot_of_somebody_else() {
    let (database, other) = (Database::with_outbox(), Database::with_outbox());
    let theirs = Capture::new(&other, SOURCE);
    let ours = Capture::new(&database, SOURCE);
    ours.write(&format!("{SOURCE}slot = \"{}\"", theirs.slot), "");
    refused(&ours, &["[database-unusable]", "belongs to database", &theirs.slot]);
    ours.init(&["--apply"]).expect(5, &["belongs to database"]);

    let slot = format!("{}_test", ours.slot);
    // In postgresql-contrib, which not every server has.
    if database.connect().query("SELECT pg_create_logical_replication_slot($1, 'test_decoding')", &[&slot]).is_ok() {
        ours.write(&format!("{SOURCE}slot = \"{slot}\""), "");
        refused(&ours, &["[database-unusable]", "test_decoding", "pgoutput", &slot]);
        ours.init(&["--adopt-slot"]).expect(5, &["test_decoding"]);
    }
}

/// GIVEN a publication that is not there, at start or any more, THEN it is named.
#[test]
fn a_publication_that_is_missing() {
    let database = Database::with_outbox();
    let capture = Capture::new(&database, SOURCE);
    let relay = capture.start();
    let mut client = database.connect();
    let drop = format!("DROP PUBLICATION \"{}\"", capture.slot);
    client.batch_execute(&drop).expect("drops");
    insert(&database, "unseen");
    relay.wait().expect(5, &["[database-unusable]", "publication", "relay init --cdc"]);
    refused(&capture, &["[database-unusable]", "the publication does not exist", &capture.slot]);
    // Made anew behind what was committed without it: still named, not skipped.
    capture.init(&["--apply"]).expect(0, &[]);
    capture.run("run", &[]).expect(5, &["[database-unusable]", "publication", "the publication first"]);
}

/// GIVEN a table whose UPDATE the publication would make fail, or one that the
/// publication lacks, THEN init and start name it, and check fails.
#[test]
fn tables_that_the_publication_breaks_or_lacks() {
    let database = Database::new();
    let mut client = database.connect();
    client
        .batch_execute("CREATE TABLE heap (n int); CREATE TABLE fine (id int PRIMARY KEY); CREATE TABLE later (id int PRIMARY KEY)")
        .expect("creates");
    let capture = Capture::partitioned(&database, "tables = [\"public.heap\", \"public.fine\"]\n", 1);
    let named = ["public.heap has no replica identity", "REPLICA IDENTITY FULL"];
    let said = capture.init(&["--apply"]).expect(0, &named).stderr;
    assert!(!said.contains("public.fine has"), "{said}");
    capture.drain().expect(0, &named);
    let checked = capture.run("check", &[]).expect(5, &[]);
    assert!(checked.stdout.contains(named[0]), "{}", checked.stdout);
    client.batch_execute("ALTER TABLE heap REPLICA IDENTITY FULL").expect("alters");
    capture.run("check", &[]).expect(0, &[]);

    capture.write("tables = [\"public.fine\", \"public.later\"]\noutbox = \"public.nowhere\"\n", "");
    let checked = capture.run("check", &[]).expect(5, &[]);
    assert!(checked.stdout.contains("public.later") && checked.stdout.contains("public.nowhere"), "{}", checked.stdout);
}

/// GIVEN a slot that somebody else reads, THEN the relay waits, says so, and
/// reads on when that one is gone; if it has moved the slot, it is refused.
#[test]
fn a_slot_in_use_is_waited_for() {
    let database = Database::with_outbox();
    let theirs = Capture::new(&database, SOURCE);
    let ours = Capture::partitioned(&database, SOURCE, 1);
    ours.write(&format!("{SOURCE}slot = \"{0}\"\npublication = \"{0}\"", theirs.slot), "");
    let holder = theirs.start();
    // Holds it, and moves it no more.
    holder.signal("STOP");
    let waiting = Relay::start(&ours.args("run", &[]));
    waiting.await_log("another process reads the slot");
    insert(&database, "a");
    holder.kill();
    waiting.await_log("reading the log");
    let mut consumer = ours.consumer();
    consumer.until("what was committed meanwhile", PATIENCE, |r| r.len() == 1);
    waiting.stop().expect(0, &[]);

    insert(&database, "b");
    theirs.drain().expect(5, &["[slot-ahead]", &theirs.slot]);
}

/// GIVEN two relays of one pipeline, WHEN the one at work is killed, THEN the
/// other takes over and nothing is lost.
#[test]
fn a_standby_takes_over() {
    let database = Database::with_outbox();
    let capture = Capture::new(&database, SOURCE);
    let first = capture.start();
    let second = Relay::start(&capture.args("run", &[]));
    second.await_log("standing by");
    let mut consumer = capture.consumer();
    insert(&database, "a");
    consumer.until("the first", PATIENCE, |r| r.len() == 1);
    first.kill();
    insert(&database, "b");
    consumer.until("the second", PATIENCE, |r| r.iter().any(|m| m.key.as_deref() == Some("b")));
    second.stop().expect(0, &[]);
}

/// GIVEN a server with TLS, THEN the stream is encrypted and verified like any
/// session; who may not replicate is told what is missing.
#[test]
fn who_may_connect_and_how() {
    let postgres = Postgres::start("postgres-cdc-tls", &["--tls"]);
    let database = Database::on(&postgres.url);
    database.init(&[]);
    let capture = Capture::new(&database, SOURCE);
    let with = |url: &str| {
        let config = std::fs::read_to_string(capture.config()).expect("reads");
        let at = config.find("url = ").expect("a URL");
        let end = at + config[at..].find('\n').expect("a line");
        std::fs::write(capture.config(), format!("{}url = \"{url}\"{}", &config[..at], &config[end..])).expect("writes");
    };
    let ca = postgres.ca.as_deref().expect("a CA");
    with(&format!("{}?sslmode=verify-full&sslrootcert={ca}", database.url));
    let relay = capture.start();
    let mut client = database.connect();
    let sql = "SELECT ssl FROM pg_stat_ssl JOIN pg_replication_slots ON active_pid = pid WHERE slot_name = $1";
    assert!(client.query_one(sql, &[&capture.slot]).expect("a walsender").get::<_, bool>(0), "encrypted");
    relay.stop().expect(0, &[]);
    with(&format!("{}?sslmode=verify-full", database.url));
    refused(&capture, &["[database-unusable]", "TLS failed"]);

    with(&database.url.replacen("relay:relay@", "relay:wr0ng@", 1));
    let said = capture.run("run", &[]).expect(5, &["[database-unusable]", "password"]).stderr;
    assert!(!said.contains("wr0ng"), "no secret in the output");
    client.batch_execute("CREATE ROLE plain LOGIN PASSWORD 'plain'").expect("creates");
    with(&database.url.replacen("relay:relay@", "plain:plain@", 1));
    capture.run("run", &[]).expect(5, &["[database-unusable]", "REPLICATION", &capture.slot]);
    capture.init(&["--apply"]).expect(0, &[]);
    // The least that works.
    client.batch_execute("ALTER ROLE plain REPLICATION").expect("alters");
    capture.drain().expect(0, &[]);
}
