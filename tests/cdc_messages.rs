//! Property: `pg_logical_emit_message` is an outbox without a table: prefixes
//! that are asked for are events, in order with rows, and no other is.

use crate::support::cdc::{Capture, position, texts};
use crate::support::database::Database;

const MESSAGES: &str = "messages = [\"orders.\", \"audit\"]\n";

/// Emits messages in one transaction, `(transactional, prefix, content)`.
fn emit(database: &Database, messages: &[(bool, &str, &str)]) {
    let mut client = database.connect();
    let mut tx = client.transaction().expect("begins");
    for (transactional, prefix, content) in messages {
        tx.execute("SELECT pg_logical_emit_message($1, $2, $3::text)", &[transactional, prefix, content]).expect("emits");
    }
    tx.commit().expect("commits");
}

/// GIVEN messages of several prefixes, transactional and not, WHEN the log is
/// read, THEN those asked for come with key, payload, headers and id of their
/// envelope; those of a transaction rolled back only if they are not part of it.
#[test]
fn messages_by_prefix() {
    let database = Database::new();
    let capture = Capture::new(&database, MESSAGES);
    let placed = r#"{"id":"e-1","aggregate_type":"order","aggregate_id":"o1","event_type":"Placed","headers":{"trace":"t","n":1},"payload":{"n":  1}}"#;
    emit(&database, &[(true, "orders.placed", placed), (true, "order", "ignored"), (true, "audit", r#"{"payload":null}"#)]);
    emit(&database, &[(false, "orders.viewed", r#"{"aggregate_id":"o2","payload":[1]}"#), (false, "noise", "x")]);
    let mut client = database.connect();
    let mut tx = client.transaction().expect("begins");
    tx.batch_execute("SELECT pg_logical_emit_message(true, 'orders.x', '{}'), pg_logical_emit_message(false, 'orders.y', '{}')")
        .expect("emits");
    tx.rollback().expect("rolls back");
    // What is not transactional is in the log only once something flushes it.
    emit(&database, &[(true, "other", "")]);

    let received = capture.publish();
    assert_eq!(texts(&received), [(Some("o1"), Some(r#"{"n":  1}"#)), (None, None), (Some("o2"), Some("[1]")), (None, None)]);
    let first = &received[0];
    assert_eq!((first.id().as_str(), first.header("trace").as_deref(), first.header("n").as_deref()), ("e-1", Some("t"), Some("1")));
    let places: Vec<_> = received.iter().map(position).collect();
    // Ordinals count what was filtered out, too.
    assert_eq!((places[0].1, places[1].1, places[2].1), (0, 4, 0));
    assert_eq!(places[0].0, places[1].0, "one transaction");
    assert!(places[1].0 < places[2].0 && places[2].0 < places[3].0, "{places:?}");
    // An id of its own where the sender gave none: the place in the log.
    assert_eq!(received[1].id(), format!("{:X}/{:X}:4", places[1].0 >> 32, places[1].0 & 0xffff_ffff));
    assert!(capture.drain().expect(0, &[]).stderr.contains("events=0"), "read once");
}

/// GIVEN `message_format = "raw"`, THEN the value is the bytes as they are.
#[test]
fn raw_messages() {
    let database = Database::new();
    let capture = Capture::new(&database, &format!("{MESSAGES}message_format = \"raw\""));
    database
        .connect()
        .batch_execute(r"SELECT pg_logical_emit_message(true, 'audit', '\x00ff'::bytea), pg_logical_emit_message(true, 'audit.more', '')")
        .expect("emits");
    let received = capture.publish();
    let seen: Vec<_> = received.iter().map(|m| (m.key.as_deref(), m.payload.as_deref())).collect();
    assert_eq!(seen, [(None, Some([0, 0xff].as_slice())), (None, Some([].as_slice()))]);
}

/// GIVEN a message that is no envelope, THEN the relay halts there, names prefix
/// and position, and shows nothing of it; what is before it is published.
#[test]
fn a_message_that_is_no_envelope() {
    for content in ["s3cret", r#"{"s3cret":1}"#, r#"{"payload":"s3cret""#, r#"{"headers":"s3cret"}"#, "[\"s3cret\"]"] {
        let database = Database::new();
        let capture = Capture::new(&database, MESSAGES);
        emit(&database, &[(true, "audit", "{\"payload\":1}"), (true, "orders.bad", content), (true, "audit", "{\"payload\":2}")]);
        let said = capture.drain().expect(7, &["[bad-event]", "prefix=orders.bad", "position=", "slot=", "message_format"]).stderr;
        assert!(!said.contains("s3cret"), "{said}");
        let mut consumer = capture.consumer();
        assert_eq!(texts(consumer.read_to_end()), [(None, Some("1"))]);
        let place = position(&consumer.received[0]);
        assert!(said.contains(&format!("position={}/2", place.0)), "{place:?}: {said}");
    }
}

/// GIVEN messages outside of transactions, one right behind the other in the
/// log, WHEN the relay ends between them, THEN the next start goes on with the
/// second: what is confirmed to the server covers the first and no more.
#[test]
fn neighbours_in_the_log_are_told_apart() {
    let database = Database::new();
    let capture = Capture::new(&database, MESSAGES);
    emit(&database, &[(false, "audit", r#"{"payload":0}"#), (false, "audit", "broken"), (false, "audit", "last")]);
    emit(&database, &[(true, "other", "")]);
    capture.drain().expect(7, &["[bad-event]"]);
    assert_eq!(texts(capture.consumer().read_to_end()), [(None, Some("0"))]);
    capture.write(&format!("{MESSAGES}message_format = \"raw\""), "");
    assert_eq!(texts(&capture.publish()), [(None, Some("0")), (None, Some("broken")), (None, Some("last"))]);
}

/// GIVEN a message outside of the transaction that emits it, right before its
/// commit, THEN it has a place and an id of its own.
#[test]
fn a_message_right_before_a_commit() {
    let database = Database::new();
    let capture = Capture::new(&database, &format!("{MESSAGES}message_format = \"raw\""));
    emit(&database, &[(true, "audit", "inside"), (false, "audit", "outside")]);
    emit(&database, &[(true, "audit", "inside")]);
    let received = capture.publish();
    assert_eq!(texts(&received).iter().map(|(_, payload)| payload.expect("one")).collect::<Vec<_>>(), ["outside", "inside", "inside"]);
    let places: std::collections::BTreeSet<_> = received.iter().map(|m| (position(m), m.id())).collect();
    assert_eq!(places.len(), 3, "{places:?}");
}
