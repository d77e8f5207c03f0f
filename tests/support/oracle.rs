//! Writers that know what they committed, and the demand to get it all back.
//!
//! Each event carries its aggregate and that aggregate's version; versions are
//! taken under a row lock, so a consumer must see 1, 2, 3… of each.

use super::consumer::Received;
use super::database::Database;
use postgres::{Client, Transaction};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// The tables of the application beside the outbox.
pub fn create_aggregates(database: &Database, count: usize) {
    database
        .connect()
        .batch_execute(&format!(
            "CREATE TABLE aggregate (id int PRIMARY KEY, version bigint NOT NULL DEFAULT 0);
             INSERT INTO aggregate (id) SELECT generate_series(1, {count})"
        ))
        .expect("creates aggregates");
}

/// Writers at work; they stop when asked.
pub struct Writers {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Writers {
    /// Starts `count` writers over `aggregates` aggregates; each ends after
    /// `transactions` at the latest.
    pub fn start(database: &Database, count: usize, aggregates: i32, transactions: usize, seed: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = (0..count)
            .map(|n| {
                let (mut client, stop) = (database.connect(), Arc::clone(&stop));
                let mut rng = StdRng::seed_from_u64(seed.wrapping_add(n as u64));
                std::thread::spawn(move || {
                    for t in 0..transactions {
                        if stop.load(Ordering::Relaxed) {
                            return;
                        }
                        transaction(&mut client, &mut rng, aggregates, &format!("w{n}t{t}x{seed}"));
                    }
                })
            })
            .collect();
        Self { stop, threads }
    }

    /// Asks them to stop and waits.
    pub fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.join();
    }

    /// Waits until all have written what they were to write, or the database went away.
    pub fn join_or_die(self) {
        for thread in self.threads {
            drop(thread.join());
        }
    }

    /// Waits until all have written what they were to write.
    pub fn join(self) {
        for thread in self.threads {
            thread.join().expect("a writer");
        }
    }
}

/// One transaction of the application: some events, perhaps a savepoint rolled
/// back, perhaps prepared, perhaps slow to commit, perhaps rolled back.
fn transaction(client: &mut Client, rng: &mut StdRng, aggregates: i32, name: &str) {
    let events = rng.random_range(1..=3);
    let fate = rng.random_range(0..100);
    let mut ids: Vec<i32> = (0..events).map(|_| rng.random_range(1..=aggregates)).collect();
    // In order, so that two writers cannot lock each other out.
    ids.sort_unstable();
    let mut tx = client.transaction().expect("begins");
    for id in ids {
        if rng.random_range(0..10) == 0 {
            let mut save = tx.savepoint("s").expect("a savepoint");
            write(&mut save, id);
            save.rollback().expect("rolls back to it");
        }
        write(&mut tx, id);
    }
    if rng.random_range(0..20) == 0 {
        // Holds its low sequence numbers while others commit higher ones.
        tx.batch_execute(&format!("SELECT pg_sleep({})", rng.random_range(0.01..0.2))).expect("sleeps");
    }
    match fate {
        0..10 => tx.rollback().expect("rolls back"),
        10..15 => {
            tx.batch_execute(&format!("PREPARE TRANSACTION '{name}'")).expect("prepares");
            drop(tx);
            client.batch_execute(&format!("COMMIT PREPARED '{name}'")).expect("commits the prepared");
        }
        _ => tx.commit().expect("commits"),
    }
}

fn write(tx: &mut Transaction<'_>, aggregate: i32) {
    let version: i64 =
        tx.query_one("UPDATE aggregate SET version = version + 1 WHERE id = $1 RETURNING version", &[&aggregate]).expect("updates").get(0);
    let payload = serde_json::json!({ "aggregate": aggregate, "version": version, "card": "4111 1111 1111 1111" }).to_string();
    super::database::insert(tx, &aggregate.to_string(), "Changed", &payload);
}

/// What is committed, from the application's own tables.
pub fn versions(database: &Database) -> BTreeMap<i64, i64> {
    let rows = database.connect().query("SELECT id::int8, version FROM aggregate WHERE version > 0", &[]).expect("reads");
    rows.iter().map(|r| (r.get(0), r.get(1))).collect()
}

/// How messages may repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeats {
    Never,
    /// After a crash: the same id again.
    SameId,
}

/// Whether every committed version of every aggregate has arrived.
pub fn is_complete(received: &[Received], committed: &BTreeMap<i64, i64>) -> bool {
    let wanted: i64 = committed.values().sum();
    if (received.len() as i64) < wanted {
        return false;
    }
    let mut last: HashMap<i64, i64> = HashMap::new();
    for message in received {
        let (aggregate, version) = read(message);
        let seen = last.entry(aggregate).or_default();
        *seen = (*seen).max(version);
    }
    committed.iter().all(|(aggregate, version)| last.get(aggregate) == Some(version))
}

/// Demands every committed event, in the order of its aggregate, and no other.
/// With repeats allowed, a message seen before may come again, but a version
/// never comes before the one below it.
pub fn demand(received: &[Received], committed: &BTreeMap<i64, i64>, repeats: Repeats) {
    let mut ids: HashMap<(i64, i64), String> = HashMap::new();
    let mut last: BTreeMap<i64, i64> = BTreeMap::new();
    let mut previous: HashMap<i64, i64> = HashMap::new();
    let mut duplicates = 0;
    for message in received {
        let (aggregate, version) = read(message);
        // A crash repeats a run from an older version up to the newest, never
        // some of them: a consumer must not end with an old value.
        let before = previous.insert(aggregate, version).unwrap_or(0);
        assert!(version <= before + 1, "aggregate {aggregate}: {version} came after {before}");
        let high = last.entry(aggregate).or_default();
        match ids.get(&(aggregate, version)) {
            None => {
                assert_eq!(version, *high + 1, "aggregate {aggregate}: version {version} came after {high}");
                *high = version;
                ids.insert((aggregate, version), message.id());
            }
            Some(id) => {
                assert_eq!(repeats, Repeats::SameId, "aggregate {aggregate} version {version} came twice");
                assert_eq!(*id, message.id(), "a repeat must carry the same id");
                duplicates += 1;
            }
        }
    }
    assert_eq!(&last, committed, "the highest version of each aggregate");
    assert_eq!(previous.into_iter().collect::<BTreeMap<_, _>>(), last, "the version that came last");
    println!("oracle: {} messages, {duplicates} repeats, {} aggregates", received.len(), last.len());
}

fn read(message: &Received) -> (i64, i64) {
    let json = message.json();
    assert_eq!(message.key.as_deref(), Some(json["aggregate"].to_string().as_str()));
    (json["aggregate"].as_i64().expect("an aggregate"), json["version"].as_i64().expect("a version"))
}
