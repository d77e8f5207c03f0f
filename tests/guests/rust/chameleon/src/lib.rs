//! A guest whose behaviour stands in its bytes: a test writes another mode over
//! [`MODE`] and has another component, with another digest, without a compiler.
//!
//! | mode | what happens |
//! |---|---|
//! | `pass`, `pass2`… | passes |
//! | `topic`, `key`, `payload` | emits the event with another topic, key, payload |
//! | `drop` | drops |
//! | `triple`, `triple2`… | emits the event three times |
//! | `trap`, `poison` | traps, fails |
//! | `refuse` | `create` refuses the settings |
//! | `slow` | takes some milliseconds of work an event |
//! | `leak` | leaks 1 MiB an event |
//! | `flood` | emits 100,000 bytes an event |
//! | `after N mode` | passes the first N events of an instance, then that mode |

wit_bindgen::generate!({ path: "../../../../wit", world: "transform" });

use std::cell::Cell;
use std::hint::black_box;

use exports::relay::transform::transformer::{Guest, GuestTransform, Transform};
use relay::transform::types::{Content, Event, Failure, FailureKind, Message, Outcome, Unused};

/// Found by its beginning; padded with spaces, so that it may be longer.
static MODE: [u8; 48] = *b"RELAY-CHAMELEON:pass                            ";

const MARK: usize = "RELAY-CHAMELEON:".len();

const MIB: usize = 1 << 20;

/// Some milliseconds.
const WORK: u32 = 40_000_000;

struct Component;

struct Chameleon {
    seen: Cell<u64>,
}

impl Guest for Component {
    type Transform = Chameleon;
}

/// Read anew each time, or the compiler would know it.
fn mode() -> String {
    let bytes = black_box(&MODE);
    String::from_utf8_lossy(&bytes[MARK..]).trim().to_owned()
}

impl GuestTransform for Chameleon {
    fn create(_settings: String) -> Result<Transform, String> {
        if mode() == "refuse" {
            return Err("not these".to_owned());
        }
        Ok(Transform::new(Self { seen: Cell::new(0) }))
    }

    fn unused(&self) -> Unused {
        Unused::empty()
    }

    fn process(&self, events: Vec<Event>) -> Vec<Outcome> {
        let mode = mode();
        events.iter().map(|event| self.outcome(&mode, event)).collect()
    }
}

impl Chameleon {
    fn outcome(&self, mode: &str, event: &Event) -> Outcome {
        self.seen.set(self.seen.get() + 1);
        if let Some(rest) = mode.strip_prefix("after ") {
            let (number, then) = rest.split_once(' ').unwrap_or((rest, "pass"));
            let first = number.parse().unwrap_or(u64::MAX);
            return if self.seen.get() <= first { Outcome::Pass } else { outcome(then, event) };
        }
        outcome(mode, event)
    }
}

fn outcome(mode: &str, event: &Event) -> Outcome {
    match mode {
        "topic" => emit(Message { topic: Some(format!("{}.other", event.topic)), ..unchanged() }),
        "key" => emit(Message { key: Some(Content::Text("another".to_owned())), ..unchanged() }),
        "payload" => emit(Message { payload: Some(Content::Text("{\"changed\":true}".to_owned())), ..unchanged() }),
        "drop" => Outcome::Drop(None),
        _ if mode.starts_with("triple") => Outcome::Emit(vec![unchanged(), unchanged(), unchanged()]),
        "trap" => std::process::abort(),
        "poison" => Outcome::Fail(Failure { kind: FailureKind::Poison, code: "chameleon".to_owned(), detail: event.id.clone() }),
        "slow" => {
            (0..WORK).for_each(|n| {
                black_box(n);
            });
            Outcome::Pass
        }
        "leak" => {
            black_box(vec![1_u8; MIB].leak());
            Outcome::Pass
        }
        "flood" => emit(Message { payload: Some(Content::Bytes(vec![b'x'; 100_000])), ..unchanged() }),
        _ => Outcome::Pass,
    }
}

fn emit(message: Message) -> Outcome {
    Outcome::Emit(vec![message])
}

fn unchanged() -> Message {
    Message { id: None, event_type: None, topic: None, partition: None, key: None, payload: None, headers: None }
}

export!(Component);
