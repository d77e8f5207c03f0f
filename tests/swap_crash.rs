//! Property: whenever a relay dies in the middle of a swap, one generation is active at
//! the next start, the one that was remembered, and no event is lost or reordered.

use crate::support::consumer::Consumer;
use crate::support::oracle::{Repeats, Writers, create_aggregates, demand, is_complete, versions};
use crate::support::relay::PATIENCE;
use crate::support::swapping::{Port, Swapping, TOKEN, chameleon, made_by, short_digest};
use crate::support::{eventually, seed};
use clap::ValueEnum as _;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use relay::crash::Point;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// GIVEN writers at work, WHEN the relay is killed at random moments of swaps, THEN
/// at each start one generation is active, and nothing is lost or reordered.
#[test]
fn kills_at_random_moments_of_a_swap() {
    let seed = seed("swap-kills");
    let mut rng = StdRng::seed_from_u64(seed);
    let it = Swapping::new("", "");
    create_aggregates(&it.database, 20);
    let writers = Writers::start(&it.database, 3, 20, usize::MAX, seed);
    let modes = ["pass2", "pass3", "pass4"];
    let known: BTreeSet<String> =
        modes.iter().map(|m| short_digest(&it.component(m))).chain([short_digest(&it.path("chameleon.wasm"))]).collect();
    for n in 0..12 {
        let (relay, port) = it.serve();
        assert!(known.contains(&port.active()), "one that was active before");
        let bytes = chameleon(modes[n % modes.len()]);
        let swap = std::thread::spawn(move || port.swap("", &bytes));
        let (life, born) = (Duration::from_millis(rng.random_range(0..150)), Instant::now());
        eventually("its last moment", PATIENCE, || born.elapsed() >= life);
        relay.kill();
        drop(swap.join());
    }
    writers.stop();
    it.drain().expect(0, &[]);
    let committed = versions(&it.database);
    let mut consumer = Consumer::new(&[&it.topic]);
    consumer.until("everything", PATIENCE, |received| is_complete(received, &committed));
    let received = consumer.read_to_end();
    demand(received, &committed, Repeats::SameId);
    for message in received {
        let maker = made_by(message);
        assert!(known.contains(maker.trim_start_matches("c@")), "{maker}");
    }
}

/// GIVEN a relay that dies at a certain step of a swap, WHEN it starts again, THEN what
/// was remembered is active, one generation and no other, and nothing is lost.
#[test]
fn kills_at_each_step_of_a_swap() {
    let seed = seed("swap-steps");
    // Long enough for a request behind a swap, short enough to wait for.
    let it = Swapping::new("probation = \"2s\"\ncanary_step = \"500ms\"\ntolerate = { event_time = \"1s\" }", "");
    create_aggregates(&it.database, 20);
    let writers = Writers::start(&it.database, 2, 20, usize::MAX, seed);
    let mut active = short_digest(&it.path("chameleon.wasm"));
    // Each step of a swap, and those of a canary, which the state does not know.
    let canaries = [Point::SwapSwitched, Point::CanaryWidened, Point::RollbackRestored];
    let name_of = |point: &Point| point.to_possible_value().expect("a name").get_name().to_owned();
    let of_a_swap = |point: &&Point| ["swap-", "rollback-"].iter().any(|kind| name_of(point).starts_with(kind));
    let all = Point::value_variants().iter().filter(of_a_swap).map(|point| (*point, false));
    for (n, (point, canary)) in all.chain(canaries.map(|point| (point, true))).enumerate() {
        let name = name_of(&point);
        if point == Point::SwapProved {
            // The probation of the swap before goes on at a start, and is not the one to die of.
            let (relay, port) = it.serve();
            assert_eq!(port.request("POST", "/v1/rollback", Some(TOKEN), b"").0, 200);
            active = port.active();
            relay.kill();
        }
        let mut relay = it.start_with(&[("RELAY_CRASH_AT", &name)]);
        let port = Port::of(&relay);
        assert_eq!(port.active(), active, "before {name}");
        let component = it.component(&format!("pass-{n}"));
        let query = if canary { "?canary=0.5" } else { "" };
        // A canary has to wait for the trial of what is active.
        eventually("the last probation is over", PATIENCE, || !canary || port.generations()["probation"] == false);
        let bytes = std::fs::read(&component).expect("reads");
        // Answered or not, by where it dies; what it has still to write may be in the way.
        eventually("the swap is taken", PATIENCE, || {
            relay.ended().is_some() || std::panic::catch_unwind(|| port.swap(query, &bytes).0).is_ok_and(|code| code == 200)
        });
        if matches!(point, Point::RollbackRestored | Point::RollbackRemembered) {
            let asked = std::panic::catch_unwind(|| port.request("POST", "/v1/rollback", Some(TOKEN), b""));
            assert!(asked.is_ok(), "{name}");
        }
        eventually(&format!("it dies at {name}"), PATIENCE, || relay.ended().is_some());
        // From the moment the state knows; of a rollback that it does not know too.
        let known = match point {
            _ if canary => false,
            Point::SwapRemembered | Point::SwapSwitched | Point::SwapNoted | Point::SwapProved | Point::RollbackRestored => true,
            _ => false,
        };
        if known {
            active = short_digest(&component);
        }
    }
    let (relay, port) = it.serve();
    assert_eq!(port.active(), active);
    let history = port.generations()["history"].as_array().cloned().unwrap_or_default();
    let mut numbers: Vec<_> = history.iter().filter(|e| e["way"] == "swap").filter_map(|e| e["generation"].as_u64()).collect();
    let (count, last) = (numbers.len(), numbers.last().copied());
    numbers.dedup();
    assert!(numbers.len() == count && numbers.is_sorted(), "each swap has a number of its own, {last:?} the last: {numbers:?}");
    assert!(history.iter().all(|entry| entry["outcome"] != "canary"), "{history:?}");
    writers.stop();
    it.until_published();
    relay.stop().expect(0, &[]);
    let committed = versions(&it.database);
    let mut consumer = Consumer::new(&[&it.topic]);
    demand(consumer.read_to_end(), &committed, Repeats::SameId);
}
