//! Property: while relays, the broker, the database and the network between them fail in
//! an order that a seed decides, nothing is lost or out of order; under exactly-once
//! nothing comes twice. `RELAY_CHAOS_SECONDS` has it go on for longer, as `make chaos` does.

use crate::support::consumer::{Consumer, create_topic_on};
use crate::support::database::Database;
use crate::support::oracle::{Repeats, Writers, create_aggregates, demand, is_complete, versions};
use crate::support::proxy::{Fault, Proxy};
use crate::support::relay::{PATIENCE, Relay};
use crate::support::{component, eventually, seed, services, unique};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long faults go on in each mode.
const SECONDS: u64 = 20;

/// Sources.
const POLLED: &str = "kind = \"outbox\"";
const LOG: &str = "kind = \"cdc\"\noutbox = \"public.outbox\"";

/// What a full disk lets a file have.
const DISK_KIB: u32 = 64;

/// Everything that is made to fail, and what it is made to fail at.
struct Stage {
    rng: StdRng,
    kafka: services::Kafka,
    postgres: services::Postgres,
    to_kafka: Proxy,
    to_postgres: Proxy,
    directory: tempfile::TempDir,
    relays: Vec<Relay>,
}

impl Stage {
    fn new(rng: StdRng, delivery: &str, source: &str) -> (Self, Database, String) {
        let (to_kafka, to_postgres) = (Proxy::new(), Proxy::new());
        let kafka = services::Kafka::start(&format!("kafka-chaos-{delivery}-{}", source.len()), &["--behind", &to_kafka.port.to_string()]);
        let postgres = services::Postgres::start(&format!("postgres-chaos-{delivery}-{}", source.len()), &[]);
        to_kafka.lead_to(kafka.behind.as_ref().expect("a listener"));
        let database = Database::on(&postgres.url);
        database.init(&[]);
        let topic = unique("chaos");
        create_topic_on(&kafka.brokers, &topic, 4, &[]);
        let stage =
            Self { rng, kafka, postgres, to_kafka, to_postgres, directory: tempfile::tempdir().expect("a directory"), relays: Vec::new() };
        let (before, after) = database.url.split_once("127.0.0.1:").expect("a URL on loopback");
        let (port, rest) = after.split_once('/').expect("a database");
        stage.to_postgres.lead_to(&format!("127.0.0.1:{port}"));
        let url = format!("{before}127.0.0.1:{}/{rest}", stage.to_postgres.port);
        let toml = format!(
            "name = \"{topic}\"\ndelivery = \"{delivery}\"\n[transactions]\nmax_events = 200\nlinger = \"20ms\"\ntimeout = \"10s\"\n\
             [source]\n{source}\nurl = \"{url}\"\ntakeover_delay = \"3s\"\nlock_retry = \"50ms\"\nstatement_timeout = \"3s\"\n\
             connect_timeout = \"2s\"\n[sink]\nkind = \"kafka\"\nbrokers = \"127.0.0.1:{kafka}\"\ntopic = \"{topic}\"\n\
             [sink.librdkafka]\n\"socket.timeout.ms\" = 5000\n\"reconnect.backoff.max.ms\" = 500\n\
             [flow]\nretry_min = \"20ms\"\nretry_max = \"500ms\"\ndrain_timeout = \"5s\"\n\
             [[transform]]\npath = \"{redact}\"\nsettings = {{ fields = [\"card\"] }}\n",
            kafka = stage.to_kafka.port,
            redact = component("redact").display(),
        );
        std::fs::write(stage.config(), toml).expect("writes");
        if source == LOG {
            Relay::run(&["init", "--cdc", "--apply", "-c", stage.config().to_str().expect("a path")]).expect(0, &[]);
        }
        (stage, database, topic)
    }

    fn config(&self) -> PathBuf {
        self.directory.path().join("relay.toml")
    }

    fn start(&mut self) {
        let config = self.config();
        let args = ["run", "-c", config.to_str().expect("a path")];
        // Its log, and what it caches, end somewhere.
        let full = self.rng.random_bool(0.2);
        self.relays.push(if full { Relay::start_on_full_disk(&args, DISK_KIB) } else { Relay::start(&args) });
    }

