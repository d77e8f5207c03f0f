//! Golden outcomes: what a component did, written into the case as what it
//! must do.

use super::case::Case;
use super::runner::CaseReport;
use crate::error::{Context as _, Error, Kind, Result};
use crate::event::{Event, Header};
use crate::transform::Answer;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

/// Keys of a case that say what must come out.
const DEMANDS: &[&str] = &["outcomes", "messages", "refused"];

/// Writes the outcomes of a run into the case's file; everything else in it,
/// comments too, stays as it is. Returns whether the file changed.
///
/// # Errors
/// `TestBroken` where the file cannot be read or written.
pub fn update(case: &Case, report: &CaseReport) -> Result<bool> {
    let failed = |e: Error| e.at("file", case.file.display());
    let text = std::fs::read_to_string(&case.file).or_kind(Kind::TestBroken, "cannot read the case").map_err(failed)?;
    let outcomes: Vec<Value> = case.events.iter().zip(&report.answers).map(|(event, answer)| outcome(event, answer.as_ref())).collect();
    let new = if case.file.extension().is_some_and(|e| e == "json") { json_with(&text, outcomes) } else { yaml_with(&text, &outcomes) };
    let new = new.map_err(failed)?;
    if new == text {
        return Ok(false);
    }
    std::fs::write(&case.file, new).or_kind(Kind::TestBroken, "cannot write the case").map_err(failed)?;
    Ok(true)
}

fn json_with(text: &str, outcomes: Vec<Value>) -> Result<String> {
    let mut document: Map<String, Value> = serde_json::from_str(text).or_kind(Kind::TestBroken, "not JSON")?;
    for key in DEMANDS {
        document.shift_remove(*key);
    }
    document.insert("outcomes".to_owned(), Value::Array(outcomes));
    let mut out = serde_json::to_string_pretty(&document).or_kind(Kind::Internal, "cannot write JSON")?;
    out.push('\n');
    Ok(out)
}

/// Replaces the block of a key at the left edge, which is what a case's keys
/// are in every document that is not one flow mapping.
fn yaml_with(text: &str, outcomes: &[Value]) -> Result<String> {
    if text.trim_start().starts_with('{') {
        return Err(Error::new(Kind::TestBroken, "a case written as one `{…}` cannot be updated")
            .remedy("write its keys on lines of their own, or make it a .case.json"));
    }
    let block = serde_saphyr::to_string(&json!({ "outcomes": outcomes })).or_kind(Kind::Internal, "cannot write YAML")?;
    let mut out = String::new();
    let (mut inside, mut written) = (false, false);
    for line in text.split_inclusive('\n') {
        let key = line.split(':').next().filter(|key| line.len() > key.len()).unwrap_or_default();
        if DEMANDS.contains(&key) {
            inside = true;
            if !written {
                out.push_str(&block);
                written = true;
            }
        } else if inside && !line.starts_with([' ', '\t', '-', '\n', '\r']) {
            inside = false;
        }
        if !inside {
            out.push_str(line);
        }
    }
    if !written {
        if !out.ends_with('\n') {
            out.push('\n');
        }
        out.push_str(&block);
    }
    Ok(out)
}

/// An outcome as a case writes it; `None` is an event that `when` keeps out.
#[must_use]
pub fn outcome(event: &Event, answer: Option<&Answer>) -> Value {
    match answer {
        None => "unseen".into(),
        Some(Answer::Pass) => "pass".into(),
        Some(Answer::Drop(None)) => "drop".into(),
        Some(Answer::Drop(Some(reason))) => json!({ "drop": reason }),
        Some(Answer::Fail(failure)) => {
            let kind = if failure.halt { "halt" } else { "poison" };
            json!({ "fail": { "kind": kind, "code": failure.code, "detail": failure.detail } })
        }
        Some(Answer::Fault(fault)) => json!({ "fault": fault.code }),
        Some(Answer::Emit(made)) => {
            let several = made.len() > 1;
            let messages = made.iter().enumerate();
            let messages: Vec<Value> = messages.map(|(at, message)| changes(event, message, several.then_some(at))).collect();
            json!({ "emit": messages })
        }
    }
}

/// A message as changes to its event.
fn changes(event: &Event, message: &Event, index: Option<usize>) -> Value {
    let mut out = Map::new();
    let id = index.map_or_else(|| event.id.to_string(), |index| format!("{}:{index}", event.id));
    if *message.id != *id {
        out.insert("id".into(), (&*message.id).into());
    }
    if message.event_type != event.event_type {
        out.insert("event_type".into(), (&*message.event_type).into());
    }
    if message.topic != event.topic {
        out.insert("topic".into(), (&*message.topic).into());
    }
    if message.partition != event.partition {
        out.insert("partition".into(), message.partition.into());
    }
    if message.key != event.key {
        bytes("key", "key", message.key.as_ref(), &mut out);
    }
    if message.payload != event.payload {
        payload(message.payload.as_ref(), &mut out);
    }
    if message.headers != event.headers {
        out.insert("headers".into(), message.headers.iter().map(header).collect());
    }
    Value::Object(out)
}

fn payload(payload: Option<&Bytes>, out: &mut Map<String, Value>) {
    let text = payload.and_then(|bytes| std::str::from_utf8(bytes).ok());
    let exact = |text: &&str| serde_json::from_str::<Value>(text).is_ok_and(|value| same(&value, text));
    match text {
        Some(text) if exact(&text) => {
            out.insert("payload".into(), serde_json::from_str(text).unwrap_or_default());
        }
        Some(text) if serde_json::from_str::<&RawValue>(text).is_ok() => {
            out.insert("payload_json".into(), text.into());
        }
        _ => bytes("payload", "payload_text", payload, out),
    }
}

/// Whether the value means what the text did: its numbers fit, no member twice.
fn same(value: &Value, text: &str) -> bool {
    // Null means a tombstone, which the text `null` is not.
    let again = value.to_string();
    !value.is_null() && again == text
}

fn bytes(name: &str, text_name: &str, bytes: Option<&Bytes>, out: &mut Map<String, Value>) {
    let (name, value) = match bytes.map(|bytes| std::str::from_utf8(bytes).map_err(|_| BASE64.encode(bytes))) {
        None => (name.to_owned(), Value::Null),
        Some(Ok(text)) => (text_name.to_owned(), text.into()),
        Some(Err(base64)) => (format!("{name}_base64"), base64.into()),
    };
    out.insert(name, value);
}

fn header(header: &Header) -> Value {
    let mut out = Map::new();
    out.insert("name".into(), (&*header.name).into());
    if header.value.is_some() {
        bytes("value", "value", header.value.as_ref(), &mut out);
    }
    Value::Object(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_outcomes_are_replaced() {
        let text = "# why\nname: x # so\noutcomes: # old\n  - pass\n  # gone\n- drop\n\nfuel: 3\n";
        let new = yaml_with(text, &["pass".into(), json!({ "drop": "no" })]).expect("writes");
        assert_eq!(new, "# why\nname: x # so\noutcomes:\n- pass\n- drop: \"no\"\nfuel: 3\n");
        assert_eq!(yaml_with("events: []", &[]).expect("writes"), "events: []\noutcomes: []\n");
        assert!(yaml_with("{events: []}", &[]).is_err());
    }
}
