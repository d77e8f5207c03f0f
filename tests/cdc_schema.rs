//! Property: tables change under a running relay, and each row comes in the
//! shape it was written in.

use crate::support::cdc::{Capture, position, texts};
use crate::support::consumer::Received;
use crate::support::database::Database;
use crate::support::relay::PATIENCE;

/// In the order of the log: between keys the topic has none.
fn in_order(received: &[Received]) -> Vec<Received> {
    let mut received = received.to_vec();
    received.sort_by_key(position);
    received
}

/// GIVEN a relay at work, WHEN columns are added, dropped and renamed, types
/// made, identities and names of tables changed, THEN it goes on, and each row
/// has the columns and types of its moment.
#[test]
fn a_table_that_changes_under_the_relay() {
    let database = Database::new();
    let mut client = database.connect();
    client.batch_execute("CREATE TABLE t (id int PRIMARY KEY, a text)").expect("creates");
    let capture = Capture::new(&database, "tables = [\"public.*\"]\n");
    let relay = capture.start();
    let mut consumer = capture.consumer();
    let steps = [
        ("INSERT INTO t VALUES (1, 'x')", Some(r#"{"id":1}"#), Some(r#"{"id":1,"a":"x"}"#)),
        ("ALTER TABLE t ADD b int DEFAULT 5; INSERT INTO t VALUES (2, 'x')", Some(r#"{"id":2}"#), Some(r#"{"id":2,"a":"x","b":5}"#)),
        ("ALTER TABLE t DROP a; INSERT INTO t VALUES (3, 6)", Some(r#"{"id":3}"#), Some(r#"{"id":3,"b":6}"#)),
        ("ALTER TABLE t ALTER b TYPE text; UPDATE t SET b = 'y' WHERE id = 3", Some(r#"{"id":3}"#), Some(r#"{"id":3,"b":"y"}"#)),
        (
            "CREATE TYPE mood AS ENUM ('fine'); ALTER TABLE t ADD m mood; INSERT INTO t VALUES (4, 'z', 'fine')",
            Some(r#"{"id":4}"#),
            Some(r#"{"id":4,"b":"z","m":"fine"}"#),
        ),
        ("ALTER TYPE mood ADD VALUE 'sad'", None, None),
        ("INSERT INTO t VALUES (5, NULL, 'sad')", Some(r#"{"id":5}"#), Some(r#"{"id":5,"b":null,"m":"sad"}"#)),
        (
            "CREATE DOMAIN years AS int8[]; ALTER TABLE t ADD y years, DROP m; INSERT INTO t VALUES (6, NULL, '{1,2}')",
            Some(r#"{"id":6}"#),
            Some(r#"{"id":6,"b":null,"y":[1,2]}"#),
        ),
        // One that is gone again when its row is read.
        (
            "CREATE TYPE brief AS ENUM ('q'); ALTER TABLE t ADD q brief; INSERT INTO t VALUES (7, NULL, NULL, 'q'); ALTER TABLE t DROP q; DROP TYPE brief",
            Some(r#"{"id":7}"#),
            Some(r#"{"id":7,"b":null,"y":null,"q":"q"}"#),
        ),
        ("ALTER TABLE t RENAME b TO bb; INSERT INTO t VALUES (8, 'r', NULL)", Some(r#"{"id":8}"#), Some(r#"{"id":8,"bb":"r","y":null}"#)),
        ("ALTER TABLE t REPLICA IDENTITY FULL; DELETE FROM t WHERE id = 8", Some(r#"{"id":8}"#), None),
        ("ALTER TABLE t RENAME TO v; INSERT INTO v VALUES (9, 's', NULL)", Some(r#"{"id":9}"#), Some(r#"{"id":9,"bb":"s","y":null}"#)),
    ];
    let mut wanted = Vec::new();
    for (sql, key, row) in steps {
        // One transaction each: change of shape and row stand together.
        client.batch_execute(sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
        if key.is_some() {
            wanted.push((key, row));
        }
        // Some are read at once, others in one go with what follows.
        if wanted.len() % 2 == 0 {
            consumer.until(sql, PATIENCE, |r| r.len() >= wanted.len());
            assert_eq!(texts(&in_order(&consumer.received)), wanted, "after {sql}");
        }
    }
    consumer.until("all", PATIENCE, |r| r.len() >= wanted.len());
    assert_eq!(texts(&in_order(consumer.read_to_end())), wanted);
    relay.stop().expect(0, &[]);
}

/// GIVEN a backlog over several shapes of its table, WHEN a relay starts behind
/// it, THEN each row still has the shape it was written in.
#[test]
fn a_backlog_over_changes_of_shape() {
    let database = Database::new();
    let mut client = database.connect();
    client.batch_execute("CREATE TYPE mood AS ENUM ('fine'); CREATE TABLE t (id int PRIMARY KEY, m mood)").expect("creates");
    let capture = Capture::new(&database, "tables = [\"public.*\"]\n");
    for sql in [
        "INSERT INTO t VALUES (1, 'fine')",
        "ALTER TABLE t ALTER m TYPE text; INSERT INTO t VALUES (2, 'text')",
        "ALTER TABLE t DROP m, ADD n numeric(9,3); INSERT INTO t VALUES (3, 1.5)",
        "ALTER TABLE t RENAME TO moved; INSERT INTO moved VALUES (4, 2)",
        "DROP TABLE moved; DROP TYPE mood",
    ] {
        client.batch_execute(sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
    }
    // The pattern now matches nothing that is there, which start must survive.
    let received = capture.publish();
    let rows: Vec<_> = texts(&received).into_iter().map(|(_, row)| row.expect("a row")).collect();
    assert_eq!(rows, [r#"{"id":1,"m":"fine"}"#, r#"{"id":2,"m":"text"}"#, r#"{"id":3,"n":"1.500"}"#, r#"{"id":4,"n":"2.000"}"#]);
}
