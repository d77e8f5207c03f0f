//! Property: an event that fails by itself is kept whole, waits with the later ones of
//! its key, stops nobody else's, and is published in its turn once it can be.

use crate::support::consumer::{Consumer, Received, create_topic, limit_topic};
use crate::support::database::{Database, insert};
use crate::support::oracle::{Repeats, demand, is_complete};
use crate::support::relay::{Finished, PATIENCE, Relay};
use crate::support::swapping::{Port, TOKEN, chameleon};
use crate::support::{component, eventually, services, unique};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A pipeline with dead letters.
pub struct Letters {
    pub database: Database,
    pub topic: String,
    directory: tempfile::TempDir,
}

/// Fails the events of type `poison`.
pub const STRICT: &str = "guests/hostile";

impl Letters {
    pub fn new(transform: &str, more: &str) -> Self {
        let this =
            Self { database: Database::with_outbox(), topic: unique("letters"), directory: tempfile::tempdir().expect("a directory") };
        create_topic(&this.topic, 4, &[]);
        this.configure(&component(STRICT), transform, more);
        this
    }

    pub fn config(&self) -> String {
        self.directory.path().join("relay.toml").to_str().expect("a path").to_owned()
    }

    pub fn configure(&self, path: &std::path::Path, transform: &str, more: &str) {
        let toml = format!(
            "name = \"{topic}\"\n[source]\nkind = \"outbox\"\nurl = \"{url}\"\n[sink]\nkind = \"kafka\"\nbrokers = \"{brokers}\"\n\
             topic = \"{topic}\"\n[admin]\nlisten = \"127.0.0.1:0\"\ntoken = \"{TOKEN}\"\n[modules]\ndirectory = \"modules\"\n\
             [flow]\nbatch_events = 500\n[dead_letters]\n{more}\n[[transform]]\nname = \"c\"\npath = \"{path}\"\n{transform}\n",
            topic = self.topic,
            url = self.database.url,
            brokers = services::kafka().brokers,
            path = path.display(),
        );
        std::fs::write(self.config(), toml).expect("writes");
    }

    /// Has it deliver exactly once, in small transactions.
    pub fn once(&self) {
        let text = std::fs::read_to_string(self.config()).expect("reads");
        let once = "delivery = \"exactly-once\"\n[transactions]\nmax_events = 10\nlinger = \"20ms\"\n[source]\n";
        std::fs::write(self.config(), text.replace("[source]\n", once)).expect("writes");
    }

    /// Has a relay die at a step, of a redrive if that is asked for.
    pub fn die_at(&self, step: &str, wish: Option<&str>) {
        let mut relay = Relay::start_with(&["run", "-c", &self.config()], &[("RELAY_CRASH_AT", step)]);
        if let Some(wish) = wish {
            let port = Port::of(&relay);
            let _ = ask(&port, &[wish, "--all"]);
        }
        eventually(&format!("it dies at {step}"), PATIENCE, || relay.ended().is_some());
    }

    /// A component that passes everything.
    pub fn mended(&self) -> PathBuf {
        self.with_component("pass")
    }

    /// The chameleon in a mode, as a file.
    pub fn with_component(&self, mode: &str) -> PathBuf {
        let path = self.directory.path().join(mode).with_extension("wasm");
        std::fs::write(&path, chameleon(mode)).expect("writes");
        path
    }

    pub fn serve(&self) -> (Relay, Port) {
        let relay = Relay::start(&["run", "-c", &self.config()]);
        let port = Port::of(&relay);
        (relay, port)
    }

    pub fn drain(&self) -> Finished {
        Relay::run(&["run", "-c", &self.config(), "--until-drained"])
    }

    /// Inserts events in one transaction: aggregate, version and type of each.
    pub fn insert(&self, events: &[(i64, i64, &str)]) {
        let mut client = self.database.connect();
        let mut tx = client.transaction().expect("begins");
        for (aggregate, version, event_type) in events {
            let payload = format!("{{\"aggregate\":{aggregate},\"version\":{version}}}");
            insert(&mut tx, &aggregate.to_string(), event_type, &payload);
        }
        tx.commit().expect("commits");
    }

