//! Property: whatever is killed, what is read from the log is not lost and not
//! reordered, and what repeats has the same id and the same position.

use crate::support::cdc::{Capture, position};
use crate::support::consumer::Received;
use crate::support::database::Database;
use crate::support::oracle::{Repeats, Writers, create_aggregates, demand, is_complete, versions};
use crate::support::relay::{PATIENCE, Relay};
use crate::support::{component, eventually, seed, services};
use postgres::Client;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use std::collections::HashMap;
use std::time::{Duration, Instant};

const KILLS: usize = 25;

const SOURCE: &str = "outbox = \"public.outbox\"\nstatus_interval = \"100ms\"\n";

/// A pipeline over the relay's own table, through a transform.
fn capture(database: &Database, partitions: i32) -> Capture {
    let capture = Capture::partitioned(database, SOURCE, partitions);
    let redact = component("redact");
    let rest = format!(
        "[flow]\nretry_min = \"10ms\"\nretry_max = \"50ms\"\n[[transform]]\npath = \"{}\"\nsettings = {{ fields = [\"card\"] }}",
        redact.display()
    );
    capture.write(SOURCE, &rest);
    capture.init(&["--apply"]).expect(0, &[]);
    capture
}

/// What the oracle demands, and that positions are those of the log: the same
/// at each repeat, and rising within a key.
pub fn demand_places(received: &[Received], database: &Database, repeats: Repeats) {
    demand(received, &versions(database), repeats);
    let mut places: HashMap<String, (u64, u64)> = HashMap::new();
    let mut last: HashMap<&str, (u64, u64)> = HashMap::new();
    for message in received {
        let place = position(message);
        if let Some(known) = places.insert(message.id(), place) {
            assert_eq!(known, place, "event {} came from two places", message.id());
            continue;
        }
        let before = last.insert(message.key.as_deref().expect("a key"), place);
        assert!(before < Some(place), "{place:?} came after {before:?} of the same key");
    }
    assert!(received.iter().all(|m| m.json()["card"] == "***"), "each was redacted");
}

/// The process that serves the slot, if one does.
fn walsender(client: &mut Client, slot: &str) -> Option<i32> {
    client.query_one("SELECT active_pid FROM pg_replication_slots WHERE slot_name = $1", &[&slot]).expect("a slot").get(0)
}

pub fn terminate(client: &mut Client, slot: &str) -> bool {
    let sql = "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1 AND active_pid IS NOT NULL";
    client.query(sql, &[&slot]).expect("terminates").len() == 1
}

/// GIVEN writers at work, WHEN the relay is killed at random moments of its life,
/// its walsender before it now and then, THEN the oracle finds every event.
#[test]
fn kills_lose_and_reorder_nothing() {
    let seed = seed("cdc-crash");
    let mut rng = StdRng::seed_from_u64(seed);
    let database = Database::with_outbox();
    create_aggregates(&database, 30);
    let capture = capture(&database, 4);
    let mut client = database.connect();
    let writers = Writers::start(&database, 5, 30, usize::MAX, seed);
    let (mut working, mut terminated) = (0, 0);
    for n in 0..KILLS {
        let relay = Relay::start(&capture.args("run", &[]));
        // Some from before they have connected, most in the middle of their work.
        if n % 3 > 0 {
            relay.await_log("reading the log");
        }
        let life = Duration::from_millis(rng.random_range(5..400));
        let severed = rng.random_bool(0.5).then(|| life.mul_f64(rng.random_range(0.1..0.9)));
        let born = Instant::now();
        if let Some(moment) = severed {
            eventually("the walsender's last moment", PATIENCE, || born.elapsed() >= moment);
            terminated += usize::from(terminate(&mut client, &capture.slot));
        }
        eventually("its last moment", PATIENCE, || born.elapsed() >= life);
        working += usize::from(relay.log().contains("reading the log"));
        relay.kill();
    }
    writers.stop();
    println!("killed at work: {working} of {KILLS}; walsenders terminated: {terminated}");
    assert!(terminated > 0, "no walsender was terminated");
    capture.drain().expect(0, &[]);
    demand_places(capture.consumer().read_to_end(), &database, Repeats::SameId);
    capture.drain().expect(0, &["events=0"]);
}

/// GIVEN writers at work and one relay, WHEN its walsender is terminated again
/// and again, THEN it reconnects by itself and nothing is lost.
#[test]
fn a_stream_that_breaks_again_and_again() {
    let seed = seed("cdc-stream");
    let database = Database::with_outbox();
    create_aggregates(&database, 30);
    let capture = capture(&database, 4);
    let mut client = database.connect();
    let relay = capture.start();
    let writers = Writers::start(&database, 3, 30, usize::MAX, seed);
    for n in 1..=10 {
        eventually("the stream is broken", PATIENCE, || terminate(&mut client, &capture.slot));
        eventually("it reads on", PATIENCE, || relay.log().matches("reading the log").count() > n);
    }
    writers.stop();
    let mut consumer = capture.consumer();
    consumer.until("everything", PATIENCE, |received| is_complete(received, &versions(&database)));
    relay.stop().expect(0, &["database-unavailable"]);
    demand_places(consumer.read_to_end(), &database, Repeats::SameId);
}

