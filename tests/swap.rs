//! Property: a new generation takes over between two events, loses and reorders
//! nothing, and one that is bad is refused at its gate or sent back, while events
//! flow on the old one.

use crate::support::consumer::Consumer;
use crate::support::oracle::{Repeats, Writers, create_aggregates, demand, versions};
use crate::support::relay::PATIENCE;
use crate::support::swapping::{Port, Swapping, TOKEN, chameleon, made_by, short_digest};
use crate::support::{component, eventually, seed};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What is slow is over the time tolerated or over its deadline, by the machine's speed.
const SLOW: &str = "time: | trap:deadline";

/// Whether a reason has one of the texts.
fn says(reason: &serde_json::Value, texts: &str) -> bool {
    reason.as_str().is_some_and(|reason| texts.split(" | ").any(|text| reason.contains(text)))
}

/// GIVEN writers at work, WHEN a hundred swaps follow each other, THEN every event
/// arrives once, in order, and both versions made some.
#[test]
fn a_hundred_swaps_under_load() {
    let seed = seed("swaps");
    // Other tests take the cores for longer than an event may take.
    let it = Swapping::new("tolerate = { event_time = \"5s\" }", "");
    create_aggregates(&it.database, 30);
    let (relay, port) = it.serve();
    let writers = Writers::start(&it.database, 4, 30, usize::MAX, seed);
    let versions_of = [chameleon("pass2"), chameleon("pass")];
    for n in 0..100 {
        let (code, report) = port.swap("", &versions_of[n % 2]);
        assert_eq!((code, report["outcome"].as_str()), (200, Some("probation")), "swap {n}: {report}");
    }
    assert_eq!(port.generations()["active"]["number"], 101);
    writers.stop();
    it.until_published();
    relay.stop().expect(0, &[]);
    let committed = versions(&it.database);
    let mut consumer = Consumer::new(&[&it.topic]);
    let received = consumer.read_to_end();
    demand(received, &committed, Repeats::Never);
    let makers: BTreeSet<String> = received.iter().map(made_by).collect();
    assert_eq!(makers.len(), 2, "each message is of one of the two: {makers:?}");
}

/// GIVEN a chain at work, WHEN a bad component is offered, THEN it is refused at
/// its gate, the history says so, and the old one goes on.
#[test]
fn each_gate_refuses_what_it_is_for() {
    let it = Swapping::new("max_component = \"1MB\"", "cases = \"cases\"\ntopics = [\"*\"]");
    std::fs::create_dir(it.path("cases")).expect("a directory");
    let case = "name: it passes or routes\nevents: [{topic: t}]\ntopics: ['*']\noutcomes: [pass]\n";
    std::fs::write(it.path("cases/pass.case.yaml"), case).expect("writes");
    let (relay, port) = it.serve();
    it.insert(&["a", "b"], 100);
    it.until_published();
    let guest = |name: &str| std::fs::read(component(&format!("guests/{name}"))).expect("reads");
    let bad = [
        ("imports", "not WebAssembly", b"hello".to_vec()),
        ("imports", "an empty file", Vec::new()),
        ("imports", "core module", guest("core-module")),
        ("imports", "does not export", guest("other-world")),
        ("imports", "imports `", guest("extra-import")),
        ("imports", "wasi:", guest("wasi-import")),
        ("imports", "readable", guest("hostile")[..5000].to_vec()),
        ("trial", "differs from the contract", guest("old-enum")),
        ("trial", "refused the settings", chameleon("refuse")),
        ("cases", "`it passes or routes`", chameleon("poison")),
        ("cases", "`it passes or routes`", chameleon("topic")),
    ];
    for (gate, text, bytes) in bad {
        let (code, report) = port.swap("", &bytes);
        let last = report["gates"].as_array().and_then(|gates| gates.last().cloned()).unwrap_or_default();
        assert_eq!((code, report["outcome"].as_str(), last["gate"].as_str()), (422, Some("refused"), Some(gate)), "{text}: {report}");
        assert!(says(&report["reason"], text), "{text}: {report}");
        let entry = port.newest();
        assert_eq!((entry["outcome"].as_str(), entry["way"].as_str()), (Some("refused"), Some("swap")), "{entry}");
        assert_eq!(entry["reason"], report["reason"]);
    }
    // Too large is not even received; a wrong digest is the first gate.
    assert_eq!(port.swap("", &vec![0; 2_000_000]).0, 413);
    let (code, report) = port.swap("?digest=sha256:00", &chameleon("pass2"));
    assert_eq!((code, report["gates"][0]["gate"].as_str()), (422, Some("digest")), "{report}");
    it.insert(&["a", "b"], 10);
    it.until_published();
    assert_eq!(port.active(), short_digest(&it.path("chameleon.wasm")));
    relay.stop().expect(0, &["the new generation is refused"]);
}

