//! Property: an event that kills the relay is found, whoever starts it again, and becomes
//! a letter; everything else is published in order.

use crate::dead_letters::{Letters, STRICT, ask};
use crate::support::consumer::{Consumer, Received};
use crate::support::oracle::{Repeats, demand, is_complete};
use crate::support::relay::{PATIENCE, Relay};
use crate::support::{component, eventually};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Deaths of a relay until an event that kills it is found: two for the suspicion, three
/// with the event alone.
const DEATHS: usize = 5;

const AGGREGATES: i64 = 10;
const VERSIONS: i64 = 20;

/// Inserts the versions of each aggregate; the id of one of them.
fn insert_all(it: &Letters) -> String {
    let all: Vec<_> = (1..=VERSIONS).flat_map(|version| (1..=AGGREGATES).map(move |aggregate| (aggregate, version, "pass"))).collect();
    it.insert(&all);
    let seventh = "SELECT id::text FROM outbox WHERE payload->>'aggregate' = '3' AND payload->>'version' = '7'";
    it.database.connect().query_one(seventh, &[]).expect("an event").get(0)
}

/// Starts relays that the event kills, one after the other, until one ends by itself; how
/// many died.
fn deaths(it: &Letters, id: &str, code: i32) -> usize {
    let run = || Relay::start_with(&["run", "-c", &it.config(), "--until-drained"], &[("RELAY_CRASH_ON", id)]).wait();
    for deaths in 0..=2 * DEATHS {
        let finished = run();
        if finished.code.is_some() {
            finished.expect(code, &[]);
            return deaths;
        }
    }
    panic!("{} relays died, and there is no end of it", 2 * DEATHS);
}

/// GIVEN an event that kills every relay that runs it, WHEN relays are started again and
/// again, THEN it becomes a letter, later ones of its key are held back, all others are
/// published; WHEN it is redriven in a relay that it does not kill, THEN all are, in order.
#[test]
fn an_event_that_kills_the_relay_is_found() {
    for once in [false, true] {
        let it = Letters::new("", "");
        if once {
            it.once();
        }
        let id = insert_all(&it);
        assert_eq!(deaths(&it, &id, 0), DEATHS);
        let letters = it.list();
        assert_eq!(letters.len(), 14, "it and the later ones of its key: {letters:?}");
        let dead: Vec<&Value> = letters.iter().filter(|letter| letter["state"] == "dead").collect();
        let [dead] = &*dead else { panic!("one is dead: {letters:?}") };
        assert!(dead["id"].as_str().is_some_and(|name| name.starts_with(&id)), "{dead}");
        assert_eq!(dead["error"]["code"], "deadly", "{dead}");
        assert!(dead["error"]["message"].as_str().is_some_and(|said| said.contains("3 relays died")), "{dead}");
        let (relay, port) = it.serve();
        ask(&port, &["redrive", "--all"]).expect(0, &[]);
        relay.stop().expect(0, &[]);
        let committed: BTreeMap<i64, i64> = (1..=AGGREGATES).map(|aggregate| (aggregate, VERSIONS)).collect();
        let mut consumer = Consumer::new(&[&it.topic]);
        consumer.until("everything", PATIENCE, |received| is_complete(received, &committed));
        demand(consumer.read_to_end(), &committed, if once { Repeats::Never } else { Repeats::SameId });
    }
}

/// GIVEN a transform that halts at what fails, WHEN an event of it kills the relay, THEN
/// the relay halts at it in the end, and goes on when that is to be skipped.
#[test]
fn a_deadly_event_halts_where_failures_do() {
    let it = Letters::new("on_poison = \"halt\"", "after_deaths = 1\nattempts = 1");
    let id = insert_all(&it);
    assert_eq!(deaths(&it, &id, 7), 2);
    Relay::run(&["run", "-c", &it.config(), "--until-drained"]).expect(7, &["[deadly]", "1 relays died", "relay replay"]);
    Relay::run(&["skip", &id, "-c", &it.config()]).expect(0, &[]);
    assert_eq!(deaths(&it, &id, 0), 0);
    assert_eq!(it.list().len(), 1, "it is kept, and nobody waits for it");
    // A relay that dies may have sent what stands before the event, and not know of it.
    let ids: BTreeSet<String> = it.received().iter().map(Received::id).collect();
    assert_eq!(ids.len(), 199);
    assert!(!ids.contains(&id), "it was skipped");
}

/// GIVEN relays that are killed by somebody else, WHEN the next ones run events alone, THEN
/// no event is blamed, and everything is published.
#[test]
fn deaths_that_no_event_is_to_blame_for() {
    let it = Letters::new("", "");
    it.configure(&component(STRICT), "", "after_deaths = 1");
    it.insert(&[(1, 1, "pass"), (1, 2, "poison"), (2, 1, "pass")]);
    it.die_at("letter-written", None);
    it.die_at("letter-written", None);
    it.drain().expect(0, &["relays died one after the other"]);
    let letters = it.list();
    assert_eq!(letters.len(), 1, "{letters:?}");
    assert_eq!(letters[0]["error"]["code"], "poison", "{letters:?}");
    it.insert(&[(2, 2, "pass")]);
    let quiet = it.drain().expect(0, &[]);
    assert!(!quiet.stderr.contains("one at a time"), "an orderly end forgets: {}", quiet.stderr);
}

/// GIVEN a letter that kills the relay when it is tried again by itself, WHEN relays are
/// started again and again, THEN it is found too, and left to people.
#[test]
fn a_letter_that_kills_when_it_is_tried_again() {
    let it = Letters::new("", "retries = 5\nretry_min = \"20ms\"");
    it.insert(&[(1, 1, "poison"), (2, 1, "pass")]);
    it.drain().expect(0, &[]);
    let name = it.list()[0]["id"].as_str().expect("a name").to_owned();
    let id = name.rsplit_once('@').expect("an id and a place").0;
    let deadly = || it.list()[0]["error"]["code"] == "deadly";
    let found = (0..=2 * DEATHS).any(|_| {
        let mut relay = Relay::start_with(&["run", "-c", &it.config()], &[("RELAY_CRASH_ON", id)]);
        let mut found = false;
        eventually("it dies, or finds it", PATIENCE, || {
            found = deadly();
            found || relay.ended().is_some()
        });
        found
    });
    assert!(found, "{:?}", it.list());
    // Without anybody's doing it is not run any more.
    let (relay, _) = it.serve();
    it.insert(&[(2, 2, "pass")]);
    it.until_done();
    relay.stop().expect(0, &[]);
    assert!(deadly());
}
