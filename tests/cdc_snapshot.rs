//! Property: a snapshot beside the stream gives the table exactly, in order with
//! the stream for each key, whoever writes and whatever is killed meanwhile.

use crate::support::cdc::Capture;
use crate::support::consumer::Received;
use crate::support::database::Database;
use crate::support::relay::{PATIENCE, Relay};
use crate::support::{eventually, seed};
use postgres::Client;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const ROWS: i32 = 3000;
const WRITERS: u64 = 6;

/// A table whose versions grow for each key, for they are drawn under its lock.
fn database() -> Database {
    let database = Database::new();
    let sql = "CREATE SEQUENCE version;
               CREATE TABLE item (id int PRIMARY KEY, version bigint NOT NULL DEFAULT nextval('version'), pad text);
               INSERT INTO item (id, pad) SELECT n, repeat('x', 100) FROM generate_series(1, $ROWS) n; ANALYZE item";
    database.connect().batch_execute(&sql.replace("$ROWS", &ROWS.to_string())).expect("fills the table");
    database
}

fn capture(database: &Database) -> Capture {
    Capture::new(database, "tables = [\"public.item\"]\nsnapshot = \"initial\"\nsnapshot_chunk_rows = 100\nstatus_interval = \"100ms\"")
}

/// Some changes in one transaction; keys that do not exist or are taken are
/// part of the game.
fn change(client: &mut Client, rng: &mut StdRng) {
    let Ok(mut tx) = client.transaction() else { return };
    for _ in 0..rng.random_range(1..4) {
        let (id, other) = (rng.random_range(1..=ROWS + 200), rng.random_range(1..=ROWS + 200));
        let done = match rng.random_range(0..10) {
            0..2 => tx.execute("INSERT INTO item (id) VALUES ($1) ON CONFLICT (id) DO NOTHING", &[&id]),
            2..7 => tx.execute("UPDATE item SET version = nextval('version') WHERE id = $1", &[&id]),
            7..9 => tx.execute("DELETE FROM item WHERE id = $1", &[&id]),
            _ => tx.execute("UPDATE item SET id = $2, version = nextval('version') WHERE id = $1", &[&id, &other]),
        };
        if done.is_err() {
            // Another row has that key, or two writers locked each other out.
            return;
        }
    }
    if rng.random_range(0..10) > 0 {
        // A deadlock may end it even now.
        let _ = tx.commit();
    }
}

/// Six writers at work until the end of `during`.
fn under_load<T>(database: &Database, seed: u64, during: impl FnOnce() -> T) -> T {
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..WRITERS)
        .map(|n| {
            let (mut client, stop, mut rng) = (database.connect(), Arc::clone(&stop), StdRng::seed_from_u64(seed.wrapping_add(n)));
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    change(&mut client, &mut rng);
                }
            })
        })
        .collect();
    let result = during();
    stop.store(true, Ordering::Relaxed);
    writers.into_iter().for_each(|writer| writer.join().expect("a writer"));
    result
}

