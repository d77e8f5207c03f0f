//! What a case demands of an event, and how that differs from an answer.

use super::meaning::{Difference, compare};
use crate::event::{Event, Header};
use crate::transform::Answer;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value};

/// A field's path within the outcome, and what is wrong with it.
pub(super) type Refusal = (String, String);

/// What should become of one event.
#[derive(Clone, Debug)]
pub enum Expected {
    /// It passes the transform by, because of `when`.
    Unseen,
    /// It is published as it is.
    Pass,
    /// It is not published, for this reason.
    Drop(Option<String>),
    /// These are published.
    Emit(Vec<Message>),
    /// The transform fails it.
    Fail {
        /// Whether the whole transform is unusable.
        halt: bool,
        /// Name of the failure.
        code: String,
        /// Its text, where the case says it.
        detail: Option<String>,
    },
    /// The transform breaks a limit or the contract.
    Fault(String),
}

/// A message that should be published.
#[derive(Clone, Debug)]
pub struct Message {
    /// All of it.
    pub event: Event,
    /// Whether its payload is compared by the meaning of its JSON.
    pub by_meaning: bool,
    /// Whether the case said its id.
    named: bool,
}

impl Message {
    /// One compared byte by byte.
    #[must_use]
    pub fn exact(event: Event) -> Self {
        Self { event, by_meaning: false, named: true }
    }
}

/// A present field as `Some`, null included.
fn present<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(d).map(Some)
}

