//! Property: neither the size of a transaction nor the business of a neighbour
//! costs what it must not: memory here, log there.

use crate::support::cdc::Capture;
use crate::support::database::Database;
use crate::support::relay::{PATIENCE, Relay};
use crate::support::{eventually, services};
use postgres::Client;
use std::time::Duration;

const MIB: u64 = 1 << 20;

const SOURCE: &str = "outbox = \"public.outbox\"\n";

/// GIVEN one transaction of half a million rows, WHEN it is read, THEN resident
/// memory stays under 200 MB.
#[test]
fn a_transaction_of_half_a_million_rows() {
    const ROWS: i64 = 500_000;
    let database = Database::with_outbox();
    let capture = Capture::partitioned(&database, SOURCE, 4);
    capture.init(&["--apply"]).expect(0, &[]);
    database
        .connect()
        .execute(
            "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)
             SELECT 'o', (i % 1000)::text, 'X', jsonb_build_object('n', i, 'fill', repeat('x', 200)) FROM generate_series(1, $1::bigint) i",
            &[&ROWS],
        )
        .expect("inserts");
    let mut relay = Relay::start(&capture.args("run", &["--until-drained"]));
    let mut peak = 0;
    eventually("all are drained", Duration::from_secs(300), || {
        peak = peak.max(relay.rss().unwrap_or(0));
        relay.ended().is_some()
    });
    relay.wait().expect(0, &["events=500000 messages=500000"]);
    println!("one transaction of {ROWS} rows: peak RSS {} MiB", peak / MIB);
    assert!(peak < 200_000_000, "peak RSS was {} MiB", peak / MIB);
    capture.consumer().count_until(ROWS as u64, Duration::from_secs(120));
}

/// GIVEN a relay on a database where nothing happens, WHEN its neighbour on the
/// same server writes, THEN its slot moves on, and keeps less than 1 MB of WAL.
#[test]
fn an_idle_database_beside_a_busy_one() {
    let postgres = services::Postgres::start("postgres-cdc-idle", &[]);
    let (idle, busy) = (Database::on(&postgres.url), Database::on(&postgres.url));
    idle.init(&[]);
    let capture = Capture::new(&idle, SOURCE);
    let relay = capture.start();
    let mut client = busy.connect();
    client.batch_execute("CREATE TABLE noise (n int, t text)").expect("creates");
    let behind = |client: &mut Client, column: &str| -> i64 {
        let sql = format!("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), {column})::int8 FROM pg_replication_slots WHERE slot_name = $1");
        client.query_one(&sql, &[&capture.slot]).expect("a slot").get(0)
    };
    let start: String = client.query_one("SELECT pg_current_wal_lsn()::text", &[]).expect("asks").get(0);
    for _ in 0..5 {
        client.batch_execute("INSERT INTO noise SELECT i, repeat('x', 100) FROM generate_series(1, 50000) i").expect("inserts");
        eventually("what is confirmed follows", PATIENCE, || behind(&mut client, "confirmed_flush_lsn") < 1 << 20);
        // Says which transactions run, without which the slot keeps their log.
        client.batch_execute("CHECKPOINT").expect("checkpoints");
        eventually("what is kept follows", PATIENCE, || behind(&mut client, "restart_lsn") < 1 << 20);
    }
    let written: i64 =
        client.query_one("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), $1::text::pg_lsn)::int8", &[&start]).expect("asks").get(0);
    assert!(written > 20 << 20, "only {written} bytes were written beside it");
    relay.stop().expect(0, &["events=0"]);
}
