//! Property: a first signal drains, a second stops at once; either way nothing
//! is lost and the exit code tells which.

use crate::support::consumer::{Consumer, create_topic};
use crate::support::database::Database;
use crate::support::oracle::{Repeats, Writers, create_aggregates, demand, versions};
use crate::support::relay::Relay;
use crate::support::{seed, services, unique};

/// GIVEN writers at work, WHEN the relay is stopped and started ten times with
/// SIGTERM or SIGINT, THEN nothing is lost and, since each stop drains, nothing
/// comes twice.
#[test]
fn stopping_drains() {
    let seed = seed("stopping");
    let database = Database::with_outbox();
    create_aggregates(&database, 20);
    let topic = unique("stopping");
    create_topic(&topic, 3, &[]);
    let args = ["run", "--name", &topic, "--source", &database.url, "--brokers", &services::kafka().brokers, "--topic", &topic];
    let writers = Writers::start(&database, 4, 20, usize::MAX, seed);
    for n in 0..10 {
        let relay = Relay::start(&args);
        relay.await_log("reading the outbox");
        relay.signal(if n % 2 == 0 { "TERM" } else { "INT" });
        relay.wait().expect(0, &["stopping: finishing what is in flight"]);
    }
    writers.stop();
    Relay::run(&[&args[..], &["--until-drained"]].concat()).expect(0, &[]);
    let committed = versions(&database);
    let mut consumer = Consumer::new(&[&topic]);
    demand(consumer.read_to_end(), &committed, Repeats::Never);
}

/// GIVEN a drain that cannot end, WHEN a second signal comes, THEN the process
/// is gone at once and the row is still there.
#[test]
fn a_second_signal_stops_at_once() {
    let database = Database::with_outbox();
    crate::support::database::insert(&mut database.connect(), "a", "X", "{}");
    let args = ["run", "-v", "--source", &database.url, "--brokers", "127.0.0.1:1"];
    let relay = Relay::start(&args);
    relay.await_log("waiting for a broker");
    relay.signal("TERM");
    relay.await_log("a second signal stops at once");
    relay.signal("INT");
    relay.wait().expect(130, &["second signal"]);
    assert_eq!(database.rows(), 1);
}

/// A drain that was asked for and did not happen is no success.
#[test]
fn an_interrupted_drain_says_so() {
    let database = Database::with_outbox();
    let args = ["run", "--source", &database.url, "--stdout"];
    let owner = Relay::start(&args);
    owner.await_log("reading the outbox");
    let waiting = Relay::start(&[&args[..], &["--until-drained"]].concat());
    waiting.await_log("standing by");
    waiting.stop().expect(130, &["stopped before everything was published"]);
    owner.stop().expect(0, &[]);
}
