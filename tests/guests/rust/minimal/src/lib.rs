//! The contract in a few lines, without the SDK. The guests `minimal` in C and
//! Go do exactly the same, so that one test runs against all of them.
//!
//! | event type | outcome |
//! |---|---|
//! | `pass` | `pass` |
//! | `drop` | `drop(some("asked"))` |
//! | `emit2` | `emit` of two: first payload `text("a")` and headers `remove: []`, `append: [{"h", some("1")}]`; second topic `other` and payload `null` |
//! | `edit` | `emit` of one: key `text("k2")`, headers `remove: ["x"]`, `append: [{"n", none}]` |
//! | `fail` | `fail`: `poison`, code `asked`, detail the event's id |
//! | `halt` | `fail`: `halt`, code `asked`, detail the event's id |
//! | `log` | `pass`, after `log(info, "asked", some(index of the event in the list))` |
//! | `echo` | `emit` of one: payload `bytes` of the event's payload reversed (`null` if it has none), event type `echoed` |
//! | any other | `pass` |
//!
//! What the table does not name is `none`. `unused` is empty.
//!
//! `create` looks for `"refuse"` in the text of the settings; if a colon and a
//! string follow, with white space (space, tab, line feed, carriage return)
//! allowed before each, the string up to the next `"` is the error. Escapes
//! are not decoded. Any other settings are accepted.

wit_bindgen::generate!({ path: "../../../../wit", world: "transform" });

use exports::relay::transform::transformer::{Guest, GuestTransform, Transform};
use relay::transform::host::{Level, log};
use relay::transform::types::{Content, Event, Failure, FailureKind, Header, HeaderEdit, Message, Outcome, Unused};

struct Component;
struct Minimal;

impl Guest for Component {
    type Transform = Minimal;
}

impl GuestTransform for Minimal {
    fn create(settings: String) -> Result<Transform, String> {
        match refusal(&settings) {
            Some(reason) => Err(reason.to_owned()),
            None => Ok(Transform::new(Self)),
        }
    }

    fn unused(&self) -> Unused {
        Unused::empty()
    }

    fn process(&self, events: Vec<Event>) -> Vec<Outcome> {
        (0..).zip(events).map(|(index, event)| outcome(index, event)).collect()
    }
}

fn refusal(settings: &str) -> Option<&str> {
    let blank = [' ', '\t', '\n', '\r'];
    let (_, rest) = settings.split_once("\"refuse\"")?;
    let rest = rest.trim_start_matches(blank).strip_prefix(':')?;
    let (reason, _) = rest.trim_start_matches(blank).strip_prefix('"')?.split_once('"')?;
    Some(reason)
}

fn outcome(index: u32, event: Event) -> Outcome {
    match event.event_type.as_str() {
        "drop" => Outcome::Drop(Some("asked".to_owned())),
        "emit2" => Outcome::Emit(vec![
            Message { payload: Some(Content::Text("a".to_owned())), headers: append("h", Some(b"1".to_vec()), vec![]), ..unchanged() },
            Message { topic: Some("other".to_owned()), payload: Some(Content::Null), ..unchanged() },
        ]),
        "edit" => Outcome::Emit(vec![Message {
            key: Some(Content::Text("k2".to_owned())),
            headers: append("n", None, vec!["x".to_owned()]),
            ..unchanged()
        }]),
        "fail" => fail(FailureKind::Poison, event.id),
        "halt" => fail(FailureKind::Halt, event.id),
        "log" => {
            log(Level::Info, "asked", Some(index));
            Outcome::Pass
        }
        "echo" => Outcome::Emit(vec![Message {
            event_type: Some("echoed".to_owned()),
            payload: Some(event.payload.map_or(Content::Null, |mut payload| {
                payload.reverse();
                Content::Bytes(payload)
            })),
            ..unchanged()
        }]),
        _ => Outcome::Pass,
    }
}

fn fail(kind: FailureKind, detail: String) -> Outcome {
    Outcome::Fail(Failure { kind, code: "asked".to_owned(), detail })
}

fn append(name: &str, value: Option<Vec<u8>>, remove: Vec<String>) -> Option<HeaderEdit> {
    Some(HeaderEdit { remove, append: vec![Header { name: name.to_owned(), value }] })
}

fn unchanged() -> Message {
    Message { id: None, event_type: None, topic: None, partition: None, key: None, payload: None, headers: None }
}

export!(Component);