/// A message as a case writes it: changes to the event it comes from.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Changes {
    from: Option<String>,
    id: Option<String>,
    event_type: Option<String>,
    topic: Option<String>,
    partition: Option<u32>,
    #[serde(deserialize_with = "present")]
    key: Option<Value>,
    key_base64: Option<String>,
    #[serde(deserialize_with = "present")]
    payload: Option<Value>,
    payload_json: Option<String>,
    payload_text: Option<String>,
    payload_base64: Option<String>,
    headers: Option<Headers>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Headers {
    All(Vec<HeaderText>),
    Edit(Edit),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Edit {
    #[serde(default)]
    remove: Vec<String>,
    #[serde(default)]
    append: Vec<HeaderText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderText {
    name: String,
    value: Option<String>,
    value_base64: Option<String>,
}

impl HeaderText {
    fn read(self) -> Result<Header, String> {
        let value = match (self.value, self.value_base64) {
            (Some(_), Some(_)) => return Err(format!("header `{}` has two values", self.name)),
            (Some(text), None) => Some(text.into_bytes().into()),
            (None, Some(text)) => Some(decode(&text)?),
            (None, None) => None,
        };
        Ok(Header { name: self.name.into(), value })
    }
}

fn decode(text: &str) -> Result<Bytes, String> {
    BASE64.decode(text).map(Bytes::from).map_err(|e| format!("not base64: {e}"))
}

/// Reads what a case says of `event`.
pub(super) fn outcome(event: &Event, value: Value) -> Result<Expected, Refusal> {
    const FORMS: &str = "an outcome is pass, drop, unseen, or one of drop, emit, fail, fault with what belongs to it";
    let refuse = |field: &str, what: String| Err((field.to_owned(), what));
    let map = match value {
        Value::String(text) => {
            return match text.as_str() {
                "pass" => Ok(Expected::Pass),
                "drop" => Ok(Expected::Drop(None)),
                "unseen" => Ok(Expected::Unseen),
                other => refuse("", format!("`{other}` is no outcome: {FORMS}")),
            };
        }
        Value::Object(map) if map.len() == 1 => map,
        _ => return refuse("", FORMS.to_owned()),
    };
    let Some((kind, value)) = map.into_iter().next() else { return refuse("", FORMS.to_owned()) };
    match (kind.as_str(), value) {
        ("drop", Value::String(reason)) => Ok(Expected::Drop(Some(reason))),
        ("drop", Value::Null) => Ok(Expected::Drop(None)),
        ("fault", Value::String(code)) => Ok(Expected::Fault(code)),
        ("emit", Value::Array(values)) => {
            let several = values.len() > 1;
            let read = values.into_iter().enumerate().map(|(at, value)| {
                let located = |what: String| (format!(".emit[{at}]"), what);
                let Value::Object(map) = value else { return Err(located("a message is a mapping of its changes".to_owned())) };
                let changes = changes(map).map_err(located)?;
                if changes.from.is_some() {
                    return Err(located("`from` is for `messages`".to_owned()));
                }
                changes.apply(event, several.then_some(at)).map_err(located)
            });
            Ok(Expected::Emit(read.collect::<Result<_, _>>()?))
        }
        ("fail", value) => fail(value).map_err(|what| (".fail".to_owned(), what)),
        (other, _) => refuse("", format!("`{other}`: {FORMS}")),
    }
}

fn fail(value: Value) -> Result<Expected, String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Fail {
        #[serde(default)]
        kind: FailKind,
        code: String,
        detail: Option<String>,
    }
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum FailKind {
        #[default]
        Poison,
        Halt,
    }
    let fail: Fail = serde_json::from_value(value).map_err(|e| e.to_string())?;
    Ok(Expected::Fail { halt: matches!(fail.kind, FailKind::Halt), code: fail.code, detail: fail.detail })
}

/// Reads a message of the list of all that are published.
pub(super) fn message(events: &[Event], map: Map<String, Value>) -> Result<Message, Refusal> {
    let refuse = |what: String| (String::new(), what);
    let changes = changes(map).map_err(refuse)?;
    let named = changes.id.is_some();
    let event = match (&changes.from, events) {
        (Some(id), _) => {
            events.iter().find(|event| *event.id == **id).ok_or_else(|| refuse(format!("`from`: no event has the id `{id}`")))?
        }
        (None, [event]) => event,
        (None, _) => return Err(refuse("of several events, `from` must name the one it comes from by its id".to_owned())),
    };
    let message = changes.apply(event, None).map_err(refuse)?;
    Ok(Message { named, ..message })
}

fn changes(map: Map<String, Value>) -> Result<Changes, String> {
    serde_path_to_error::deserialize(Value::Object(map)).map_err(|e| {
        let (path, what) = (e.path().to_string(), e.into_inner());
        if path == "." { what.to_string() } else { format!("`{path}`: {what}") }
    })
}

impl Changes {
    /// The message that these changes make of the event; `index` where it is one
    /// of several.
    fn apply(self, event: &Event, index: Option<usize>) -> Result<Message, String> {
        let mut made = event.clone();
        match (self.id, index) {
            (Some(id), _) => made.id = id.into(),
            (None, Some(index)) => made.id = format!("{}:{index}", event.id).into(),
            (None, None) => {}
        }
        if let Some(text) = self.event_type {
            made.event_type = text.into();
        }
        if let Some(topic) = self.topic {
            made.topic = topic.into();
        }
        if self.partition.is_some() {
            made.partition = self.partition;
        }
        match (self.key, self.key_base64) {
            (Some(_), Some(_)) => return Err("`key` stands in two forms; keep one".to_owned()),
            (Some(Value::Null), None) => made.key = None,
            (Some(Value::String(text)), None) => made.key = Some(text.into_bytes().into()),
            (Some(_), None) => return Err("`key` is text or null".to_owned()),
            (None, Some(text)) => made.key = Some(decode(&text)?),
            (None, None) => {}
        }
        let by_meaning = match (self.payload, self.payload_json, self.payload_text, self.payload_base64) {
            (None, None, None, None) => false,
            (Some(Value::Null), None, None, None) => {
                made.payload = None;
                false
            }
            (Some(value), None, None, None) => {
                made.payload = Some(value.to_string().into_bytes().into());
                true
            }
            (None, Some(json), None, None) => {
                serde_json::from_str::<&serde_json::value::RawValue>(&json).map_err(|e| format!("`payload_json` is no JSON: {e}"))?;
                made.payload = Some(json.into_bytes().into());
                true
            }
            (None, None, Some(text), None) => {
                made.payload = Some(text.into_bytes().into());
                false
            }
            (None, None, None, Some(text)) => {
                made.payload = Some(decode(&text)?);
                false
            }
            _ => return Err("`payload` stands in two forms; keep one".to_owned()),
        };
        match self.headers {
            None => {}
            Some(Headers::All(all)) => made.headers = all.into_iter().map(HeaderText::read).collect::<Result<_, _>>()?,
            Some(Headers::Edit(edit)) => {
                made.headers.retain(|h| !edit.remove.iter().any(|name| **name == *h.name));
                for header in edit.append {
                    made.headers.push(header.read()?);
                }
            }
        }
        Ok(Message { event: made, by_meaning, named: true })
    }
}

/// Appends where an answer differs from what is expected.
pub(super) fn differences(expected: &Expected, got: Option<&Answer>, out: &mut Vec<Difference>) {
    match (expected, got) {
        (Expected::Unseen, None) | (Expected::Pass, Some(Answer::Pass)) => {}
        (Expected::Emit(messages), Some(Answer::Emit(made))) => {
            let made: Vec<&Event> = made.iter().collect();
            lists("emit", messages, &made, out);
        }
        (Expected::Drop(expected), Some(Answer::Drop(got))) => {
            push("drop", expected.clone().map(quoted), got.clone().map(quoted), out);
        }
        (Expected::Fail { halt, code, detail }, Some(Answer::Fail(got))) => {
            let kind = |halt| Some(if halt { "halt".to_owned() } else { "poison".to_owned() });
            push("fail.kind", kind(*halt), kind(got.halt), out);
            push("fail.code", Some(quoted(code.clone())), Some(quoted(got.code.clone())), out);
            if let Some(detail) = detail {
                push("fail.detail", Some(quoted(detail.clone())), Some(quoted(got.detail.clone())), out);
            }
        }
        (Expected::Fault(code), Some(Answer::Fault(got))) => push("fault", Some(code.clone()), Some(got.code.to_owned()), out),
        (expected, got) => push("outcome", Some(in_words(expected)), Some(got.map_or_else(|| "unseen".to_owned(), describe)), out),
    }
}

/// Appends where the published messages differ from those expected.
pub(super) fn lists(field: &str, expected: &[Message], got: &[&Event], out: &mut Vec<Difference>) {
    for at in 0..expected.len().max(got.len()) {
        let path = format!("{field}[{at}]");
        match (expected.get(at), got.get(at)) {
            (Some(e), Some(g)) => messages(&path, e, g, out),
            (e, g) => push(&path, e.map(|e| summary(&e.event)), g.map(|g| summary(g)), out),
        }
    }
}

fn messages(path: &str, expected: &Message, got: &Event, out: &mut Vec<Difference>) {
    let (e, g) = (&expected.event, got);
    let at = |name: &str| format!("{path}.{name}");
    let text = |text: &str| Some(quoted(text.to_owned()));
    // Among all that is published an id that is not said is the host's matter.
    if expected.named {
        push(&at("id"), text(&e.id), text(&g.id), out);
    }
    push(&at("event_type"), text(&e.event_type), text(&g.event_type), out);
    push(&at("topic"), text(&e.topic), text(&g.topic), out);
    push(&at("partition"), e.partition.map(|p| p.to_string()), g.partition.map(|p| p.to_string()), out);
    push(&at("key"), e.key.as_ref().map(shown), g.key.as_ref().map(shown), out);
    match (&e.payload, &g.payload) {
        (Some(e), Some(g)) if expected.by_meaning => match (std::str::from_utf8(e), std::str::from_utf8(g)) {
            (Ok(e), Ok(g)) => compare(&at("payload"), e, g, out),
            _ => push(&at("payload"), Some(shown(e)), Some(shown(g)), out),
        },
        (e, g) => push(&at("payload"), e.as_ref().map(shown), g.as_ref().map(shown), out),
    }
    for n in 0..e.headers.len().max(g.headers.len()) {
        let header = |h: &Header| format!("{}: {}", h.name, h.value.as_ref().map_or_else(|| "null".to_owned(), shown));
        push(&format!("{path}.headers[{n}]"), e.headers.get(n).map(header), g.headers.get(n).map(header), out);
    }
}

fn push(field: &str, expected: Option<String>, got: Option<String>, out: &mut Vec<Difference>) {
    if expected != got {
        out.push(Difference { field: field.to_owned(), expected, got });
    }
}

fn quoted(text: String) -> String {
    Value::String(text).to_string()
}

/// Bytes for people.
fn shown(bytes: &Bytes) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok() => text.to_owned(),
        Ok(text) => quoted(text.to_owned()),
        Err(_) => format!("base64 {}", BASE64.encode(bytes)),
    }
}

