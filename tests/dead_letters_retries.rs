//! Property: an event that is tried again by itself holds back its key, and nobody else's.

use crate::dead_letters::Letters;
use crate::support::consumer::{Consumer, Received, limit_topic};
use crate::support::eventually;
use crate::support::oracle::{Repeats, demand, is_complete};
use crate::support::relay::PATIENCE;
use std::collections::BTreeMap;

/// GIVEN a message that the broker refuses for a while, WHEN its letter is tried again by
/// itself, THEN other keys flow meanwhile; WHEN the broker takes it, THEN it and what waited
/// behind it are published in order, without anybody's doing. Over a restart, too.
#[test]
fn only_its_key_waits_for_a_retry() {
    for once in [false, true] {
        let it = Letters::new("", "retries = 1000\nretry_min = \"50ms\"\nretry_max = \"100ms\"");
        if once {
            it.once();
        }
        limit_topic(&it.topic, "max.message.bytes", "20000");
        let (relay, _) = it.serve();
        it.insert_large(1, 1);
        it.insert(&[(1, 2, "pass"), (2, 1, "pass"), (2, 2, "pass")]);
        it.until_done();
        let tried = |times: u64| {
            let first = it.list().iter().find(|letter| letter["state"] == "dead").and_then(|letter| letter["attempts"].as_u64());
            first.is_some_and(|attempts| attempts > times)
        };
        eventually("it was tried again and again", PATIENCE, || tried(2));
        assert_eq!(it.list().len(), 2, "it, and the one behind it");
        relay.kill();
        let (relay, _) = it.serve();
        let before = it.list()[0]["attempts"].as_u64().expect("a number");
        eventually("it is tried on", PATIENCE, || tried(before));
        limit_topic(&it.topic, "max.message.bytes", "1000000");
        // What the relay knows of the topic's limits is refreshed at the next start.
        relay.stop().expect(0, &[]);
        let (relay, _) = it.serve();
        eventually("no letter is left", PATIENCE, || it.list().is_empty());
        relay.stop().expect(0, &[]);
        let committed = BTreeMap::from([(1, 2), (2, 2)]);
        let mut consumer = Consumer::new(&[&it.topic]);
        consumer.until("everything", PATIENCE, |received: &[Received]| is_complete(received, &committed));
        demand(consumer.read_to_end(), &committed, if once { Repeats::Never } else { Repeats::SameId });
    }
}

/// GIVEN a bound, WHEN a letter has failed that often, THEN it is left to people.
#[test]
fn retries_end() {
    let it = Letters::new("", "retries = 2\nretry_min = \"20ms\"");
    let (relay, _) = it.serve();
    it.insert(&[(1, 1, "poison"), (1, 2, "pass")]);
    it.until_done();
    eventually("the last attempt", PATIENCE, || it.list()[0]["attempts"] == 3);
    // One more would have come by then: each list is a process, and takes longer than the pause.
    (0..5).for_each(|_| assert_eq!(it.list()[0]["attempts"], 3));
    let log = relay.stop().expect(0, &[]).stderr;
    assert_eq!(log.matches("tried again by themselves").count(), 2, "{log}");
}

/// GIVEN a message that only the broker knows to refuse, WHEN its letter is tried again by
/// itself, THEN the attempts are counted and end, and no session is lost over and over.
#[test]
fn what_is_refused_unforeseen_is_not_sent_again_and_again() {
    let it = Letters::new("", "retries = 2\nretry_min = \"20ms\"");
    let toml = std::fs::read_to_string(it.config()).expect("reads");
    let options = "[sink.librdkafka]\n\"compression.type\" = \"lz4\"\n[dead_letters]";
    std::fs::write(it.config(), toml.replace("[dead_letters]", options)).expect("writes");
    limit_topic(&it.topic, "max.message.bytes", "20000");
    let (relay, _) = it.serve();
    it.insert_large(1, 1);
    eventually("the last attempt", PATIENCE, || it.list().first().is_some_and(|letter| letter["attempts"] == 3));
    it.insert(&[(2, 1, "pass")]);
    it.until_done();
    let log = relay.stop().expect(0, &[]).stderr;
    assert!(log.matches("reading the outbox").count() <= 3, "found, and left alone: {log}");
}
