//! A guest that does what a host must survive, as the event's type asks.
//!
//! | event type | what happens |
//! |---|---|
//! | `trap` | `unreachable` |
//! | `loop` | never returns |
//! | `hog` | takes and touches memory until refused, then aborts |
//! | `recurse` | recurses until the stack is gone |
//! | `many` | emits 200,000 empty messages |
//! | `flood` | emits one message of 60,000,000 bytes |
//! | `topic` | emits to `forbidden.topic` |
//! | `badpartition` | emits to partition 999999 |
//! | `badheader` | appends a header named `relay-position` |
//! | `few`, `surplus` | the list of outcomes is one too short, too long |
//! | `logspam` | logs 10,000 lines, then passes |
//! | `leak` | leaks 1 MiB, touched, then passes |
//! | `count` | emits, as payload text, how many events this instance has seen, itself included |
//! | `poison`, `halt` | fails, code `hostile`, detail the event's id |
//! | any other | passes |
//!
//! A payload that is a decimal number replaces the number of `many`, `flood`
//! and `logspam`. What `many` and `flood` do by default fits into 64 MiB of
//! memory, so it is the host's other limits that must stop them.
//!
//! `create` traps when the settings contain `"trap"`, never returns when they
//! contain `"loop"`, and refuses, with an error of 1 MiB, when they contain
//! `"long"`; keys or values alike.

wit_bindgen::generate!({ path: "../../../../wit", world: "transform" });

use std::cell::Cell;
use std::hint::black_box;

use exports::relay::transform::transformer::{Guest, GuestTransform, Transform};
use relay::transform::host::{Level, log};
use relay::transform::types::{Content, Event, Failure, FailureKind, Header, HeaderEdit, Message, Outcome, Unused};

const MIB: usize = 1 << 20;

struct Component;

#[derive(Default)]
struct Hostile {
    seen: Cell<u64>,
}

impl Guest for Component {
    type Transform = Hostile;
}

impl GuestTransform for Hostile {
    fn create(settings: String) -> Result<Transform, String> {
        if settings.contains("\"trap\"") {
            trap();
        }
        if settings.contains("\"loop\"") {
            forever();
        }
        if settings.contains("\"long\"") {
            return Err("x".repeat(MIB));
        }
        Ok(Transform::new(Self::default()))
    }

    fn unused(&self) -> Unused {
        Unused::empty()
    }

    fn process(&self, events: Vec<Event>) -> Vec<Outcome> {
        let asks = |kind| events.iter().any(|event: &Event| event.event_type == kind);
        let (few, surplus) = (asks("few"), asks("surplus"));
        let mut outcomes: Vec<Outcome> = (0..).zip(events).map(|(index, event)| self.outcome(index, event)).collect();
        if few {
            outcomes.pop();
        }
        if surplus {
            outcomes.push(Outcome::Pass);
        }
        outcomes
    }
}

impl Hostile {
    fn outcome(&self, index: u32, event: Event) -> Outcome {
        self.seen.set(self.seen.get() + 1);
        let number = |default| number(&event).unwrap_or(default);
        match event.event_type.as_str() {
            "trap" => trap(),
            "loop" => forever(),
            "hog" => hog(),
            "recurse" => {
                black_box(recurse(1));
                Outcome::Pass
            }
            "many" => Outcome::Emit(std::iter::repeat_with(unchanged).take(number(200_000)).collect()),
            "flood" => emit(Message { payload: Some(Content::Bytes(vec![b'x'; number(60_000_000)])), ..unchanged() }),
            "topic" => emit(Message { topic: Some("forbidden.topic".to_owned()), ..unchanged() }),
            "badpartition" => emit(Message { partition: Some(999_999), ..unchanged() }),
            "badheader" => emit(Message {
                headers: Some(HeaderEdit {
                    remove: vec![],
                    append: vec![Header { name: "relay-position".to_owned(), value: Some(b"forged".to_vec()) }],
                }),
                ..unchanged()
            }),
            "logspam" => {
                for line in 0..number(10_000) {
                    log(Level::Warn, &format!("line {line}"), Some(index));
                }
                Outcome::Pass
            }
            "leak" => {
                black_box(vec![1_u8; MIB].leak());
                Outcome::Pass
            }
            "count" => emit(Message { payload: Some(Content::Text(self.seen.get().to_string())), ..unchanged() }),
            "poison" => fail(FailureKind::Poison, event.id),
            "halt" => fail(FailureKind::Halt, event.id),
            _ => Outcome::Pass,
        }
    }
}

fn number(event: &Event) -> Option<usize> {
    str::from_utf8(event.payload.as_deref()?).ok()?.trim().parse().ok()
}

#[inline(never)]
fn trap() -> ! {
    std::process::abort()
}

#[inline(never)]
fn forever() -> ! {
    loop {
        // Without it the optimiser could see that nothing happens here.
        black_box(());
    }
}

#[inline(never)]
fn hog() -> ! {
    loop {
        let mut chunk = Vec::new();
        if chunk.try_reserve_exact(MIB).is_err() {
            std::process::abort();
        }
        chunk.resize(MIB, 1_u8);
        black_box(chunk.leak());
    }
}

/// The addition after the call and the array keep the optimiser from making
/// this a loop.
#[inline(never)]
#[expect(unconditional_recursion, reason = "it is meant to")]
fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 16]);
    recurse(black_box(depth + 1)) + black_box(frame)[3]
}

fn emit(message: Message) -> Outcome {
    Outcome::Emit(vec![message])
}

fn fail(kind: FailureKind, detail: String) -> Outcome {
    Outcome::Fail(Failure { kind, code: "hostile".to_owned(), detail })
}

fn unchanged() -> Message {
    Message { id: None, event_type: None, topic: None, partition: None, key: None, payload: None, headers: None }
}

export!(Component);