fn summary(event: &Event) -> String {
    format!("a message {} to {} with {}", event.id, event.topic, event.payload.as_ref().map_or_else(|| "no payload".to_owned(), shown))
}

fn in_words(expected: &Expected) -> String {
    match expected {
        Expected::Unseen => "unseen".to_owned(),
        Expected::Pass => "pass".to_owned(),
        Expected::Drop(reason) => reason.as_ref().map_or_else(|| "drop".to_owned(), |r| format!("drop: {r}")),
        Expected::Emit(messages) => format!("emit {}", count(messages.len())),
        Expected::Fail { halt, code, .. } => format!("fail {}: {code}", if *halt { "halt" } else { "poison" }),
        Expected::Fault(code) => format!("fault: {code}"),
    }
}

/// An answer for people, on one line; a fault with the guest's stack below.
pub(super) fn describe(answer: &Answer) -> String {
    match answer {
        Answer::Pass => "pass".to_owned(),
        Answer::Drop(reason) => reason.as_ref().map_or_else(|| "drop".to_owned(), |r| format!("drop: {r}")),
        Answer::Emit(messages) => format!("emit {}", count(messages.len())),
        Answer::Fail(failure) => {
            let kind = if failure.halt { "halt" } else { "poison" };
            let detail = if failure.detail.is_empty() { String::new() } else { format!(" ({})", failure.detail) };
            format!("fail {kind}: {}{detail}", failure.code)
        }
        Answer::Fault(fault) => {
            let stack = fault.stack.as_ref().map(|stack| format!("\n{stack}")).unwrap_or_default();
            format!("fault {fault}{stack}")
        }
    }
}

fn count(messages: usize) -> String {
    if messages == 1 { "1 message".to_owned() } else { format!("{messages} messages") }
}

/// Where two answers to the same event differ.
pub(super) fn between(first: &Answer, second: &Answer, out: &mut Vec<Difference>) {
    match (first, second) {
        (Answer::Emit(a), Answer::Emit(b)) => {
            let expected: Vec<Message> = a.iter().cloned().map(Message::exact).collect();
            lists("emit", &expected, &b.iter().collect::<Vec<_>>(), out);
        }
        // A stack has addresses of its own.
        (Answer::Fault(a), Answer::Fault(b)) if a.code == b.code => {}
        (a, b) => push("outcome", Some(describe(a)), Some(describe(b)), out),
    }
}
