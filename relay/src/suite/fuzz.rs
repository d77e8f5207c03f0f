//! Made-up events: looks for the smallest one that makes a component trap,
//! overrun a limit, break the contract, or answer differently when asked again.

use super::expected::{between, describe};
use super::runner::{Suite, on_lane_stack};
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Header, Operation, write_line};
use crate::transform::{Answer, Workbench};
use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestError, TestRunner};
use serde_json::Value;
use std::cell::RefCell;
use std::fmt::Write as _;

/// A string that is long, in bytes: far more than an event should have, and far
/// less than the limits.
const LONG: usize = 256 << 10;

/// Nesting that no reader of JSON may follow with its own stack.
const DEEP: usize = 20_000;

/// Tries to make a failing event smaller.
const SHRINKS: u32 = 2_000;

/// How to look.
pub struct Fuzz {
    events: u32,
    seed: u64,
}

/// What was found.
pub struct Found {
    /// The case whose settings were used.
    pub case: String,
    /// The smallest event.
    pub event: Event,
    /// What it does.
    pub what: String,
}

impl Fuzz {
    /// That many events with the settings of each case; a seed is chosen where
    /// none is given.
    #[must_use]
    pub fn new(events: u32, seed: Option<u64>) -> Self {
        // Random enough, and it is printed.
        let chosen = || u64::from_ne_bytes(uuid::Uuid::new_v4().as_bytes()[..8].try_into().unwrap_or_default());
        Self { events, seed: seed.unwrap_or_else(chosen) }
    }

    /// Tries the settings of each case, once each; not of one whose limits are
    /// there to be broken.
    ///
    /// # Errors
    /// When the component cannot be instantiated.
    pub fn run(&self, suite: &Suite) -> Result<Option<Found>> {
        let events: Vec<Event> = suite.cases().iter().flat_map(|case| case.events.iter().cloned()).collect();
        let mut tried: Vec<&str> = Vec::new();
        for case in suite.cases() {
            if case.events.is_empty() || case.wants_fault() || tried.contains(&case.settings.as_str()) {
                continue;
            }
            tried.push(&case.settings);
            let mut bench = suite.bench(case);
            bench.renew()?;
            if let Some(found) = on_lane_stack(|| self.search(bench, events.clone()))?? {
                return Ok(Some(Found { case: case.name.clone(), ..found }));
            }
        }
        Ok(None)
    }

    fn search(&self, bench: Workbench, events: Vec<Event>) -> Result<Option<Found>> {
        let config = Config {
            cases: self.events,
            rng_seed: RngSeed::Fixed(self.seed),
            failure_persistence: None,
            max_shrink_iters: SHRINKS,
            ..Config::default()
        };
        let (bench, broken) = (RefCell::new(bench), RefCell::new(None));
        let judge = |event: Event| {
            let twice = |bench: &mut Workbench| Ok((bench.process(&[&event])?, bench.process(&[&event])?));
            let (first, second) = match twice(&mut bench.borrow_mut()) {
                Ok(answers) => answers,
                Err(error) => {
                    *broken.borrow_mut() = Some(error);
                    return Err(TestCaseError::fail("no instance"));
                }
            };
            match (first.first(), second.first()) {
                (Some(fault @ Answer::Fault(_)), _) => Err(TestCaseError::fail(describe(fault))),
                (Some(a), Some(b)) => {
                    let mut differences = Vec::new();
                    between(a, b, &mut differences);
                    match differences.first() {
                        None => Ok(()),
                        Some(d) => Err(TestCaseError::fail(format!("the answer changes when the event comes again, at {}", d.field))),
                    }
                }
                _ => Ok(()),
            }
        };
        let quiet = tracing::subscriber::NoSubscriber::new();
        let result = tracing::subscriber::with_default(quiet, || TestRunner::new(config).run(&strategy(events), judge).map_err(Box::new));
        if let Some(error) = broken.into_inner() {
            return Err(error);
        }
        match result.map_err(|error| *error) {
            Ok(()) => Ok(None),
            Err(TestError::Fail(why, event)) => Ok(Some(Found { case: String::new(), event, what: why.message().to_owned() })),
            Err(TestError::Abort(why)) => Err(Error::new(Kind::Internal, format!("the search was given up: {why}"))),
        }
    }

    /// For people.
    #[must_use]
    pub fn describe(&self, found: Option<&Found>) -> String {
        let Self { events, seed } = self;
        let Some(found) = found else {
            return format!("{events} made-up events for each settings, seed {seed}: none breaks it\n");
        };
        let mut text = format!("a made-up event breaks it, with the settings of case {}, seed {seed}:\n", found.case);
        let what = found.what.replace('\n', "\n    ");
        // A String takes everything.
        let _ = write!(text, "  {}\n    {what}\n", line(&found.event));
        text
    }