/// GIVEN recent events, WHEN a component makes something else of them, THEN the
/// shadow refuses it, or shows it where that is allowed.
#[test]
fn the_shadow_tells_what_would_change() {
    let it = Swapping::new("", "topics = [\"*\"]");
    let (relay, port) = it.serve();
    it.insert(&["a", "b"], 100);
    it.until_published();
    let refused = [
        ("topic", "go to another topic"),
        ("key", "get another key"),
        ("drop", "become another number"),
        ("poison", "fail that the old generation can do"),
        ("trap", "fail that the old generation can do"),
        ("after 50 trap", "faults: trap:unreachable"),
        ("slow", SLOW),
        ("leak", "memory"),
        ("flood", "output: "),
    ];
    for (mode, text) in refused {
        let (code, report) = port.swap("", &chameleon(mode));
        let last = report["gates"].as_array().and_then(|gates| gates.last().cloned()).unwrap_or_default();
        assert_eq!((code, last["gate"].as_str()), (422, Some("shadow")), "{mode}: {report}");
        assert!(says(&report["reason"], text), "{mode}: {report}");
    }
    // Payloads may differ, unless nothing may; topics may, if that is said.
    for (query, mode, code) in [
        ("?dry_run=true", "payload", 200),
        ("?dry_run=true&expect_same=true", "payload", 422),
        ("?dry_run=true&accept_changes=true", "topic", 200),
    ] {
        let (found, report) = port.swap(query, &chameleon(mode));
        assert_eq!(found, code, "{mode}: {report}");
        if code == 200 {
            assert_eq!(report["outcome"], "dry-run");
        }
    }
    assert_eq!(port.active(), short_digest(&it.path("chameleon.wasm")), "nothing was switched");
    relay.stop().expect(0, &[]);
}

/// GIVEN a component that turns bad only after the shadow saw it, WHEN real events
/// reach it, THEN it is rolled back by itself and no event is lost.
#[test]
fn probation_sends_back_what_turns_bad_later() {
    let it = Swapping::new("shadow_bytes = \"16KiB\"\nprobation = \"10m\"", "topics = [\"*\"]");
    let (relay, port) = it.serve();
    it.insert(&["a"], 300);
    it.until_published();
    let good = short_digest(&it.path("chameleon.wasm"));
    let mut inserted = 300;
    for (mode, text) in [
        ("after 1000 trap", "faults: trap:unreachable"),
        ("after 300 poison", "an event failed that the old generation can do"),
        ("after 300 flood", "output: "),
        ("after 300 leak", "memory"),
        ("after 300 slow", SLOW),
    ] {
        let (code, report) = port.swap("", &chameleon(mode));
        assert_eq!((code, report["outcome"].as_str()), (200, Some("probation")), "{mode}: {report}");
        it.insert(&["a"], 1500);
        inserted += 1500;
        it.until_published();
        eventually(&format!("{mode} is rolled back"), PATIENCE, || port.newest()["outcome"] == "rolled-back");
        let entry = port.newest();
        assert!(says(&entry["reason"], text), "{mode}: {entry}");
        assert_eq!(port.active(), good, "{mode}");
    }
    relay.stop().expect(0, &["rolled back by itself"]);
    let mut consumer = Consumer::new(&[&it.topic]);
    let ids: BTreeSet<String> = consumer.read_to_end().iter().map(|m| m.id()).collect();
    assert_eq!((ids.len(), consumer.received.len()), (inserted, inserted), "every event once");
}

