//! Property: under exactly-once a reader of committed messages sees each committed event
//! once and in order, whatever is killed, and nothing of what was given up.

use crate::dead_letters::{Letters, ask};
use crate::support::consumer::{Consumer, Received, create_topic};
use crate::support::database::Database;
use crate::support::oracle::{Repeats, Writers, create_aggregates, demand, is_complete, versions};
use crate::support::relay::{PATIENCE, Relay};
use crate::support::{component, eventually, kills, seed, services, unique};
use clap::ValueEnum as _;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use relay::crash::Point;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const KILLS: usize = 15;

/// Small transactions, many of them, and no waiting behind a former owner, who is fenced.
const TRANSACTIONS: &str = "delivery = \"exactly-once\"\n[transactions]\nmax_events = 50\nlinger = \"20ms\"\n";

/// Where a relay of either source can be killed.
pub const STEPS: [Point; 4] = [Point::EpochSealed, Point::EpochRecorded, Point::EpochCommitted, Point::EpochSettled];

/// A pipeline from a polled outbox.
struct Polled {
    database: Database,
    topic: String,
    directory: tempfile::TempDir,
}

impl Polled {
    fn new(source: &str) -> Self {
        let (database, topic) = (Database::new(), unique("once"));
        database.init(if source.contains("retain") { &["--retain"] } else { &[] });
        create_topic(&topic, 4, &[]);
        let this = Self { database, topic, directory: tempfile::tempdir().expect("a directory") };
        let toml = format!(
            "name = \"{topic}\"\n{TRANSACTIONS}[source]\nkind = \"outbox\"\nurl = \"{url}\"\nlock_retry = \"50ms\"\n{source}\n\
             [sink]\nkind = \"kafka\"\nbrokers = \"{brokers}\"\ntopic = \"{topic}\"\n[[transform]]\npath = \"{path}\"\n\
             settings = {{ fields = [\"card\"] }}\n[flow]\nretry_min = \"10ms\"\nretry_max = \"100ms\"\n",
            topic = this.topic,
            url = this.database.url,
            brokers = services::kafka().brokers,
            path = component("redact").display(),
        );
        std::fs::write(this.config(), toml).expect("writes");
        this
    }

    fn config(&self) -> PathBuf {
        self.directory.path().join("relay.toml")
    }

    fn args(&self) -> Vec<String> {
        vec!["run".into(), "-c".into(), self.config().to_str().expect("a path").into()]
    }

    fn drain(&self) {
        Relay::run(&[self.args(), vec!["--until-drained".into()]].concat()).expect(0, &[]);
    }

    fn demand_all(&self) {
        let committed = versions(&self.database);
        let mut consumer = Consumer::new(&[&self.topic]);
        // The marks of the last transaction follow its end.
        consumer.until("everything", PATIENCE, |received| is_complete(received, &committed));
        let received = consumer.read_to_end();
        demand(received, &committed, Repeats::Never);
        assert!(received.iter().all(|m| m.json()["card"] == "***"), "each was redacted");
    }
}

/// Kills relays at random moments of their lives, each at work or before.
pub fn kill_many(start: &mut dyn FnMut() -> Relay, ready: &str, rng: &mut StdRng) {
    let mut working = 0;
    let kills = kills(KILLS);
    for n in 0..kills {
        let relay = start();
        if n % 2 == 0 {
            relay.await_log(ready);
        }
        let (life, born) = (Duration::from_millis(rng.random_range(5..600)), Instant::now());
        eventually("its last moment", PATIENCE, || born.elapsed() >= life);
        working += usize::from(relay.log().contains(ready));
        relay.kill();
    }
    println!("{working} of {kills} were killed at work");
    assert!(working > kills / 4);
}

/// GIVEN writers at work, WHEN the relay is killed at random, THEN each committed event
/// is there once, in order; also where rows are retained.
#[test]
fn random_kills_double_nothing_of_an_outbox() {
    for source in ["", "retain = true"] {
        let seed = seed("once-outbox");
        let it = Polled::new(source);
        create_aggregates(&it.database, 30);
        let writers = Writers::start(&it.database, 4, 30, usize::MAX, seed);
        kill_many(&mut || Relay::start(&it.args()), "reading the outbox", &mut StdRng::seed_from_u64(seed));
        writers.stop();
        it.drain();
        it.demand_all();
    }
}

