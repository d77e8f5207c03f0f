//! Property: an outbox table read from the log is routed as Debezium's outbox
//! event router does it, option by option.

use crate::support::cdc::{Capture, texts};
use crate::support::consumer::{Consumer, Received, create_topic};
use crate::support::database::Database;
use crate::support::relay::Relay;
use crate::support::{services, unique};

/// Debezium's table (source: Debezium documentation, *Outbox Event Router*, "Basic outbox table").
const TABLE: &str = "CREATE TABLE outboxevent (
  id            uuid         NOT NULL PRIMARY KEY,
  aggregatetype varchar(255) NOT NULL,
  aggregateid   varchar(255) NOT NULL,
  type          varchar(255) NOT NULL,
  payload       jsonb
)";

/// And the row of its example.
const ID: &str = "406c07f3-26f0-4eea-a50c-109940064b8f";
const PAYLOAD: &str = r#"{"id": 1, "lineItems": [{"id": 1, "item": "Debezium in Action", "status": "ENTERED", "quantity": 2, "totalPrice": 39.98}, {"id": 2, "item": "Debezium for Dummies", "status": "ENTERED", "quantity": 1, "totalPrice": 29.99}], "orderDate": "2019-01-31T12:13:01", "customerId": 123}"#;

const OUTBOX: &str = "outbox = \"public.outboxevent\"\n";

/// A database with Debezium's table, with these columns beside.
fn database(columns: &str) -> Database {
    let database = Database::new();
    let mut client = database.connect();
    client.batch_execute(TABLE).expect("creates");
    if !columns.is_empty() {
        client.batch_execute(&format!("ALTER TABLE outboxevent {columns}")).expect("alters");
    }
    database
}

/// A pipeline with this in `[source.router]`.
fn capture(database: &Database, router: &str) -> Capture {
    Capture::new(database, &format!("{OUTBOX}[source.router]\n{router}"))
}

/// Inserts a row with id `n`, key `k<n>`, and the rest as SQL.
fn insert(database: &Database, n: u32, columns: &str, values: &str) {
    let sql = format!(
        "INSERT INTO outboxevent (id, aggregatetype, aggregateid, type{columns}) VALUES ('{}', 'Order', 'k{n}', 'OrderCreated'{values})",
        uuid::Uuid::from_u128(n.into())
    );
    database.connect().batch_execute(&sql).expect("inserts");
}

fn names(message: &Received) -> Vec<&str> {
    message.headers.iter().map(|(name, _)| name.as_str()).collect()
}

/// GIVEN Debezium's own example, table, row and default options, WHEN the row is
/// inserted, updated and deleted, THEN there is one message, the one that
/// Debezium makes; the update is said once and the delete is nothing.
#[test]
fn debezium_s_own_example() {
    let database = database("");
    let capture = Capture::new(&database, OUTBOX);
    let mut client = database.connect();
    client.batch_execute(&format!("INSERT INTO outboxevent VALUES ('{ID}', 'Order', '1', 'OrderCreated', '{PAYLOAD}')")).expect("inserts");
    client.batch_execute("UPDATE outboxevent SET type = 'x'; DELETE FROM outboxevent").expect("changes");
    // The default topic, and nothing beside Debezium's header.
    let config = std::fs::read_to_string(capture.config()).expect("reads");
    let topic = format!("topic = \"{}\"", capture.name);
    let config = config.replace(&topic, "trace_headers = false\ncreate_topics = { partitions = 1 }");
    std::fs::write(capture.config(), config).expect("writes");
    let said = capture.drain().expect(0, &["events=1 messages=1", "an outbox row was updated"]).stderr;
    assert_eq!(said.matches("an outbox row was updated").count(), 1);
    // A broker that outlives the tests has it of each run.
    let mut consumer = Consumer::new(&["outbox.event.Order"]);
    let message = consumer.read_to_end().last().expect("a message");
    assert_eq!(texts(std::slice::from_ref(message)), [(Some("1"), Some(PAYLOAD))]);
    assert_eq!(message.headers, [("id".to_owned(), Some(ID.as_bytes().to_vec()))]);
}