    /// Inserts an event that no compression makes small.
    pub fn insert_large(&self, aggregate: i64, version: i64) {
        let noise: String = (0..60_000).map(|_| rand::random_range('a'..='z')).collect();
        let payload = format!("{{\"aggregate\":{aggregate},\"version\":{version},\"noise\":\"{noise}\"}}");
        insert(&mut self.database.connect(), &aggregate.to_string(), "pass", &payload);
    }

    pub fn until_done(&self) {
        eventually("the outbox is empty", PATIENCE, || self.database.rows() == 0);
    }

    /// What `relay dead-letters list` says.
    pub fn list(&self) -> Vec<Value> {
        let told = Relay::run(&["dead-letters", "list", "--json", "-c", &self.config()]).expect(0, &[]).stdout;
        told.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    pub fn received(&self) -> Vec<Received> {
        Consumer::new(&[&self.topic]).read_to_end().to_vec()
    }
}

pub fn ask(port: &Port, args: &[&str]) -> Finished {
    port.command(&[&["dead-letters"], args].concat())
}

fn text<'a>(letter: &'a Value, pointer: &str) -> &'a str {
    letter.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn published(received: &[Received], aggregate: i64) -> Vec<i64> {
    let of = |m: &Received| (m.json()["aggregate"] == aggregate).then(|| m.json()["version"].as_i64().expect("a version"));
    received.iter().filter_map(of).collect()
}

/// GIVEN one event in ten thousand that a transform cannot do, WHEN it is relayed in
/// batches of 500, THEN all others but the later ones of its key are published; WHEN the
/// relay is killed and started with a transform that can, and the letters are redriven,
/// THEN all are published, in order, and the key flows again.
#[test]
fn one_poison_event_in_ten_thousand() {
    let it = Letters::new("settings = {}", "");
    let events: Vec<(i64, i64, &str)> =
        (0..10_000).map(|n| (n % 100 + 1, n / 100 + 1, if n == 5_041 { "poison" } else { "pass" })).collect();
    it.insert(&events);
    let (relay, _) = it.serve();
    it.until_done();
    // Version 51 of aggregate 42, and 49 later ones.
    let letters = it.list();
    assert_eq!(letters.len(), 50, "{letters:?}");
    let dead = &letters[0];
    assert_eq!((text(dead, "/state"), text(dead, "/error/code"), text(dead, "/error/at/transform")), ("dead", "poison", "c"), "{dead}");
    for (pointer, wanted) in
        [("/error/message", "the transform failed the event"), ("/error/at/digest", ""), ("/made_by", "c@"), ("/first", "20")]
    {
        assert!(text(dead, pointer).contains(wanted) && !text(dead, pointer).is_empty(), "{pointer}: {dead}");
    }
    assert_eq!(dead["attempts"], 1);
    assert!(letters[1..].iter().all(|letter| text(letter, "/state") == "parked" && letter["attempts"] == 0), "{letters:?}");
    let received = it.received();
    assert_eq!(received.len(), 9_950);
    assert_eq!(published(&received, 42), (1..=50).collect::<Vec<_>>());
    let shown = Relay::run(&["dead-letters", "show", text(dead, "/id"), "-c", &it.config()]).expect(0, &[]).stdout;
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!(shown["event"]["payload"]["version"], 51, "{shown}");

    relay.kill();
    it.configure(&it.mended(), "", "");
    let (relay, port) = it.serve();
    it.insert(&[(42, 101, "pass"), (43, 101, "pass")]);
    it.until_done();
    assert_eq!(it.list().len(), 51, "the key is held over a restart");
    let told = ask(&port, &["redrive", "--all"]).expect(0, &[]).stdout;
    assert!(told.contains("51 redriven, 0 failed again"), "{told}");
    assert!(it.list().is_empty());
    it.insert(&[(42, 102, "pass")]);
    it.until_done();
    relay.stop().expect(0, &[]);
    let mut committed: BTreeMap<i64, i64> = (1..=100).map(|aggregate| (aggregate, 100)).collect();
    committed.extend([(42, 102), (43, 101)]);
    demand(&it.received(), &committed, Repeats::Never);
}