/// GIVEN a canary, WHEN events of many keys come, THEN some lanes have the new
/// generation and the others the old one; then all have the new one.
#[test]
fn a_canary_widens_and_can_be_rolled_back() {
    let it = Swapping::new("canary_step = \"10m\"", "");
    let (relay, port) = it.serve();
    let keys: Vec<String> = (0..200).map(|n| format!("key-{n}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let (_, report) = port.swap("?canary=0.25", &chameleon("pass2"));
    assert_eq!(report["outcome"], "canary", "{report}");
    it.insert(&keys, 1);
    it.until_published();
    assert_eq!(port.generations()["lanes"], 16);
    let mut consumer = Consumer::new(&[&it.topic]);
    let makers: BTreeSet<String> = consumer.read_to_end().iter().map(made_by).collect();
    assert_eq!(makers.len(), 2, "{makers:?}");
    assert_eq!(port.swap("", &chameleon("pass3")).0, 409, "not beside a canary");
    port.command(&["rollback"]).expect(0, &[]);
    assert_eq!(port.newest()["way"], "rollback");
    it.insert(&keys, 1);
    it.until_published();
    let after: BTreeSet<String> = consumer.read_to_end()[200..].iter().map(made_by).collect();
    assert_eq!(after.len(), 1, "{after:?}");
    port.command(&["rollback"]).expect(13, &["there is no generation to go back to"]);
    // Asked twice, a generation goes once.
    assert_eq!(port.swap("", &chameleon("pass4")).0, 200);
    assert_eq!(port.swap("", &chameleon("pass5")).0, 200);
    let newest = port.generations()["active"]["number"].as_u64().expect("a number");
    let ask = || port.request("POST", &format!("/v1/rollback?generation={newest}"), Some(TOKEN), b"").0;
    assert_eq!((ask(), ask()), (200, 409));
    relay.stop().expect(0, &[]);
}

/// GIVEN a swap, WHEN the relay is killed and started, THEN the swapped component is
/// active; WHEN relay.toml's entry changes, THEN that wins.
#[test]
fn the_active_generation_survives_a_restart() {
    let it = Swapping::new("", "");
    let (relay, port) = it.serve();
    let first = short_digest(&it.path("chameleon.wasm"));
    let second = it.component("pass2");
    let told = port.command(&["swap", "c", second.to_str().expect("a path")]).expect(0, &[]).stdout;
    for text in ["imports", "compile", "trial", "shadow", "as generation 2"] {
        assert!(told.contains(text), "`{text}` in {told}");
    }
    relay.kill();
    let (relay, port) = it.serve();
    eventually("the swapped component is active again", PATIENCE, || port.active() == short_digest(&second));
    assert_eq!(port.generations()["active"]["stages"][0]["from"], "swap");
    assert_eq!(port.newest()["generation"], 2, "the history is remembered");
    // Back to the one before, which the probation has kept; also over a restart.
    port.command(&["rollback"]).expect(0, &[]);
    assert_eq!(port.active(), first);
    relay.kill();
    let (relay, port) = it.serve();
    assert_eq!(port.active(), first);
    // By its digest, from the library.
    let whole = relay::transform::digest(&std::fs::read(&second).expect("reads"));
    port.command(&["swap", "c", &format!("sha256:{whole}")]).expect(0, &[]);
    relay.stop().expect(0, &[]);
    it.configure("", "settings = { changed = true }");
    let (relay, port) = it.serve();
    relay.await_log("relay.toml wins over what was swapped in");
    eventually("relay.toml wins", PATIENCE, || port.active() == first);
    relay.stop().expect(0, &[]);
}

/// GIVEN a relay that waits for another's pipeline, WHEN it is asked for a swap, THEN
/// it may not; WHEN it takes over, THEN what was swapped in there is active here.
#[test]
fn a_relay_in_waiting_is_not_swapped_and_takes_over_what_is_active() {
    let it = Swapping::new("", "watch = true");
    let first = it.start();
    let port = Port::of(&first);
    let second = it.start();
    let waiting = Port::listening(&second);
    let (code, answer) = waiting.swap("", &chameleon("pass2"));
    assert_eq!(code, 409, "{answer}");
    assert!(answer["error"]["message"].as_str().is_some_and(|m| m.contains("does not hold the pipeline")), "{answer}");
    assert_eq!(waiting.request("POST", "/v1/rollback", Some(TOKEN), b"").0, 409);
    // Two swaps, of the file that both watch and of a component that only one has seen.
    std::fs::write(it.path("new"), chameleon("pass3")).expect("writes");
    std::fs::rename(it.path("new"), it.path("chameleon.wasm")).expect("renames");
    eventually("the file is swapped in", PATIENCE, || port.active() == short_digest(&it.path("chameleon.wasm")));
    // The watch may still be writing the history.
    eventually("another is swapped in", PATIENCE, || port.swap("", &chameleon("pass4")).0 == 200);
    let active = port.active();
    first.kill();
    eventually("the other takes over", PATIENCE, || waiting.request("GET", "/readyz", None, b"").0 == 200);
    let generations = waiting.generations();
    assert_eq!((waiting.active(), generations["active"]["number"].as_u64()), (active, Some(3)), "{generations}");
    assert_eq!(generations["history"].as_array().map(Vec::len), Some(2), "{generations}");
    it.insert(&["a"], 10);
    it.until_published();
    second.stop().expect(0, &[]);
}

/// GIVEN an event that every generation fails at, WHEN a new one is on probation, THEN
/// the event is to blame: the new one stays.
#[test]
fn a_bad_event_is_not_held_against_a_new_generation() {
    let it = Swapping::new("", "");
    std::fs::copy(component("guests/hostile"), it.path("chameleon.wasm")).expect("copies");
    let (relay, port) = it.serve();
    it.insert(&["a"], 10);
    it.until_published();
    // The same guest in other bytes: a custom section behind it.
    let other = [std::fs::read(component("guests/hostile")).expect("reads"), vec![0, 2, 1, b'x']].concat();
    assert_eq!(port.swap("", &other).1["outcome"], "probation");
    let mut client = it.database.connect();
    crate::support::database::insert(&mut client, "a", "trap", "{}");
    let log = relay.wait().expect(7, &["[trap]"]).stderr;
    assert!(!log.contains("rolled back by itself"), "{log}");
}

/// GIVEN settings that a component refuses with its own words, WHEN it is offered, THEN
/// the answer has the words, and neither log nor history.
#[test]
fn a_guests_words_are_for_who_asks() {
    let it = Swapping::new("", "");
    let (relay, port) = it.serve();
    let refusing = it.component("refuse");
    port.command(&["swap", "c", refusing.to_str().expect("a path")]).expect(12, &["`create` refused the settings", "not these"]);
    let (_, report) = port.swap("", &chameleon("refuse"));
    assert_eq!(report["guest"], "not these");
    assert!(!port.generations().to_string().contains("not these"));
    let log = relay.stop().expect(0, &["`create` refused the settings"]).stderr;
    assert!(!log.contains("not these"), "{log}");
}

/// GIVEN a component that makes three of each event, WHEN it is swapped under load,
/// THEN the three are of one generation.
#[test]
fn siblings_are_of_one_generation() {
    let it = Swapping::new("", "");
    std::fs::write(it.path("chameleon.wasm"), chameleon("triple")).expect("writes");
    let (relay, port) = it.serve();
    let keys = ["a", "b", "c", "d", "e"];
    // An odd number: the first version has the first events for itself, the second the last.
    let (swaps, events, mut batches) = (11, 20, 2);
    it.insert(&keys, events);
    it.until_published();
    std::thread::scope(|scope| {
        let swapping = scope.spawn(|| {
            let versions = [chameleon("triple2"), chameleon("triple")];
            (0..swaps).for_each(|n| assert_eq!(port.swap("", &versions[n % 2]).0, 200));
        });
        // Compiling may take long on a busy machine.
        while batches < 20 || !swapping.is_finished() {
            it.insert(&keys, events);
            batches += 1;
        }
    });
    it.insert(&keys, events);
    it.until_published();
    relay.stop().expect(0, &[]);
    let mut consumer = Consumer::new(&[&it.topic]);
    let mut makers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for message in consumer.read_to_end() {
        // A sibling's id is its event's, and a number.
        let event = message.id()[..36].to_owned();
        makers.entry(event).or_default().push(made_by(message));
    }
    assert_eq!(makers.len(), batches * events * keys.len());
    assert!(makers.values().all(|m| m.len() == 3 && m[0] == m[1] && m[1] == m[2]), "{makers:?}");
    assert_eq!(makers.values().map(|m| &m[0]).collect::<BTreeSet<_>>().len(), 2, "both versions made some");
}

/// GIVEN a watched file, WHEN it is replaced, THEN the new component is active; half
/// a file or a bad one changes nothing.
#[test]
fn a_watched_file_is_swapped_in() {
    let it = Swapping::new("", "watch = true");
    let (relay, port) = it.serve();
    let replace = |bytes: &[u8]| {
        std::fs::write(it.path("new"), bytes).expect("writes");
        std::fs::rename(it.path("new"), it.path("chameleon.wasm")).expect("renames");
    };
    replace(&chameleon("pass2"));
    let second = short_digest(&it.path("chameleon.wasm"));
    eventually("the new file is active", PATIENCE, || port.active() == second);
    assert_eq!(port.newest()["way"], "watch");
    replace(b"no component");
    relay.await_log("the watched file changed and cannot be used");
    replace(&chameleon("refuse"));
    eventually("it is refused", PATIENCE, || port.newest()["outcome"] == "refused");
    assert_eq!(port.active(), second);
    // Written in two halves.
    let whole = chameleon("pass3");
    std::fs::write(it.path("chameleon.wasm"), &whole[..whole.len() / 2]).expect("writes");
    std::fs::write(it.path("chameleon.wasm"), &whole).expect("writes");
    let third = short_digest(&it.path("chameleon.wasm"));
    eventually("the whole file is active", PATIENCE, || port.active() == third);
    relay.stop().expect(0, &[]);
}

/// GIVEN a running relay, WHEN relay.toml changes and SIGHUP comes, THEN transforms
/// are as it says; what cannot change is named, and nothing changes.
#[test]
fn a_hangup_reads_the_configuration_again() {
    let it = Swapping::new("", "");
    let (relay, port) = it.serve();
    it.configure("", "settings = { a = 1 }\nwhen = { event_type = [\"Other\"] }\nlimits = { memory = \"32MiB\" }");
    relay.signal("HUP");
    eventually("the new settings are active", PATIENCE, || port.newest()["way"] == "reload");
    assert_eq!(port.generations()["active"]["number"], 2);
    it.configure("probation = \"1s\"", "");
    relay.signal("HUP");
    relay.await_log("these fields cannot change while the relay runs: swap.probation");
    it.configure("", "path = \"twice\"");
    relay.signal("HUP");
    relay.await_log("the configuration is not reloaded");
    assert_eq!(port.generations()["active"]["number"], 2);
    it.insert(&["a"], 10);
    it.until_published();
    relay.stop().expect(0, &[]);
}

/// GIVEN a component on disk, WHEN it is no component, THEN the command says so
/// without asking the relay.
#[test]
fn the_command_looks_before_it_asks() {
    let port = Port("127.0.0.1:1".to_owned());
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    port.command(&["swap", "c", manifest]).expect(4, &["this is not WebAssembly"]);
    let good = component("guests/chameleon");
    port.command(&["swap", "c", Path::new(&good).to_str().expect("a path")]).expect(13, &["does not answer", "127.0.0.1:1"]);
}