/// GIVEN columns placed as header, in the envelope and as partition, with and
/// without alias, THEN each is there; a NULL is an empty header, a null member,
/// and a partition by key.
#[test]
fn additional_columns() {
    let database = database("ADD tenant text, ADD shard int, ADD tries int8, ADD ok bool, ADD raw bytea, ADD version int4");
    let router = r#"schema_version = "version"
        additional = ["type:header:eventType", "tenant:header", "ok:header", "raw:header", "tenant:envelope:tenantId", "tries:envelope", "shard:partition"]"#;
    let capture = Capture::partitioned(&database, &format!("{OUTBOX}[source.router]\n{router}"), 3);
    capture.init(&["--apply"]).expect(0, &[]);
    let columns = ", payload, tenant, shard, tries, ok, raw, version";
    insert(&database, 1, columns, r#", '{"a": [1]}', 'acme', 2, 9007199254740993, true, '\x00ff', 7"#);
    insert(&database, 2, columns, ", NULL, NULL, NULL, NULL, NULL, NULL, NULL");
    insert(&database, 3, columns, r#", '{"a": [1]}', 'acme', 0, 1, false, '\x', 1"#);
    let mut received = capture.publish();
    received.sort_by_key(|m| m.key.clone());
    assert_eq!(received.len(), 3);
    let payload = |n: usize| texts(&received)[n].1.expect("a payload").to_owned();
    assert_eq!(payload(0), r#"{"payload":"{\"a\": [1]}","tenantId":"acme","tries":9007199254740993}"#);
    assert_eq!(payload(1), r#"{"payload":null,"tenantId":null,"tries":null}"#);
    assert_eq!(names(&received[0]), ["id", "relay-position", "schemaVersion", "eventType", "tenant", "ok", "raw"]);
    let headers = |n: usize| ["schemaVersion", "eventType", "tenant", "ok", "raw"].map(|name| received[n].header(name));
    assert_eq!(headers(0), ["7", "OrderCreated", "acme", "true", "AP8="].map(|v| Some(v.to_owned())));
    assert_eq!(headers(1), [None, Some("OrderCreated".to_owned()), None, None, None]);
    assert_eq!((received[0].partition, received[2].partition), (2, 0));
    let by_key = i32::try_from(murmur2(b"k2") & 0x7fff_ffff).expect("positive") % 3;
    assert_eq!(received[1].partition, by_key, "a NULL goes by key");

    insert(&database, 4, columns, ", NULL, NULL, 3, NULL, NULL, NULL, NULL");
    capture.drain().expect(7, &["[message-refused]", "partition", &uuid::Uuid::from_u128(4).to_string()]);
}

/// Kafka's hash (source: Kafka, `Utils.murmur2`).
fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut h = 0x9747_b28c ^ u32::try_from(data.len()).expect("short");
    let (words, tail) = data.as_chunks::<4>();
    for word in words {
        let k = u32::from_le_bytes(*word).wrapping_mul(M);
        h = h.wrapping_mul(M) ^ (k ^ (k >> 24)).wrapping_mul(M);
    }
    for (n, byte) in tail.iter().enumerate() {
        h ^= u32::from(*byte) << (8 * n);
    }
    if !tail.is_empty() {
        h = h.wrapping_mul(M);
    }
    h = (h ^ (h >> 13)).wrapping_mul(M);
    h ^ (h >> 15)
}

/// GIVEN `expand_json`, THEN objects and arrays stand in the envelope as such;
/// what only looks like JSON stays a string.
#[test]
fn json_is_expanded_in_the_envelope() {
    let database = database("ALTER payload TYPE text");
    let capture = capture(&database, "expand_json = true\nadditional = [\"type:envelope:eventType\"]");
    for (n, payload) in [(1, r#"{"a": 1.50}"#), (2, "[1, 2]"), (3, "7"), (4, "{broken"), (5, " {\"b\":[]} ")] {
        insert(&database, n, ", payload", &format!(", '{payload}'"));
    }
    let received = capture.publish();
    let payloads: Vec<_> = texts(&received).into_iter().map(|(_, payload)| payload.expect("a payload")).collect();
    assert_eq!(
        payloads,
        [r#"{"a": 1.50}"#, "[1, 2]", r#""7""#, r#""{broken""#, " {\"b\":[]} "]
            .map(|payload| format!(r#"{{"payload":{payload},"eventType":"OrderCreated"}}"#))
    );
}

/// GIVEN payloads of which nothing is left, THEN they are tombstones where that
/// is asked for; a NULL always is one, unless there is an envelope.
#[test]
fn empty_payloads() {
    let database = database("ALTER payload TYPE text");
    let capture = capture(&database, "");
    let insert_all = || {
        for (n, payload) in [(1, "''"), (2, "E' \\n\\t'"), (3, "NULL"), (4, "'x'")] {
            insert(&database, n, ", payload", &format!(", {payload}"));
        }
        database.connect().batch_execute("TRUNCATE outboxevent").expect("truncates");
    };
    insert_all();
    let payloads = |received: &[Received]| texts(received).iter().map(|(_, p)| p.map(str::to_owned)).collect::<Vec<_>>();
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(payloads(&capture.publish()), [text(""), text(" \n\t"), None, text("x")]);
    capture.write(&format!("{OUTBOX}[source.router]\ntombstone_on_empty = true"), "");
    insert_all();
    assert_eq!(payloads(&capture.publish()[4..]), [None, None, None, text("x")]);
    capture.write(&format!("{OUTBOX}[source.router]\ntombstone_on_empty = true\nadditional = [\"type:envelope\"]"), "");
    insert_all();
    assert_eq!(payloads(&capture.publish()[8..]), [None, None, None, text(r#"{"payload":"x","type":"OrderCreated"}"#)]);
}

/// GIVEN a payload of bytes and a numeric key, THEN the value is those bytes and
/// the key its digits; a NULL key is none.
#[test]
fn bytes_and_other_keys() {
    let database = database("ALTER payload TYPE bytea USING NULL, ALTER aggregateid TYPE int8 USING 0, ALTER aggregateid DROP NOT NULL");
    let capture = capture(&database, "");
    let mut client = database.connect();
    client
        .batch_execute(
            r"INSERT INTO outboxevent VALUES (gen_random_uuid(), 'Order', 54321, 'X', '\x00ff0a'), (gen_random_uuid(), 'Order', NULL, 'X', '\x')",
        )
        .expect("inserts");
    let received = capture.publish();
    let seen: Vec<_> = received.iter().map(|m| (m.key.as_deref(), m.payload.as_deref())).collect();
    assert_eq!(seen, [(Some("54321"), Some([0, 0xff, 0x0a].as_slice())), (None, Some([].as_slice()))]);
}

/// GIVEN `on_update = "fatal"`, WHEN a row is updated, THEN the relay halts there,
/// with what was before it published and nothing behind it.
#[test]
fn an_update_that_halts() {
    let database = database("");
    let capture = capture(&database, "on_update = \"fatal\"");
    insert(&database, 1, "", "");
    database.connect().batch_execute("UPDATE outboxevent SET type = 'secret'").expect("updates");
    insert(&database, 2, "", "");
    let said = capture.drain().expect(7, &["[bad-event]", "table=public.outboxevent", "position=", "on_update"]).stderr;
    assert!(!said.contains("secret"), "no content in the log");
    assert_eq!(texts(capture.consumer().read_to_end()), [(Some("k1"), None)]);
    // As the remedy says.
    capture.write(&format!("{OUTBOX}[source.router]\non_update = \"error\""), "");
    let keys: Vec<_> = capture.publish().into_iter().map(|m| m.key.expect("a key")).collect();
    assert_eq!(keys, ["k1", "k2"]);
}

/// GIVEN an option that names a column the table lacks, THEN start and check say
/// so at once; the first row without it ends the relay.
#[test]
fn a_column_that_is_not_there() {
    let database = database("");
    let capture = Capture::new(&database, OUTBOX);
    for (router, column, option) in [
        ("payload = \"body\"", "`body`", "source.router.payload"),
        ("route_by = \"kind\"", "`kind`", "source.router.route_by"),
        ("schema_version = \"v\"", "`v`", "source.router.schema_version"),
        ("additional = [\"tenant:header\"]", "`tenant`", "source.router.additional"),
    ] {
        capture.write(&format!("{OUTBOX}[source.router]\n{router}"), "");
        capture.drain().expect(0, &[column, option, "public.outboxevent"]);
        let checked = capture.run("check", &[]);
        assert!(checked.code == Some(5) && checked.stdout.contains(column), "{}", checked.stdout);
    }
    // What is in the log may have it still, so the end comes with a row.
    capture.write(OUTBOX, "");
    let relay = capture.start();
    database.connect().batch_execute("ALTER TABLE outboxevent RENAME payload TO body").expect("renames");
    insert(&database, 1, "", "");
    relay.wait().expect(5, &["[database-unusable]", "`payload`", "public.outboxevent"]);
}

/// GIVEN the table that `relay init --apply` makes, WHEN it is read from the log
/// by flags alone, THEN headers, key and time are its columns', and rows stay.
#[test]
fn the_relay_s_own_table_by_flags_alone() {
    // Flags alone mean the slot `relay`, of which a server has one.
    let server = services::Postgres::start("postgres-cdc-flags", &[]);
    let database = Database::on(&server.url);
    database.init(&[]);
    database.init(&["--cdc"]);
    let sql = r#"INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, headers)
                 VALUES ('order', 'a', 'Placed', '{"n": 1}', '{"traceparent": "00-1", "n": 2}') RETURNING id"#;
    let id: uuid::Uuid = database.connect().query_one(sql, &[]).expect("inserts").get(0);
    let topic = unique("flags");
    create_topic(&topic, 1, &[]);
    let flags = ["--cdc", "--source", &database.url, "--brokers", &services::kafka().brokers, "--topic", &topic];
    Relay::run(&[&["check"], &flags[..]].concat()).expect(0, &[]);
    Relay::run(&[&["run", "--until-drained"], &flags[..]].concat()).expect(0, &["events=1 messages=1"]);
    Relay::run(&[&["run", "--until-drained"], &flags[..]].concat()).expect(0, &["events=0"]);
    let mut consumer = Consumer::new(&[&topic]);
    let received = consumer.read_to_end();
    assert_eq!(texts(received), [(Some("a"), Some(r#"{"n": 1}"#))]);
    assert_eq!(received[0].id(), id.to_string());
    assert_eq!((received[0].header("traceparent").as_deref(), received[0].header("n").as_deref()), (Some("00-1"), Some("2")));
    assert_eq!(database.rows(), 1, "rows are the application's to delete");
}