/// GIVEN writers at work, WHEN the relay is killed at each step of a transaction, the
/// first and a later one, THEN each committed event is there once, in order.
#[test]
fn kills_at_each_step_of_a_transaction() {
    let seed = seed("once-steps");
    let it = Polled::new("");
    create_aggregates(&it.database, 20);
    let writers = Writers::start(&it.database, 2, 20, usize::MAX, seed);
    for point in STEPS {
        for times in [1, 4] {
            let name = point.to_possible_value().expect("a name").get_name().to_owned();
            let at = format!("{name}*{times}");
            let mut relay = Relay::start_with(&it.args(), &[("RELAY_CRASH_AT", &at)]);
            eventually(&format!("it dies at {at}"), PATIENCE, || relay.ended().is_some());
            assert!(relay.log().contains("reading the outbox"));
        }
    }
    writers.stop();
    it.drain();
    it.demand_all();
}

/// GIVEN two relays, WHEN the one at work stands still while the other takes over, and
/// goes on afterwards, THEN nothing that it still tries is seen.
#[test]
fn a_relay_that_stood_still_is_fenced() {
    let seed = seed("once-zombie");
    let it = Polled::new("");
    create_aggregates(&it.database, 20);
    let writers = Writers::start(&it.database, 3, 20, usize::MAX, seed);
    let first = Relay::start(&it.args());
    first.await_log("reading the outbox");
    let second = Relay::start(&it.args());
    second.await_log("standing by");
    for (still, other) in [(&first, &second), (&second, &first)] {
        eventually("it publishes", PATIENCE, || it.database.rows() == 0 || Consumer::new(&[&it.topic]).read_to_end().len() > 100);
        still.signal("STOP");
        // What the server's own timeouts do to a client that is gone.
        let sessions = "SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_database d ON d.oid = l.database \
                        WHERE l.locktype = 'advisory' AND d.datname = current_database()";
        it.database.connect().batch_execute(sessions).expect("terminates");
        let before = other.log().matches("reading the outbox").count();
        eventually("the other took over", PATIENCE, || other.log().matches("reading the outbox").count() > before);
        still.signal("CONT");
        eventually("it noticed", PATIENCE, || still.log().matches("standing by").count() > 0);
    }
    writers.stop();
    eventually("everything is published", PATIENCE, || it.database.rows() == 0);
    // The one that waits ends at once.
    second.stop().expect(0, &[]);
    first.stop().expect(0, &[]);
    it.demand_all();
}

/// The longest time between two messages that follow each other, in ms.
fn longest_pause(received: &[Received]) -> i64 {
    let mut times: Vec<i64> = received.iter().map(|message| message.time).collect();
    times.sort_unstable();
    times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
}

/// GIVEN three relays under load, WHEN one after the other is restarted, in order and by
/// kills, THEN nothing is lost, doubled or out of order; how long nothing came is shown.
#[test]
fn a_rolling_restart_of_three() {
    let seed = seed("once-rolling");
    let it = Polled::new("");
    create_aggregates(&it.database, 20);
    let writers = Writers::start(&it.database, 3, 20, usize::MAX, seed);
    let mut relays: Vec<Relay> = (0..3).map(|_| Relay::start(&it.args())).collect();
    for round in 0..6 {
        let working = || relays.iter().position(|relay| relay.log().matches("reading the outbox").count() > 0);
        eventually("one is at work", PATIENCE, || working().is_some());
        let gone = relays.remove(working().expect("one"));
        if round % 2 == 0 {
            gone.stop().expect(0, &[]);
        } else {
            gone.kill();
        }
        relays.push(Relay::start(&it.args()));
    }
    writers.stop();
    eventually("everything is published", PATIENCE, || it.database.rows() == 0);
    relays.into_iter().for_each(|relay| drop(relay.stop().expect(0, &[])));
    it.demand_all();
    println!("rolling restart: nothing came for {} ms at most", longest_pause(Consumer::new(&[&it.topic]).read_to_end()));
}

/// GIVEN a broker that goes in the middle, WHEN it comes back, THEN nothing is lost or
/// doubled.
#[test]
fn a_broker_that_goes_and_comes_doubles_nothing() {
    let seed = seed("once-broker");
    let kafka = services::Kafka::start("kafka-once", &[]);
    let it = Polled::new("");
    let toml = std::fs::read_to_string(it.config()).expect("reads").replace(&services::kafka().brokers, &kafka.brokers);
    std::fs::write(it.config(), toml).expect("writes");
    crate::support::consumer::create_topic_on(&kafka.brokers, &it.topic, 4, &[]);
    create_aggregates(&it.database, 30);
    let relay = Relay::start(&it.args());
    relay.await_log("reading the outbox");
    for kill in [false, true] {
        let writers = Writers::start(&it.database, 4, 30, 300, seed.wrapping_add(u64::from(kill)));
        kafka.stop(kill);
        writers.join();
        kafka.start_again();
        eventually("the backlog is published", PATIENCE, || it.database.rows() == 0);
    }
    relay.stop().expect(0, &[]);
    let committed = versions(&it.database);
    let mut consumer = Consumer::on(&kafka.brokers, &[&it.topic]);
    consumer.until("everything", PATIENCE, |received| is_complete(received, &committed));
    demand(consumer.read_to_end(), &committed, Repeats::Never);
}