/// GIVEN each policy, WHEN an event fails, THEN what the policy says follows.
#[test]
fn each_policy_does_what_it_says() {
    let events = [(1, 1, "pass"), (1, 2, "poison"), (1, 3, "pass"), (2, 1, "trap"), (2, 2, "pass")];
    for (policy, left, first, second) in
        [("skip", 0, vec![1, 3], vec![2]), ("continue", 2, vec![1, 3], vec![2]), ("park", 4, vec![1], vec![])]
    {
        let it = Letters::new(&format!("on_poison = \"{policy}\""), "");
        it.insert(&events);
        it.drain().expect(0, &[]);
        let (letters, received) = (it.list(), it.received());
        assert_eq!(letters.len(), left, "{policy}: {letters:?}");
        assert_eq!((published(&received, 1), published(&received, 2)), (first, second), "{policy}");
        assert_eq!(it.database.rows(), 0);
    }
    let it = Letters::new("on_poison = \"halt\"", "");
    it.insert(&events[..3]);
    it.drain().expect(7, &["[poison]"]);
    assert_eq!((it.list().len(), it.database.rows()), (0, 2));
    // What the guest asks for is no policy.
    let it = Letters::new("", "");
    it.insert(&[(1, 1, "halt")]);
    it.drain().expect(7, &["[transform-halt]"]);
}

/// GIVEN an event that the broker would refuse, WHEN it is its turn, THEN it becomes a
/// letter before any of its messages is sent.
#[test]
fn what_the_broker_would_refuse_is_a_letter() {
    let it = Letters::new("", "");
    it.insert(&[(1, 1, "pass"), (1, 2, "badpartition"), (1, 3, "pass"), (2, 1, "pass")]);
    it.drain().expect(0, &[]);
    let letters = it.list();
    assert_eq!(letters.len(), 2, "{letters:?}");
    assert_eq!(text(&letters[0], "/error/code"), "message-refused");
    assert_eq!(it.received().len(), 2);
}

/// GIVEN a message that the broker refuses although nothing said that it would, WHEN it is
/// found among many, THEN its event is a letter, and everybody else's are published.
#[test]
fn what_the_broker_refuses_unforeseen_is_found() {
    for once in [false, true] {
        let it = Letters::new("", "");
        // Compressed it might fit, so that only the broker knows.
        let toml = std::fs::read_to_string(it.config()).expect("reads");
        let options = "[sink.librdkafka]\n\"compression.type\" = \"lz4\"\n[dead_letters]";
        std::fs::write(it.config(), toml.replace("[dead_letters]", options)).expect("writes");
        if once {
            it.once();
        }
        limit_topic(&it.topic, "max.message.bytes", "20000");
        let (relay, port) = it.serve();
        let mut client = it.database.connect();
        for versions in [1..=16, 17..=40] {
            let mut tx = client.transaction().expect("begins");
            for (version, aggregate) in versions.flat_map(|version| (1..=10).map(move |aggregate| (version, aggregate))) {
                let length = if (aggregate, version) == (4, 17) { 60_000 } else { 10 };
                let noise: String = (0..length).map(|_| rand::random_range('a'..='z')).collect();
                let payload = format!("{{\"aggregate\":{aggregate},\"version\":{version},\"noise\":\"{noise}\"}}");
                insert(&mut tx, &aggregate.to_string(), "pass", &payload);
            }
            tx.commit().expect("commits");
            // The first ones are known to the broker before one is refused.
            it.until_done();
        }
        let letters = it.list();
        assert_eq!(letters.len(), 24, "{letters:?}");
        assert_eq!((text(&letters[0], "/state"), text(&letters[0], "/error/code")), ("dead", "message-refused"), "{}", letters[0]);
        assert!(text(&letters[0], "/error/message").contains("the broker refused a message"), "{}", letters[0]);
        limit_topic(&it.topic, "max.message.bytes", "1000000");
        ask(&port, &["redrive", "--all"]).expect(0, &[]);
        relay.stop().expect(0, &[]);
        let committed: BTreeMap<i64, i64> = (1..=10).map(|aggregate| (aggregate, 40)).collect();
        let mut consumer = Consumer::new(&[&it.topic]);
        consumer.until("everything", PATIENCE, |received| is_complete(received, &committed));
        demand(consumer.read_to_end(), &committed, if once { Repeats::Never } else { Repeats::SameId });
    }
}

