//! Property: memory is bounded in bytes, whatever the number and size of rows.

use crate::support::consumer::{Consumer, create_topic};
use crate::support::database::Database;
use crate::support::relay::Relay;
use crate::support::{component, eventually, services, unique};
use std::time::Duration;

const MIB: u64 = 1 << 20;

/// GIVEN a million rows, WHEN they are drained through a transform, THEN
/// resident memory stays under 150 MB and does not grow with the rows.
#[test]
fn a_million_rows_in_flat_memory() {
    const ROWS: i64 = 1_000_000;
    let database = Database::with_outbox();
    database
        .connect()
        .execute(
            "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)
             SELECT 'o', (i % 1000)::text, 'X', jsonb_build_object('n', i, 'card', '4111', 'fill', repeat('x', 200)) FROM generate_series(1, $1::bigint) i",
            &[&ROWS],
        )
        .expect("inserts");
    let topic = unique("million");
    create_topic(&topic, 4, &[]);
    let redact = component("redact");
    let mut relay = Relay::start(&[
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
    ]);
    let mut peak = 0;
    eventually("a million rows are drained", Duration::from_secs(300), || {
        peak = peak.max(relay.rss().unwrap_or(0));
        relay.ended().is_some()
    });
    relay.wait().expect(0, &["events=1000000 messages=1000000"]);
    println!("a million rows: peak RSS {} MiB", peak / MIB);
    assert!(peak < 150_000_000, "peak RSS was {} MiB", peak / MIB);
    assert_eq!(database.rows(), 0);
    let mut consumer = Consumer::new(&[&topic]);
    consumer.count_until(ROWS as u64, Duration::from_secs(120));
}

/// GIVEN large rows among small ones, and a budget smaller than one of them,
/// THEN all pass, in order, in bounded memory.
#[test]
fn large_events_among_small_ones() {
    let database = Database::with_outbox();
    database
        .connect()
        .batch_execute(
            "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)
             SELECT 'o', (i % 5)::text, 'X', jsonb_build_object('n', i, 'fill', repeat('x', CASE WHEN i % 50 = 0 THEN 900000 ELSE 100 END)) FROM generate_series(1, 2000) i",
        )
        .expect("inserts");
    let topic = unique("large");
    create_topic(&topic, 1, &[]);
    let directory = tempfile::tempdir().expect("a directory");
    let config = directory.path().join("relay.toml");
    let text = format!(
        "[source]\nkind = \"outbox\"\nurl = \"{}\"\n[sink]\nkind = \"kafka\"\nbrokers = \"{}\"\ntopic = \"{topic}\"\n[flow]\nin_flight_bytes = \"512KiB\"\n",
        database.url,
        services::kafka().brokers
    );
    std::fs::write(&config, text).expect("writes");
    let mut relay = Relay::start(&["run", "-c", config.to_str().expect("a path"), "--until-drained"]);
    let mut peak = 0;
    eventually("all are drained", Duration::from_secs(120), || {
        peak = peak.max(relay.rss().unwrap_or(0));
        relay.ended().is_some()
    });
    relay.wait().expect(0, &["events=2000"]);
    println!("large among small: peak RSS {} MiB", peak / MIB);
    assert!(peak < 150_000_000, "peak RSS was {} MiB", peak / MIB);
    let mut consumer = Consumer::new(&[&topic]);
    let mut last = [0; 5];
    for message in consumer.until("all", Duration::from_secs(60), |r| r.len() == 2000) {
        let n = message.json()["n"].as_u64().expect("a number");
        let lane = usize::try_from(n % 5).expect("small");
        assert!(n > last[lane], "{n} after {}", last[lane]);
        last[lane] = n;
    }
}