fn table(database: &Database) -> BTreeMap<i64, i64> {
    let rows = database.connect().query("SELECT id::int8, version FROM item", &[]).expect("reads");
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// What a consumer ends with that keeps the newest message of each key.
fn last_values(received: &[Received]) -> BTreeMap<i64, i64> {
    let mut last = BTreeMap::new();
    for message in received {
        let key: serde_json::Value = serde_json::from_str(message.key.as_deref().expect("a key")).expect("JSON");
        let id = key["id"].as_i64().expect("an id");
        match &message.payload {
            Some(_) => last.insert(id, message.json()["version"].as_i64().expect("a version")),
            None => last.remove(&id),
        };
    }
    last
}

/// Versions of a key only grow; a row of the snapshot may say again what the
/// stream said last, and never something older.
fn demand_order(received: &[Received]) {
    let mut newest: BTreeMap<&str, i64> = BTreeMap::new();
    for message in received.iter().filter(|m| m.payload.is_some()) {
        let version = message.json()["version"].as_i64().expect("a version");
        let before = newest.insert(message.key.as_deref().expect("a key"), version).unwrap_or(0);
        let repeats = version == before && message.id().starts_with("public.item@");
        assert!(version > before || repeats, "key {:?}: {version} came after {before}", message.key);
    }
}

/// GIVEN six writers, WHEN a table is read as it is beside its changes, THEN
/// every key's versions only grow, and the end is the table.
#[test]
fn a_snapshot_under_load_is_exact_and_in_order() {
    let seed = seed("snapshot");
    let database = database();
    let capture = capture(&database);
    let relay = under_load(&database, seed, || {
        let relay = capture.start();
        relay.await_log("the snapshot is published");
        relay
    });
    relay.stop().expect(0, &[]);
    let received = capture.publish();
    demand_order(&received);
    assert_eq!(last_values(&received), table(&database));
}

/// GIVEN the same, WHEN the relay is killed in the middle of the snapshot, ten
/// times with ten seeds, THEN the next one goes on and the end is the table.
#[test]
fn a_killed_snapshot_goes_on_and_is_exact() {
    let first = seed("killed snapshot");
    let mut resumed = 0;
    for run in 0..10 {
        let seed = first.wrapping_add(run * 100);
        let mut rng = StdRng::seed_from_u64(seed);
        let database = database();
        let capture = capture(&database);
        let relay = under_load(&database, seed, || {
            let relay = capture.start();
            let (born, life) = (Instant::now(), Duration::from_millis(rng.random_range(20..500)));
            eventually("its last moment", PATIENCE, || born.elapsed() >= life);
            let published = relay.log().contains("the snapshot is published");
            relay.kill();
            let relay = capture.start();
            if !published {
                resumed += usize::from(!relay.log().contains("rows_before=0"));
                relay.await_log("the snapshot is published");
            }
            relay
        });
        relay.stop().expect(0, &[]);
        assert_eq!(last_values(&capture.publish()), table(&database), "RELAY_SEED={first}, run {run}");
    }
    println!("{resumed} of 10 went on in the middle");
}

/// GIVEN a relay at work, WHEN a snapshot is asked for, THEN it takes it beside
/// the stream, and each row has the same id however often it is read in it.
#[test]
fn a_snapshot_later_is_taken_by_the_running_relay() {
    let database = database();
    let capture = Capture::new(&database, "tables = [\"public.item\"]");
    let relay = capture.start();
    capture.run("snapshot", &["--table", "public.item"]).expect(0, &["asked for"]);
    relay.await_log("the snapshot is published");
    capture.run("snapshot", &["--table", "public.other"]).expect(3, &["not captured"]);
    relay.stop().expect(0, &[]);
    let received = capture.publish();
    assert_eq!(received.len(), usize::try_from(ROWS).expect("positive"));
    assert!(received.iter().all(|m| m.id().starts_with("public.item@")));
    assert_eq!(last_values(&received), table(&database));
}

/// GIVEN `snapshot = "only"`, WHEN all tables are read, THEN the relay ends; a
/// table that cannot be read in chunks is named, and row filter and column list
/// of the publication hold.
#[test]
fn only_a_snapshot_ends_by_itself() {
    let database = database();
    let mut client = database.connect();
    let capture = Capture::new(&database, "tables = [\"public.item\"]\nsnapshot = \"only\"");
    client.batch_execute("UPDATE item SET version = version").expect("changes");
    let publication = &capture.slot;
    let filtered = format!("ALTER PUBLICATION {publication} SET TABLE item (id, version) WHERE (id <= 10)");
    client.batch_execute(&filtered).expect("alters the publication");
    Relay::run(&capture.args("run", &[])).expect(0, &["the snapshot is published"]);
    let received = capture.consumer().read_to_end().to_vec();
    let snapshot: Vec<_> = received.iter().filter(|m| m.id().starts_with("public.item@")).collect();
    assert_eq!(snapshot.len(), 10);
    assert!(snapshot.iter().all(|m| m.json().as_object().is_some_and(|row| row.len() == 2)));

    client.batch_execute("CREATE TABLE keyless (a int)").expect("creates");
    let capture = Capture::new(&database, "tables = [\"public.keyless\"]\nsnapshot = \"initial\"");
    capture.run("run", &[]).expect(5, &["public.keyless", "without a primary key"]);
}