/// GIVEN writers at work, WHEN Postgres is stopped and killed and comes back,
/// THEN the relay reconnects by itself, from where the slot stands then.
#[test]
fn a_database_that_goes_and_comes_loses_nothing() {
    let seed = seed("cdc-postgres");
    let postgres = services::Postgres::start("postgres-cdc-restarts", &[]);
    let database = Database::on(&postgres.url);
    database.init(&[]);
    create_aggregates(&database, 30);
    let capture = capture(&database, 4);
    let relay = capture.start();
    let mut consumer = capture.consumer();
    for (n, kill) in [false, true].into_iter().enumerate() {
        Writers::start(&database, 4, 30, 100, seed.wrapping_add(n as u64)).join();
        postgres.stop(kill);
        eventually("the relay notices", PATIENCE, || relay.log().contains("database-unavailable"));
        postgres.start_again();
        eventually("it reads on", PATIENCE, || relay.log().matches("reading the log").count() > n + 1);
        Writers::start(&database, 2, 30, 20, seed.wrapping_sub(1 + n as u64)).join();
        let committed = versions(&database);
        consumer.until("everything", PATIENCE, |received| is_complete(received, &committed));
    }
    relay.stop().expect(0, &[]);
    demand_places(consumer.read_to_end(), &database, Repeats::SameId);
}

/// GIVEN a server that gives up a walsender after three seconds of silence, WHEN
/// Kafka is down for much longer (`RELAY_OUTAGE` seconds) and more is committed than the relay takes in,
/// THEN the same walsender goes on, and nothing comes twice.
#[test]
fn a_broker_that_is_down_for_longer_than_the_server_s_patience() {
    let seed = seed("cdc-broker");
    let kafka = services::Kafka::start("kafka-cdc", &[]);
    let database = Database::with_outbox();
    let mut client = database.connect();
    client
        .batch_execute("DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET wal_sender_timeout = ''3s''', current_database()); END $$")
        .expect("alters");
    create_aggregates(&database, 30);
    let capture = Capture::on(&kafka.brokers, &database, SOURCE, 4);
    capture.write(SOURCE, "[flow]\nin_flight_events = 100");
    capture.init(&["--apply"]).expect(0, &[]);
    let relay = capture.start();
    Writers::start(&database, 2, 30, 20, seed).join();
    let mut consumer = capture.consumer();
    let committed = versions(&database);
    consumer.until("what was before", PATIENCE, |received| is_complete(received, &committed));
    let pid = walsender(&mut client, &capture.slot).expect("a walsender");

    kafka.stop(true);
    Writers::start(&database, 4, 30, 100, seed.wrapping_add(1)).join();
    // More than what budget, channel and sockets hold; of another topic's key.
    let fill = "UPDATE aggregate SET version = version + 1 WHERE id = 1 RETURNING version";
    let mut tx = client.transaction().expect("begins");
    for _ in 0..3000 {
        let version: i64 = tx.query_one(fill, &[]).expect("updates").get(0);
        let payload = serde_json::json!({ "aggregate": 1, "version": version, "fill": "x".repeat(4000) }).to_string();
        crate::support::database::insert(&mut tx, "1", "Changed", &payload);
    }
    tx.commit().expect("commits");
    let heard = "SELECT pid, extract(epoch FROM reply_time)::float8 FROM pg_stat_replication WHERE pid = $1";
    let seconds = std::env::var("RELAY_OUTAGE").ok().and_then(|text| text.parse().ok()).unwrap_or(12.0);
    let mut first = None;
    eventually("as many seconds of status updates", PATIENCE + Duration::from_secs_f64(seconds), || {
        let row = client.query_opt(heard, &[&pid]).expect("asks").expect("the walsender is still there");
        let now: f64 = row.get(1);
        now - *first.get_or_insert(now) > seconds
    });
    kafka.start_again();
    let committed = versions(&database);
    consumer.until("everything", PATIENCE, |received| is_complete(received, &committed));
    assert_eq!(walsender(&mut client, &capture.slot), Some(pid), "the same session");
    assert_eq!(relay.log().matches("reading the log").count(), 1);
    relay.stop().expect(0, &[]);
    demand(consumer.read_to_end(), &committed, Repeats::Never);
}

/// GIVEN one large transaction, WHEN the relay is stopped in the middle of it,
/// three times, THEN the next goes on at the change where it stood: each once.
#[test]
fn a_stop_in_the_middle_of_a_transaction_repeats_nothing() {
    const ROWS: usize = 20_000;
    let database = Database::new();
    database.connect().batch_execute("CREATE TABLE item (id int PRIMARY KEY, part int)").expect("creates");
    let source = "tables = [\"public.item\"]\nstatus_interval = \"100ms\"";
    let capture = Capture::new(&database, source);
    // A thousand events a second, so that the transaction lasts longer than three
    // stops do.
    capture.write(source, "[flow]\nin_flight_events = 50\n[sink.librdkafka]\n\"linger.ms\" = 50");
    let fill = format!("INSERT INTO item SELECT n, n % 7 FROM generate_series(1, {ROWS}) n; UPDATE item SET id = -id WHERE part = 3");
    database.connect().batch_execute(&fill).expect("fills, in one transaction");
    // A key change is two messages.
    let expected = ROWS + 2 * (1..=ROWS).filter(|n| n % 7 == 3).count();
    let mut consumer = capture.consumer();
    for stop in 1..=3 {
        let relay = capture.start();
        let read = consumer.read_to_end().len();
        consumer.until("some more", PATIENCE, |received| received.len() > read);
        relay.stop().expect(0, &[]);
        let read = consumer.read_to_end().len();
        assert!(read < expected, "stop {stop} came after the transaction");
    }
    capture.write(source, "");
    capture.drain().expect(0, &[]);
    let received = consumer.read_to_end();
    assert_eq!(received.len(), expected);
    let places: std::collections::HashSet<_> = received.iter().map(position).collect();
    assert_eq!(places.len(), expected, "each place once");
}
