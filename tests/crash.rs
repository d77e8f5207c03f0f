//! Property: whatever is killed, nothing committed is lost and no aggregate is
//! reordered; only unacknowledged events repeat, under the same id.

use crate::support::consumer::{Consumer, create_topic, create_topic_on};
use crate::support::database::Database;
use crate::support::oracle::{Repeats, Writers, create_aggregates, demand, is_complete, versions};
use crate::support::relay::{PATIENCE, Relay};
use crate::support::{eventually, kills, seed, services, unique};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use std::time::{Duration, Instant};

const KILLS: usize = 50;

/// GIVEN writers at work, WHEN the relay is killed fifty times at random
/// moments of its life, THEN the oracle finds every event, in order.
#[test]
fn fifty_kills_lose_and_reorder_nothing() {
    let seed = seed("crash");
    let mut rng = StdRng::seed_from_u64(seed);
    let database = Database::with_outbox();
    create_aggregates(&database, 30);
    let topic = unique("crash");
    create_topic(&topic, 4, &[]);
    let args = ["run", "--name", &topic, "--source", &database.url, "--brokers", &services::kafka().brokers, "--topic", &topic];
    let writers = Writers::start(&database, 6, 30, usize::MAX, seed);
    let mut working = 0;
    let kills = kills(KILLS);
    for n in 0..kills {
        let relay = Relay::start(&args);
        // From before it has connected to the middle of its work; every other one surely at work.
        if n % 2 == 0 {
            relay.await_log("reading the outbox");
        }
        let life = Duration::from_millis(rng.random_range(5..400));
        let born = Instant::now();
        eventually("its last moment", PATIENCE, || born.elapsed() >= life);
        working += usize::from(relay.log().contains("reading the outbox"));
        relay.kill();
    }
    writers.stop();
    println!("{working} of {kills} were killed at work");
    assert!(working > kills / 4);
    Relay::run(&[&args[..], &["--until-drained"]].concat()).expect(0, &[]);
    assert_eq!(database.rows(), 0);
    let committed = versions(&database);
    let mut consumer = Consumer::new(&[&topic]);
    demand(consumer.read_to_end(), &committed, Repeats::SameId);
}

/// GIVEN writers at work, WHEN Kafka is stopped, killed and started midway,
/// THEN the relay waits, the database buffers, and nothing is lost or doubled.
#[test]
fn a_broker_that_goes_and_comes_costs_nothing() {
    let seed = seed("broker");
    let kafka = services::Kafka::start("kafka-restarts", &[]);
    let database = Database::with_outbox();
    create_aggregates(&database, 30);
    let topic = unique("restart");
    create_topic_on(&kafka.brokers, &topic, 4, &[]);
    let relay = Relay::start(&["run", "--name", &topic, "--source", &database.url, "--brokers", &kafka.brokers, "--topic", &topic]);
    relay.await_log("reading the outbox");
    for kill in [false, true] {
        let writers = Writers::start(&database, 4, 30, 300, seed.wrapping_add(u64::from(kill)));
        kafka.stop(kill);
        writers.join();
        assert!(database.rows() > 0, "the database is the buffer");
        kafka.start_again();
        eventually("the backlog is published", PATIENCE, || database.rows() == 0);
    }
    relay.stop().expect(0, &[]);
    let committed = versions(&database);
    let mut consumer = Consumer::on(&kafka.brokers, &[&topic]);
    consumer.until("everything", PATIENCE, |received| is_complete(received, &committed));
    demand(consumer.read_to_end(), &committed, Repeats::Never);
}

/// GIVEN writers at work, WHEN Postgres is killed and comes back, THEN the
/// relay reconnects by itself and loses nothing.
#[test]
fn a_database_that_goes_and_comes_loses_nothing() {
    let seed = seed("postgres");
    let postgres = services::Postgres::start("postgres-restarts", &[]);
    let database = Database::on(&postgres.url);
    database.init(&[]);
    create_aggregates(&database, 30);
    let topic = unique("pgrestart");
    create_topic(&topic, 4, &[]);
    let args = ["run", "--name", &topic, "--source", &database.url, "--brokers", &services::kafka().brokers, "--topic", &topic];
    let relay = Relay::start(&args);
    relay.await_log("reading the outbox");
    for kill in [false, true] {
        Writers::start(&database, 4, 30, 150, seed.wrapping_add(u64::from(kill))).join();
        postgres.stop(kill);
        relay.await_log("database-unavailable");
        postgres.start_again();
        eventually("the backlog is published", PATIENCE, || database.rows() == 0);
    }
    relay.stop().expect(0, &[]);
    let committed = versions(&database);
    let mut consumer = Consumer::new(&[&topic]);
    consumer.until("everything", PATIENCE, |received| is_complete(received, &committed));
    demand(consumer.read_to_end(), &committed, Repeats::SameId);
}

/// GIVEN a relay at work, WHEN it is asked to stop, THEN it drains; a second
/// relay standing by takes over.
#[test]
fn a_standby_takes_over() {
    let database = Database::with_outbox();
    let topic = unique("standby");
    create_topic(&topic, 1, &[]);
    let args = ["run", "--name", &topic, "--source", &database.url, "--brokers", &services::kafka().brokers, "--topic", &topic];
    let first = Relay::start(&args);
    first.await_log("reading the outbox");
    let second = Relay::start(&args);
    second.await_log("standing by");
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("relay.toml");
    let toml = format!(
        "name = \"{topic}\"\n[source]\nkind = \"outbox\"\nurl = \"{}\"\n[sink]\nkind = \"kafka\"\nbrokers = \"x:1\"\n",
        database.url
    );
    std::fs::write(&path, toml).expect("writes");
    let status = || {
        let told = Relay::run(&["status", "--json", "-c", path.to_str().expect("a path")]).expect(0, &[]).stdout;
        serde_json::from_str::<serde_json::Value>(&told).expect("JSON")
    };
    eventually("one owns it, one stands by", PATIENCE, || status()["standing_by"] == 1);
    let owner = status()["owner"].clone();
    assert!(owner["pid"].is_i64() && owner["since"].as_str().is_some_and(|since| since.ends_with('Z')), "{owner}");
    let told = Relay::run(&["status", "-c", path.to_str().expect("a path")]).expect(0, &[]).stdout;
    assert!(told.contains("owner") && told.contains("1 standing by"), "{told}");
    first.kill();
    let mut client = database.connect();
    crate::support::database::insert(&mut client, "a", "X", "{}");
    second.await_log("reading the outbox");
    eventually("the row is published", PATIENCE, || database.rows() == 0);
    assert!(status()["owner"]["pid"] != owner["pid"] && status()["standing_by"] == 0, "{}", status());
    second.stop().expect(0, &[]);
    assert!(status()["owner"].is_null(), "{}", status());
}