/// GIVEN letters, WHEN a redrive fails again, THEN it says so, the order is kept, and the
/// attempts are counted; WHEN the guilty one is discarded, THEN the rest can be redriven.
#[test]
fn what_fails_again_stays_in_its_place() {
    let it = Letters::new("", "");
    let (relay, port) = it.serve();
    it.insert(&[(1, 1, "poison"), (1, 2, "pass"), (1, 3, "poison"), (1, 4, "pass"), (2, 1, "poison")]);
    it.until_done();
    let told = ask(&port, &["redrive", "--all"]).expect(7, &["5 letters are still not published"]).stdout;
    assert!(told.contains("0 redriven"), "{told}");
    let states = || -> Vec<_> {
        // Lanes write beside one another; what counts is the order of a key.
        let of = |key: &str| Relay::run(&["dead-letters", "list", "--json", "--key", key, "-c", &it.config()]).expect(0, &[]).stdout;
        let read = |line: &str| serde_json::from_str::<Value>(line).expect("JSON");
        let told = [of("1"), of("2")].concat();
        told.lines().map(read).map(|letter| (letter["attempts"].as_u64().expect("a number"), text(&letter, "/state").to_owned())).collect()
    };
    let is = |wanted: &[(u64, &str)]| assert_eq!(states(), wanted.iter().map(|(n, state)| (*n, (*state).to_owned())).collect::<Vec<_>>());
    is(&[(2, "dead"), (0, "parked"), (0, "parked"), (0, "parked"), (2, "dead")]);
    let letters = it.list();
    let first = letters.iter().find(|letter| text(letter, "/id").contains("@1/")).expect("the first");
    let id = text(first, "/id").to_owned();
    ask(&port, &["redrive", "--key", "3"]).expect(0, &[]);
    ask(&port, &["discard"]).expect(3, &["which letters?"]);
    let told = ask(&port, &["discard", &id]).expect(0, &[]).stdout;
    assert!(told.contains("1 discarded, 4 left"), "{told}");
    // A parked one fails as it comes, and becomes a dead one.
    ask(&port, &["redrive", "--key", "1"]).expect(7, &[]);
    is(&[(1, "dead"), (0, "parked"), (2, "dead")]);
    let letters = it.list();
    let third = letters.iter().find(|letter| text(letter, "/id").contains("@3/")).expect("the third");
    // By the id of its event, which is what people have.
    let event = text(third, "/id").split('@').next().expect("an id").to_owned();
    ask(&port, &["discard", &event]).expect(0, &[]);
    ask(&port, &["redrive", "--key", "1"]).expect(0, &[]);
    it.insert(&[(1, 5, "pass")]);
    it.until_done();
    assert_eq!(published(&it.received(), 1), [2, 4, 5]);
    let (code, answer) = port.request("POST", "/v1/dead-letters/redrive", None, b"{}");
    assert_eq!(code, 401, "{answer}");
    relay.stop().expect(0, &[]);
}

