//! Property: row changes of any table come as they were committed: keys from the
//! replica identity, nothing made up for what Postgres did not send.

use crate::support::cdc::{Capture, position, texts};
use crate::support::consumer::Received;
use crate::support::database::Database;
use serde_json::{Value, json};

const ALL: &str = "tables = [\"public.*\"]\n";

/// A database with these tables.
fn database(sql: &str) -> Database {
    let database = Database::new();
    execute(&database, sql);
    database
}

/// Runs statements in one transaction.
fn execute(database: &Database, sql: &str) {
    database.connect().batch_execute(sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
}

/// Key and row of each message, read as JSON.
fn rows(received: &[Received]) -> Vec<(Value, Value)> {
    let read = |text: Option<&str>| text.map_or(Value::Null, |text| serde_json::from_str(text).expect("JSON"));
    texts(received).into_iter().map(|(key, payload)| (read(key), read(payload))).collect()
}

/// GIVEN every operation on a table with a primary key, THEN each is one event,
/// a key change two, with positions that count changes and ids made of them.
#[test]
fn every_operation() {
    let database = database("CREATE TABLE item (name text, id int PRIMARY KEY, note text)");
    let capture = Capture::new(&database, ALL);
    execute(
        &database,
        "INSERT INTO item VALUES ('a', 1, NULL), ('b', 2, '');
         UPDATE item SET name = 'A' WHERE id = 1;
         UPDATE item SET id = 3 WHERE id = 2;
         DELETE FROM item WHERE id = 1",
    );
    execute(&database, "INSERT INTO item VALUES ('later', 1, 'x')");
    let by_place = capture.publish();
    let insert = |name: &str, id: i32, note: Value| (Some(json!({ "id": id })), json!({ "name": name, "id": id, "note": note }));
    let wanted = [
        insert("a", 1, Value::Null),
        insert("b", 2, json!("")),
        insert("A", 1, Value::Null),
        (Some(json!({ "id": 2 })), Value::Null),
        insert("b", 3, json!("")),
        (Some(json!({ "id": 1 })), Value::Null),
        insert("later", 1, json!("x")),
    ];
    assert_eq!(rows(&by_place), wanted.map(|(key, row)| (key.unwrap_or_default(), row)));
    // As text, column by column in the table's order, a delete being a tombstone.
    assert_eq!(texts(&by_place)[0], (Some(r#"{"id":1}"#), Some(r#"{"name":"a","id":1,"note":null}"#)));
    assert_eq!(by_place[3].payload, None);
    let indexes: Vec<_> = by_place.iter().map(|m| position(m).1).collect();
    assert_eq!(indexes, [0, 2, 4, 6, 7, 8, 0]);
    for message in &by_place {
        let (commit, index) = position(message);
        assert_eq!(message.id(), format!("{:X}/{:X}:{index}", commit >> 32, commit & 0xffff_ffff));
    }
    // Order is by key: the two of a key change may come either way.
    let received = capture.consumer().read_to_end().to_vec();
    for id in [1, 2] {
        let key = json!({ "id": id }).to_string();
        let of_key = |messages: &[Received]| messages.iter().filter(|m| m.key.as_deref() == Some(&key)).map(position).collect::<Vec<_>>();
        assert_eq!(of_key(&received), of_key(&by_place), "key {id} in order");
    }
}

/// GIVEN a large value that an UPDATE leaves alone, THEN it is absent, not null,
/// with the default identity, and there with FULL; a key change loses nothing
/// that was sent.
#[test]
fn unchanged_toast() {
    let database = database(
        "CREATE TABLE d (id int PRIMARY KEY, n int, big text, void text);
         CREATE TABLE f (id int PRIMARY KEY, n int, big text, void text);
         ALTER TABLE d ALTER big SET STORAGE EXTERNAL; ALTER TABLE f ALTER big SET STORAGE EXTERNAL;
         ALTER TABLE f REPLICA IDENTITY FULL",
    );
    let capture = Capture::new(&database, ALL);
    for table in ["d", "f"] {
        execute(
            &database,
            &format!(
                "INSERT INTO {table} VALUES (1, 0, repeat('x', 9000), NULL); UPDATE {table} SET n = 1; UPDATE {table} SET id = 2;
                 UPDATE {table} SET big = NULL; DELETE FROM {table}"
            ),
        );
    }
    let received = capture.publish();
    let big = json!("x".repeat(9000));
    let key = |id: i32| json!({ "id": id });
    let whole = |id: i32, n: i32, big: &Value| json!({ "id": id, "n": n, "big": big, "void": null });
    let partial = |id: i32| json!({ "id": id, "n": 1, "void": null });
    assert_eq!(
        rows(&received),
        [
            (key(1), whole(1, 0, &big)),
            (key(1), partial(1)),
            (key(1), Value::Null),
            (key(2), partial(2)),
            (key(2), whole(2, 1, &Value::Null)),
            (key(2), Value::Null),
            (key(1), whole(1, 0, &big)),
            (key(1), whole(1, 1, &big)),
            (key(1), Value::Null),
            (key(2), whole(2, 1, &big)),
            (key(2), whole(2, 1, &Value::Null)),
            (key(2), Value::Null),
        ]
    );
}

/// GIVEN the identity by an index, with all columns but without a key, and with
/// nothing at all, THEN keys are the index's columns, or there are none.
#[test]
fn identities() {
    let database = database(
        "CREATE TABLE by_index (id int PRIMARY KEY, a text NOT NULL, b text NOT NULL, n int);
         CREATE UNIQUE INDEX ab ON by_index (b, a); ALTER TABLE by_index REPLICA IDENTITY USING INDEX ab;
         CREATE TABLE heap (a text, n int); ALTER TABLE heap REPLICA IDENTITY FULL;
         CREATE TABLE nothing (id int PRIMARY KEY, n int); ALTER TABLE nothing REPLICA IDENTITY NOTHING",
    );
    let capture = Capture::new(&database, ALL);
    execute(
        &database,
        "INSERT INTO by_index VALUES (1, 'a', 'b', 0); UPDATE by_index SET n = 1, id = 9; UPDATE by_index SET a = 'z'; DELETE FROM by_index;
         INSERT INTO heap VALUES (NULL, 0); UPDATE heap SET n = 1; DELETE FROM heap;
         INSERT INTO nothing VALUES (7, 0)",
    );
    let received = capture.publish();
    assert_eq!(
        texts(&received),
        [
            (Some(r#"{"a":"a","b":"b"}"#), Some(r#"{"id":1,"a":"a","b":"b","n":0}"#)),
            (Some(r#"{"a":"a","b":"b"}"#), Some(r#"{"id":9,"a":"a","b":"b","n":1}"#)),
            (Some(r#"{"a":"a","b":"b"}"#), None),
            (Some(r#"{"a":"z","b":"b"}"#), Some(r#"{"id":9,"a":"z","b":"b","n":1}"#)),
            (Some(r#"{"a":"z","b":"b"}"#), None),
            (None, Some(r#"{"a":null,"n":0}"#)),
            (None, Some(r#"{"a":null,"n":1}"#)),
            (None, None),
            (Some(r#"{"id":7}"#), Some(r#"{"id":7,"n":0}"#)),
        ]
    );
}

/// GIVEN Debezium's envelope, THEN before, after, operation and source are there;
/// before is the key alone unless the identity is FULL.
#[test]
fn the_envelope() {
    let database = database(
        "CREATE TABLE d (id int PRIMARY KEY, n int);
         CREATE TABLE f (id int PRIMARY KEY, n int); ALTER TABLE f REPLICA IDENTITY FULL",
    );
    let capture = Capture::new(&database, &format!("{ALL}[source.rows]\nformat = \"envelope\"\ntruncate = \"emit\""));
    for table in ["d", "f"] {
        execute(
            &database,
            &format!("INSERT INTO {table} VALUES (1, 0); UPDATE {table} SET n = 1; UPDATE {table} SET id = 2; DELETE FROM {table}"),
        );
    }
    execute(&database, "TRUNCATE d, f");
    let received = capture.publish();
    let changes: Vec<_> = received
        .iter()
        .map(|message| {
            let json = message.json();
            let source = &json["source"];
            assert_eq!(
                (&source["connector"], &source["schema"], &source["snapshot"]),
                (&json!("postgresql"), &json!("public"), &json!("false"))
            );
            assert_eq!(source["lsn"], position(message).0);
            assert!(
                source["txId"].as_u64() > Some(0) && json["ts_ms"] == source["ts_ms"] && json["ts_ms"].as_u64() > Some(1 << 40),
                "{json}"
            );
            (json["op"].as_str().expect("an operation").to_owned(), json["before"].clone(), json["after"].clone())
        })
        .collect();
    let row = |id: i32, n: i32| json!({ "id": id, "n": n });
    let key = |id: i32| json!({ "id": id });
    let change = |op: &str, before: Value, after: Value| (op.to_owned(), before, after);
    assert_eq!(
        changes,
        [
            change("c", Value::Null, row(1, 0)),
            change("u", Value::Null, row(1, 1)),
            change("d", key(1), Value::Null),
            change("c", Value::Null, row(2, 1)),
            change("d", key(2), Value::Null),
            change("c", Value::Null, row(1, 0)),
            change("u", row(1, 0), row(1, 1)),
            change("d", row(1, 1), Value::Null),
            change("c", Value::Null, row(2, 1)),
            change("d", row(2, 1), Value::Null),
            change("t", Value::Null, Value::Null),
            change("t", Value::Null, Value::Null),
        ]
    );
    let tables: Vec<_> = received[10..].iter().map(|m| m.json()["source"]["table"].clone()).collect();
    assert_eq!(tables, ["d", "f"]);
    assert!(received[10..].iter().all(|m| m.key.is_none()));
}

/// GIVEN columns and tables left out by pattern, and a publication wider than
/// the configuration, THEN nothing of them comes, and keys stay whole.
#[test]
fn filters() {
    let database = database(
        "CREATE TABLE kept (id int PRIMARY KEY, secret text, n int, extra text); CREATE TABLE dropped (id int PRIMARY KEY);
         CREATE TABLE old_1 (id int PRIMARY KEY); CREATE SCHEMA other; CREATE TABLE other.kept (id int PRIMARY KEY)",
    );
    let source = "tables = [\"public.*\"]\nexclude = [\"public.old_*\"]\n";
    let capture = Capture::new(&database, source);
    execute(&database, &format!("ALTER PUBLICATION \"{}\" ADD TABLE other.kept", capture.slot));
    let columns = "[source.rows]\ncolumns = { exclude = [\"*.secret\", \"public.kept.id\"] }";
    capture.write(&format!("tables = [\"public.*\"]\nexclude = [\"public.old_*\", \"public.dropped\"]\n{columns}"), "");
    let write = || {
        execute(
            &database,
            "INSERT INTO kept VALUES (1, 's3cret', 1, 'x'); DELETE FROM kept; INSERT INTO dropped VALUES (1); DELETE FROM dropped;
             INSERT INTO old_1 VALUES (1); DELETE FROM old_1; INSERT INTO other.kept VALUES (1); DELETE FROM other.kept",
        );
    };
    write();
    let key = Some(r#"{"id":1}"#);
    assert_eq!(texts(&capture.publish()), [(key, Some(r#"{"n":1,"extra":"x"}"#)), (key, None)]);
    capture.write("tables = [\"public.kept\"]\n[source.rows]\ncolumns = { include = [\"public.kept.n\"] }", "");
    write();
    assert_eq!(texts(&capture.publish()[2..]), [(key, Some(r#"{"n":1}"#)), (key, None)]);
}

/// GIVEN a TRUNCATE, THEN it is nothing but a line in the log, or, where asked
/// for, one event for each table.
#[test]
fn truncates() {
    let database = database("CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY REFERENCES a)");
    let capture = Capture::new(&database, ALL);
    execute(&database, "INSERT INTO a VALUES (1); TRUNCATE a CASCADE");
    capture.drain().expect(0, &["events=1", "table was truncated", "public.a", "public.b"]);
    capture.write(&format!("{ALL}[source.rows]\ntruncate = \"emit\""), "");
    execute(&database, "TRUNCATE a, b; INSERT INTO a VALUES (2)");
    let received = capture.publish();
    let row = (Some(r#"{"id":2}"#), Some(r#"{"id":2}"#));
    let mut seen = texts(&received[1..]);
    seen.sort_unstable();
    assert_eq!(seen, [(None, None), (None, None), row]);
}

/// GIVEN a partitioned table, THEN its changes are those of the table itself.
#[test]
fn partitions_are_their_table() {
    let database = database(
        "CREATE TABLE p (id int, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
         CREATE TABLE p_1 PARTITION OF p FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
         CREATE TABLE p_2 PARTITION OF p FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')",
    );
    let capture = Capture::new(&database, &format!("{ALL}[source.rows]\nformat = \"envelope\""));
    execute(&database, "INSERT INTO p VALUES (1, '2024-05-05'), (2, '2025-05-05')");
    let received = capture.publish();
    let seen: Vec<_> = received.iter().map(|m| (m.json()["source"]["table"].clone(), m.json()["after"]["at"].clone())).collect();
    assert_eq!(seen, [(json!("p"), json!("2024-05-05")), (json!("p"), json!("2025-05-05"))]);
}