    /// One fault, and its end. What it was, for the log.
    fn fail(&mut self) -> String {
        let pause = Duration::from_millis(self.rng.random_range(100..2000));
        let wait = |pause: Duration| {
            let begun = Instant::now();
            eventually("the end of a fault", PATIENCE, || begun.elapsed() >= pause);
        };
        let some = self.rng.random_range(0..self.relays.len());
        match self.rng.random_range(0..12) {
            0 | 1 => {
                self.relays.remove(some).kill();
                self.start();
                "a relay is killed".to_owned()
            }
            2 => {
                // However it ends: the broker may be away.
                drop(self.relays.remove(some).stop());
                self.start();
                "a relay is stopped".to_owned()
            }
            3 => {
                self.relays[some].signal("STOP");
                wait(pause);
                self.relays[some].signal("CONT");
                format!("a relay stands still for {pause:?}")
            }
            4 => {
                self.kafka.stop(true);
                self.kafka.start_again();
                "the broker is killed".to_owned()
            }
            5 => {
                self.kafka.signal("STOP");
                wait(pause);
                self.kafka.signal("CONT");
                format!("the broker stands still for {pause:?}")
            }
            6 => {
                self.postgres.stop(true);
                self.postgres.start_again();
                "the database is killed".to_owned()
            }
            n => {
                let (proxy, name) = if n % 2 == 0 { (&self.to_kafka, "broker") } else { (&self.to_postgres, "database") };
                let faults = [Fault::Stall, Fault::Slow, Fault::HalfOpen, Fault::None];
                let fault = faults[self.rng.random_range(0..faults.len())];
                if fault == Fault::None {
                    proxy.reset();
                    return format!("connections to the {name} are reset");
                }
                proxy.set(fault);
                wait(pause);
                proxy.set(Fault::None);
                format!("the way to the {name}: {fault:?} for {pause:?}")
            }
        }
    }
}

fn chaos(delivery: &str, source: &str, repeats: Repeats) {
    let seed = seed(&format!("chaos-{delivery}"));
    let (mut stage, database, topic) = Stage::new(StdRng::seed_from_u64(seed), delivery, source);
    create_aggregates(&database, 30);
    let seconds = std::env::var("RELAY_CHAOS_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(SECONDS);
    stage.start();
    stage.start();
    let (begun, mut faults, mut n) = (Instant::now(), 0, 0);
    while begun.elapsed() < Duration::from_secs(seconds) {
        // They write to the database itself, and end before it is killed.
        let writers = Writers::start(&database, 3, 30, 60, seed.wrapping_add(n));
        n += 100;
        let before = Instant::now();
        let name = if stage.rng.random_bool(0.5) { stage.fail() } else { String::new() };
        writers.join_or_die();
        let after = stage.fail();
        faults += 1 + usize::from(!name.is_empty());
        println!("{:>6.1} s {name} {after} ({:.1?})", begun.elapsed().as_secs_f64(), before.elapsed());
    }
    if source != LOG {
        eventually("everything is published", PATIENCE * 2, || database.try_rows() == Some(0));
    }
    let committed = versions(&database);
    let mut consumer = Consumer::on(&stage.kafka.brokers, &[&topic]);
    consumer.until("everything", PATIENCE * 2, |received| is_complete(received, &committed));
    for relay in std::mem::take(&mut stage.relays) {
        relay.stop().expect(0, &[]);
    }
    demand(consumer.read_to_end(), &committed, repeats);
    println!("{delivery}: {faults} faults, {} versions", committed.values().sum::<i64>());
}

/// GIVEN two relays and writers, WHEN everything fails now and then, THEN nothing is lost or
/// out of order, and repeats have the id of the first.
#[test]
fn at_least_once_survives_chaos() {
    chaos("at-least-once", POLLED, Repeats::SameId);
}

/// The same, THEN nothing comes twice.
#[test]
fn exactly_once_survives_chaos() {
    chaos("exactly-once", POLLED, Repeats::Never);
}

/// The same of what is read from the log.
#[test]
fn the_log_survives_chaos() {
    chaos("exactly-once", LOG, Repeats::Never);
}