/// GIVEN a place for two letters, WHEN there are two, THEN the source is paused and
/// nothing is lost; WHEN there is room again, THEN it goes on. In both ways of delivery.
#[test]
fn a_full_store_pauses_the_source() {
    for once in [false, true] {
        let it = Letters::new("", "max_events = 2\nwarn_events = 1");
        if once {
            it.once();
        }
        let (relay, port) = it.serve();
        it.insert(&[(1, 1, "poison"), (1, 2, "pass")]);
        it.until_done();
        relay.await_log("dead letters pile up");
        it.insert(&[(1, 3, "pass"), (2, 1, "pass")]);
        assert_eq!(it.list().len(), 2);
        assert_eq!(it.database.rows(), 2, "the others wait where they are");
        // Paused it can be stopped, and started.
        relay.stop().expect(0, &[]);
        drop(port);
        let (relay, port) = it.serve();
        assert_eq!((it.database.rows(), it.list().len()), (2, 2));
        ask(&port, &["discard", "--state", "dead"]).expect(0, &[]);
        it.until_done();
        ask(&port, &["redrive", "--all"]).expect(0, &[]);
        assert!(it.list().is_empty());
        relay.stop().expect(0, &[]);
        let mut consumer = Consumer::new(&[&it.topic]);
        consumer.until("all", PATIENCE, |received| received.len() == 3);
        assert_eq!((published(&consumer.received, 1), published(&consumer.received, 2)), (vec![2, 3], vec![1]));
    }
}

/// GIVEN configurations that contradict themselves, WHEN they are checked, THEN the field
/// and the remedy are said.
#[test]
fn contradictions_are_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("relay.toml");
    let head = "[source]\nkind = \"file\"\npath = \"-\"\n";
    let (kafka, file) = ("[sink]\nkind = \"kafka\"\nbrokers = \"b:1\"\n", "[sink]\nkind = \"stdout\"\n");
    for (rest, field) in [
        (format!("{kafka}on_refused = \"park\"\n"), "sink.on_refused"),
        (format!("{kafka}[[transform]]\npath = \"x.wasm\"\non_poison = \"continue\"\n"), "transform.on_poison"),
        (format!("{kafka}[dead_letters]\nfile = \"x\"\n"), "dead_letters.file"),
        (format!("{kafka}[dead_letters]\ntopic = \"no/name\"\n"), "dead_letters.topic"),
        (format!("{file}[dead_letters]\ntopic = \"x\"\n"), "dead_letters.topic"),
        (format!("{file}[dead_letters]\n"), "dead_letters.file"),
        (format!("{kafka}[dead_letters]\nmax_events = 0\n"), "dead_letters.max_events"),
        (format!("{kafka}[[transform]]\npath = \"x.wasm\"\non_poison = \"retry\"\n"), "on_poison"),
        (format!("{kafka}[dead_letters]\ntable = \"letters\"\n"), "dead_letters.table"),
        (format!("{kafka}[dead_letters]\nattempts = 0\n"), "dead_letters.attempts"),
    ] {
        std::fs::write(&path, format!("{head}{rest}")).expect("writes");
        Relay::run(&["check", "--offline", "-c", path.to_str().expect("a path")]).expect(3, &[field]);
    }
    let outbox = format!("delivery = \"exactly-once\"\n[source]\nkind = \"outbox\"\nurl = \"postgres://u@h/d\"\n{kafka}");
    for (rest, said) in [("", "in the transaction that publishes"), ("topic = \"x\"\n", "in one place")] {
        std::fs::write(&path, format!("{outbox}[dead_letters]\ntable = \"letters\"\n{rest}")).expect("writes");
        Relay::run(&["check", "--offline", "-c", path.to_str().expect("a path")]).expect(3, &["dead_letters.table", said]);
    }
    std::fs::write(&path, format!("{head}{file}")).expect("writes");
    Relay::run(&["dead-letters", "list", "-c", path.to_str().expect("a path")]).expect(3, &["add [dead_letters]"]);
}
