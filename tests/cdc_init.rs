//! Property: `relay init --cdc` makes what is missing and nothing else, and takes
//! over a slot exactly where it stands.

use crate::support::cdc::{Capture, texts};
use crate::support::database::Database;
use crate::support::relay::PATIENCE;

const SOURCE: &str = "tables = [\"public.*\"]\n";

fn made(database: &Database, capture: &Capture) -> (bool, bool) {
    let sql =
        "SELECT EXISTS (SELECT FROM pg_publication WHERE pubname = $1), EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = $1)";
    let row = database.connect().query_one(sql, &[&capture.slot]).expect("asks");
    (row.get(0), row.get(1))
}

/// GIVEN a database without publication and slot, THEN init prints what it would
/// do, does it when asked to, and finds nothing more to do; a new table is added.
#[test]
fn it_makes_what_is_missing() {
    let database = Database::new();
    let mut client = database.connect();
    client.batch_execute("CREATE TABLE \"Odd \"\"name\" (id int PRIMARY KEY)").expect("creates");
    let capture = Capture::partitioned(&database, SOURCE, 1);
    let printed = capture.init(&[]).expect(0, &[]).stdout;
    let (publication, slot) = (printed.find("CREATE PUBLICATION"), printed.find("pg_create_logical_replication_slot"));
    assert!(publication.is_some() && publication < slot, "the publication first:\n{printed}");
    assert_eq!(made(&database, &capture), (false, false), "only printed");
    capture.init(&["--apply"]).expect(0, &["ready for `relay run`"]);
    assert_eq!(made(&database, &capture), (true, true));
    let confirmed = "SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = $1";
    let before: String = client.query_one(confirmed, &[&capture.slot]).expect("a slot").get(0);
    assert_eq!(capture.init(&[]).expect(0, &[]).stdout, "");
    capture.init(&["--apply"]).expect(0, &["ready for `relay run`"]);
    assert_eq!(before, client.query_one(confirmed, &[&capture.slot]).expect("a slot").get::<_, String>(0), "where it stood");

    client.batch_execute("CREATE TABLE later (id int PRIMARY KEY)").expect("creates");
    let printed = capture.init(&[]).expect(0, &[]).stdout;
    assert!(printed.contains("ALTER PUBLICATION") && printed.contains("later") && !printed.contains("Odd"), "{printed}");
    // What it prints can be run as it is.
    client.batch_execute(&printed).expect("runs");
    assert_eq!(capture.init(&[]).expect(0, &[]).stdout, "");
    client.batch_execute("INSERT INTO \"Odd \"\"name\" VALUES (1); INSERT INTO later VALUES (2)").expect("inserts");
    let received = capture.publish();
    let mut rows = texts(&received);
    rows.sort_unstable();
    assert_eq!(rows, [1, 2].map(|n| [r#"{"id":1}"#, r#"{"id":2}"#][n - 1]).map(|row| (Some(row), Some(row))));

    capture.write("tables = [\"public.nothing_*\"]\n", "");
    capture.init(&["--apply"]).expect(5, &["no table matches `public.nothing_*`"]);
}

/// GIVEN no outbox table, THEN init makes Debezium's, with the names that are
/// mapped, and what is inserted there comes.
#[test]
fn it_makes_the_outbox_too() {
    let database = Database::new();
    let capture = Capture::new(&database, "outbox = \"events\"\n[source.router]\npayload = \"body\"\nkey = \"key\"\n");
    database.connect().batch_execute("INSERT INTO events (aggregatetype, key, type, body) VALUES ('o', 'k', 'X', '{}')").expect("inserts");
    assert_eq!(texts(&capture.publish()), [(Some("k"), Some("{}"))]);
}

/// GIVEN a slot that another made and has read in part, WHEN it is adopted, THEN
/// its backlog is published, exactly; while it is read, or if it is not there,
/// or without its publication, it is refused.
#[test]
fn a_slot_is_adopted_where_it_stands() {
    let database = Database::new();
    let mut client = database.connect();
    client.batch_execute("CREATE TABLE t (id int PRIMARY KEY)").expect("creates");
    let capture = Capture::partitioned(&database, SOURCE, 1);
    let (slot, publication) = (format!("{}_debezium", capture.slot), "dbz_publication");
    capture.write(&format!("{SOURCE}slot = \"{slot}\"\npublication = \"{publication}\""), "");
    let adopt = |flags: &[&str]| capture.init(&[&["--adopt-slot"], flags].concat());
    adopt(&["--apply"]).expect(5, &["[slot-missing]", &slot]);
    client.batch_execute("INSERT INTO t VALUES (0)").expect("inserts");
    client.query("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", &[&slot]).expect("creates");
    adopt(&[]).expect(5, &["the publication does not exist", publication]);
    client.query("SELECT pg_drop_replication_slot($1)", &[&slot]).expect("drops");
    client.batch_execute("CREATE PUBLICATION dbz_publication FOR ALL TABLES").expect("creates");
    client.query("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", &[&slot]).expect("creates");
    client.batch_execute("INSERT INTO t VALUES (1)").expect("inserts");
    client.batch_execute("INSERT INTO t VALUES (2)").expect("inserts");
    // Another has read the first of them.
    let read = "SELECT pg_logical_slot_get_binary_changes($1, NULL, 1, 'proto_version', '1', 'publication_names', 'dbz_publication')";
    client.query(read, &[&slot]).expect("reads");
    client.batch_execute("INSERT INTO t VALUES (3)").expect("inserts");
    let said = adopt(&[]).expect(0, &["ready for `relay run`", &slot]);
    assert_eq!(said.stdout, "", "nothing to do");

    let relay = capture.start();
    adopt(&["--apply"]).expect(5, &["[database-unusable]", "is being read by process", &slot]);
    let mut consumer = capture.consumer();
    consumer.until("the backlog", PATIENCE, |r| r.len() >= 2);
    client.batch_execute("INSERT INTO t VALUES (4)").expect("inserts");
    consumer.until("what follows", PATIENCE, |r| r.len() >= 3);
    relay.stop().expect(0, &[]);
    let mut keys: Vec<_> = consumer.read_to_end().iter().map(|m| m.key.clone().expect("a key")).collect();
    keys.sort_unstable();
    assert_eq!(keys, [2, 3, 4].map(|id| format!("{{\"id\":{id}}}")));
    let slots = client.query("SELECT FROM pg_replication_slots WHERE database = current_database()", &[]).expect("asks");
    assert_eq!(slots.len(), 1, "no other was made");
}