/// GIVEN dead letters, WHEN the relay is killed at each step of writing and of redriving
/// them, THEN each event is published once, in order.
#[test]
fn letters_are_redriven_once() {
    let points = [Point::LetterWritten, Point::EpochCommitted, Point::LetterPublished, Point::LetterTaken];
    for point in points {
        let name = point.to_possible_value().expect("a name").get_name().to_owned();
        let it = Letters::new("", "");
        it.once();
        let mut events: Vec<(i64, i64, &str)> = Vec::new();
        for version in 1..=20 {
            for aggregate in 1..=5 {
                events.push((aggregate, version, if aggregate == 3 && version == 7 { "poison" } else { "pass" }));
            }
        }
        it.insert(&events);
        if point == Point::LetterWritten {
            it.die_at(&name, None);
        }
        let (relay, _) = it.serve();
        it.until_done();
        assert_eq!(it.list().len(), 14, "{name}");
        relay.stop().expect(0, &[]);
        it.configure(&it.mended(), "", "");
        it.once();
        if point != Point::LetterWritten {
            it.die_at(&name, Some("redrive"));
        }
        let (relay, port) = it.serve();
        ask(&port, &["redrive", "--all"]).expect(0, &[]);
        assert!(it.list().is_empty(), "{name}");
        relay.stop().expect(0, &[]);
        let committed: BTreeMap<i64, i64> = (1..=5).map(|aggregate| (aggregate, 20)).collect();
        let mut consumer = Consumer::new(&[&it.topic]);
        consumer.until("everything", PATIENCE, |received| is_complete(received, &committed));
        demand(consumer.read_to_end(), &committed, Repeats::Never);
    }
}

/// GIVEN a table that was made anew, WHEN rows have the numbers of published ones, THEN the
/// relay stops and says so, until it is told to go on; WHEN exactly-once cannot be, THEN it is refused.
#[test]
fn another_table_is_noticed() {
    let it = Polled::new("");
    create_aggregates(&it.database, 3);
    let writers = Writers::start(&it.database, 1, 3, 5, seed("once-table"));
    writers.join();
    let mut relay = Relay::start_with(&it.args(), &[("RELAY_CRASH_AT", "epoch-committed")]);
    eventually("it dies", PATIENCE, || relay.ended().is_some());
    it.database.connect().batch_execute("UPDATE outbox SET id = gen_random_uuid()").expect("updates");
    Relay::run(&it.args()).expect(5, &["[server-changed]", "was published with id", "relay init --adopt-server"]);
    Relay::run(&["init", "--adopt-server", "-c", it.config().to_str().expect("a path")]).expect(0, &["goes on with this server"]);
    it.drain();
    assert_eq!(it.database.rows(), 0, "other rows than those that were published");
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("relay.toml");
    for (text, wanted) in [
        ("[source]\nkind = \"file\"\npath = \"-\"\n[sink]\nkind = \"kafka\"\nbrokers = \"b:1\"\n", "a file is read from its beginning"),
        ("[source]\nkind = \"outbox\"\nurl = \"postgres://h/d\"\n[sink]\nkind = \"stdout\"\n", "only Kafka has transactions"),
        (
            "[source]\nkind = \"cdc\"\nurl = \"postgres://h/d\"\noutbox = \"o\"\nsnapshot = \"initial\"\n\
             [sink]\nkind = \"kafka\"\nbrokers = \"b:1\"\n",
            "a snapshot of an outbox",
        ),
    ] {
        std::fs::write(&path, format!("delivery = \"exactly-once\"\n{text}")).expect("writes");
        Relay::run(&["check", "--offline", "-c", path.to_str().expect("a path")]).expect(3, &[wanted, "field=delivery"]);
    }
}

/// GIVEN transforms that take longer for a transaction than the broker allows it, WHEN that
/// is given up, THEN the next ones take fewer events, and everything comes once.
#[test]
fn slow_transforms_make_small_transactions() {
    let it = Letters::new("", "");
    let slow = it.with_component("slow");
    it.configure(&slow, "", "");
    it.once();
    // As many events as there are, and no time for them.
    let toml = std::fs::read_to_string(it.config()).expect("reads");
    std::fs::write(it.config(), toml.replace("max_events = 10\n", "max_events = 10000\ntimeout = \"1s\"\n")).expect("writes");
    // A fast machine does 200 a second and more.
    let all: Vec<_> = (1..=600).map(|version| (1, version, "pass")).collect();
    it.insert(&all);
    it.drain().expect(0, &["was not done in time", "the next ones take"]);
    demand(&it.received(), &BTreeMap::from([(1, 600)]), Repeats::Never);
}
