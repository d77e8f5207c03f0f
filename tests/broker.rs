//! Property: a broker that is away is waited for; one that refuses is reported;
//! SASL and TLS work as configured.

use crate::support::consumer::{Consumer, create_topic, create_topic_on};
use crate::support::database::{Database, insert};
use crate::support::relay::{PATIENCE, Relay};
use crate::support::{eventually, services, unique};

/// GIVEN no broker at start, WHEN one comes up, THEN the backlog is published.
#[test]
fn a_broker_that_is_down_at_start_is_waited_for() {
    let kafka = services::Kafka::start("kafka-late", &[]);
    let topic = unique("late_broker");
    create_topic_on(&kafka.brokers, &topic, 1, &[]);
    kafka.stop(false);
    let database = Database::with_outbox();
    insert(&mut database.connect(), "a", "X", "{}");
    let checked = Relay::run(&["check", "--source", &database.url, "--brokers", &kafka.brokers, "--topic", &topic]);
    checked.expect(6, &["no broker answers"]);
    let relay = Relay::start(&["run", "--source", &database.url, "--brokers", &kafka.brokers, "--topic", &topic]);
    relay.await_log("no broker answers");
    assert_eq!(database.rows(), 1);
    kafka.start_again();
    eventually("the row is published", PATIENCE, || database.rows() == 0);
    relay.stop().expect(0, &[]);
}

/// A stop while the broker is away ends in time and loses nothing.
#[test]
fn stopping_without_a_broker_gives_up_in_time() {
    let database = Database::with_outbox();
    insert(&mut database.connect(), "a", "X", "{}");
    let directory = tempfile::tempdir().expect("a directory");
    let config = directory.path().join("relay.toml");
    let text = format!(
        "[source]\nkind = \"outbox\"\nurl = \"{}\"\n[sink]\nkind = \"kafka\"\nbrokers = \"127.0.0.1:1\"\n[flow]\ndrain_timeout = \"1s\"\n",
        database.url
    );
    std::fs::write(&config, text).expect("writes");
    let relay = Relay::start(&["run", "-v", "-c", config.to_str().expect("a path")]);
    relay.await_log("waiting for a broker");
    relay.stop().expect(9, &["[drain-timeout]", "nothing is lost"]);
    assert_eq!(database.rows(), 1);
}

/// SCRAM and PLAIN over TLS; a wrong password and an unknown authority are
/// reported, not retried in silence.
#[test]
fn sasl_and_tls() {
    let kafka = services::Kafka::start("kafka-secure", &["--secure"]);
    let (brokers, ca) = kafka.secure.clone().expect("a secure listener");
    let topic = unique("secure");
    create_topic_on(&kafka.brokers, &topic, 1, &[]);
    let database = Database::with_outbox();
    let mut client = database.connect();
    let ca = format!("ssl.ca.location={ca}");
    let mut published = 0;
    for mechanism in ["SCRAM-SHA-512", "PLAIN"] {
        insert(&mut client, "a", "X", "{}");
        let mechanism = format!("sasl.mechanism={mechanism}");
        let args = |password: &str, command: &str| {
            let password = format!("sasl.password={password}");
            let mut args: Vec<String> =
                [command, "--source", &database.url, "--brokers", &brokers, "--topic", &topic].map(str::to_owned).into();
            for option in ["security.protocol=SASL_SSL", &mechanism, "sasl.username=relay", &password, &ca] {
                args.extend(["-X".to_owned(), option.to_owned()]);
            }
            args
        };
        let finished = Relay::run(&args("wrong", "check")).expect(6, &["sasl.*"]);
        assert!(!finished.stdout.contains("wrong") && !finished.stderr.contains("=wrong"), "no secret in the output");
        let mut run = args("relay-secret", "run");
        run.push("--until-drained".to_owned());
        Relay::run(&run).expect(0, &["messages=1"]);
        published += 1;
    }
    let mut consumer = Consumer::on(&kafka.brokers, &[&topic]);
    consumer.until("both", PATIENCE, |r| r.len() == published);
}

/// Topic, key, headers, tombstones and partition as the contract says.
#[test]
fn what_a_message_carries() {
    let database = Database::with_outbox();
    let entity = unique("kind");
    let topic = format!("outbox.event.{entity}");
    create_topic(&topic, 3, &[]);
    database
        .connect()
        .execute(
            "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, headers) VALUES ($1, 'k1', 'Made', '{\"a\":1}', '{\"traceparent\":\"00-x\",\"n\":null}'), ($1, 'k1', 'Gone', NULL, NULL)",
            &[&entity],
        )
        .expect("inserts");
    Relay::run(&["run", "--source", &database.url, "--brokers", &services::kafka().brokers, "--until-drained"]).expect(0, &[]);
    let mut consumer = Consumer::new(&[&topic]);
    let received = consumer.until("both", PATIENCE, |r| r.len() == 2);
    assert_eq!(received[0].partition, received[1].partition);
    assert_eq!(received[0].key.as_deref(), Some("k1"));
    assert_eq!(received[0].json(), serde_json::json!({ "a": 1 }));
    assert_eq!(received[0].header("traceparent").as_deref(), Some("00-x"));
    assert!(received[0].headers.contains(&("n".to_owned(), None)));
    assert_eq!(received[0].header("relay-position").as_deref(), Some("1/0"));
    assert_eq!(received[1].payload, None, "a tombstone");
}