    /// For machines.
    #[must_use]
    pub fn json(&self, found: Option<&Found>) -> Value {
        let found = found.map(|found| serde_json::json!({ "case": found.case, "event": line(&found.event), "what": found.what }));
        serde_json::json!({ "events": self.events, "seed": self.seed, "found": found })
    }
}

fn line(event: &Event) -> String {
    let mut out = Vec::new();
    // A vector takes everything.
    let _ = write_line(event, &mut out);
    String::from_utf8_lossy(&out).trim_end().to_owned()
}

/// Events of the cases, changed here and there, and wholly made-up ones.
fn strategy(events: Vec<Event>) -> impl Strategy<Value = Event> {
    let names = || prop_oneof![Just(String::new()), "[a-z.]{1,8}", "\\PC{0,8}"];
    let header = ("[ab]{1}", proptest::option::of(bytes())).prop_map(|(name, value)| Header { name: name.into(), value });
    let operation =
        select(vec![Operation::Insert, Operation::Update, Operation::Delete, Operation::Truncate, Operation::Snapshot, Operation::Message]);
    let known = select(events);
    (
        known,
        proptest::option::of(payload()),
        proptest::option::of(proptest::option::of(bytes())),
        vec(header, 0..4),
        operation,
        names(),
        any::<i64>(),
        any::<u64>(),
        0..6u8,
    )
        .prop_map(|(mut event, payload, key, headers, operation, name, time, seed, what)| {
            event.headers.extend(headers);
            if let Some(key) = key {
                event.key = key;
            }
            match what {
                0 => {}
                1 => event.payload = payload,
                2 => event.payload = event.payload.map(|payload| broken(&payload, seed)),
                3 => event.payload = event.payload.map(|payload| lacking(&payload, seed)),
                4 => {
                    event.before = payload;
                    event.operation = operation;
                    event.time = time;
                }
                _ => {
                    event.payload = None;
                    event.id = name.as_str().into();
                    event.entity = name.as_str().into();
                    event.event_type = name.as_str().into();
                    event.unchanged = vec![name];
                }
            }
            event
        })
}

fn bytes() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        Just(Bytes::new()),
        "\\PC{0,12}".prop_map(Bytes::from),
        vec(any::<u8>(), 1..24).prop_map(Bytes::from),
        Just(Bytes::from("\u{1F600}\u{0}\u{202E}e\u{301}")),
    ]
}

fn payload() -> impl Strategy<Value = Bytes> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("-0.0e-0".to_owned()),
        Just("12345678901234567890123.5e400".to_owned()),
        Just("\"\\ud800\"".to_owned()),
        any::<i64>().prop_map(|n| n.to_string()),
        "\\PC{0,8}".prop_map(|text| Value::from(text).to_string()),
    ];
    let json = leaf.prop_recursive(4, 24, 4, |inner| {
        let name = prop_oneof!["[a-z]{1,6}", "\\PC{0,4}"].prop_map(|name| Value::from(name).to_string());
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(","))),
            vec((name, inner), 0..4)
                .prop_map(|members| format!("{{{}}}", members.iter().map(|(k, v)| format!("{k}:{v}")).collect::<Vec<_>>().join(","))),
        ]
    });
    prop_oneof![
        6 => json.prop_map(Bytes::from),
        3 => bytes(),
        1 => Just(Bytes::from(format!("\"{}\"", "x".repeat(LONG)))),
        1 => Just(Bytes::from("[".repeat(DEEP))),
        1 => Just(Bytes::from(format!("{}{}", "{\"a\":".repeat(DEEP), "}".repeat(DEEP)))),
    ]
}

/// Cut off, or a byte changed.
fn broken(payload: &Bytes, seed: u64) -> Bytes {
    let at = usize::try_from(seed).unwrap_or(0) % payload.len().max(1);
    let mut bytes = payload.to_vec();
    match bytes.get_mut(at) {
        Some(byte) if !seed.is_multiple_of(3) => *byte ^= 1 << (seed % 8),
        _ => bytes.truncate(at),
    }
    bytes.into()
}

/// Without one of its members, or with null in its place.
fn lacking(payload: &Bytes, seed: u64) -> Bytes {
    let Ok(Value::Object(mut map)) = serde_json::from_slice::<Value>(payload) else { return payload.clone() };
    let at = usize::try_from(seed / 2).unwrap_or(0) % map.len().max(1);
    if let Some(name) = map.keys().nth(at).cloned() {
        if seed.is_multiple_of(2) {
            map.shift_remove(&name);
        } else {
            map.insert(name, Value::Null);
        }
    }
    Value::Object(map).to_string().into()
}
