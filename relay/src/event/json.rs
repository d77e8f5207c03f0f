//! The event as one line of JSON, the form that files, tests and replays use.
//! Bytes stay what they are: a payload that is JSON on one line stands inline,
//! other UTF-8 as `payload_text`, everything else as `payload_base64`; keys and
//! header values are text or base64. Reading a written line gives the same
//! bytes back.

use super::{Event, Header, Operation, Position};
use crate::error::{Error, Kind, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::io::Write;

/// Reads a present field as `Some`, JSON `null` included, so that an inline
/// `null` is told from an absent field.
fn present<'de, D: serde::Deserializer<'de>>(d: D) -> std::result::Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(d).map(Some)
}

/// One line as it stands in the file. All fields but `entity` may be left out
/// on input.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line<'a> {
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    id: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    position: Option<LinePosition>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    time: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    operation: Option<Operation>,
    #[serde(borrow, default, alias = "aggregate_type")]
    entity: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    event_type: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    topic: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    partition: Option<u32>,
    #[serde(borrow, default, alias = "aggregate_id", skip_serializing_if = "Option::is_none")]
    key: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    key_base64: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    payload: Option<&'a RawValue>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    payload_text: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    payload_base64: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    before: Option<&'a RawValue>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    before_text: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    before_base64: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    unchanged: Vec<String>,
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    headers: Vec<LineHeader<'a>>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LinePosition {
    commit: u64,
    #[serde(default)]
    index: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LineHeader<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    value: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    value_base64: Option<Cow<'a, str>>,
}

fn bytes_of(field: &str, text: Option<Cow<'_, str>>, base64: Option<Cow<'_, str>>) -> Result<Option<Bytes>, String> {
    match (text, base64) {
        (Some(_), Some(_)) => Err(format!("`{field}` stands in two forms; keep one")),
        (Some(text), None) => Ok(Some(Bytes::from(text.into_owned()))),
        (None, Some(b)) => match BASE64.decode(b.as_bytes()) {
            Ok(bytes) => Ok(Some(Bytes::from(bytes))),
            Err(error) => Err(format!("`{field}_base64`: {error}")),
        },
        (None, None) => Ok(None),
    }
}

fn content_of(
    field: &str,
    inline: Option<&RawValue>,
    text: Option<Cow<'_, str>>,
    base64: Option<Cow<'_, str>>,
) -> Result<Option<Bytes>, String> {
    // An inline `null` is SQL NULL; the four bytes `null` are written as text.
    let inline = inline.map(RawValue::get).filter(|raw| *raw != "null");
    match (inline, bytes_of(field, text, base64)?) {
        (Some(_), Some(_)) => Err(format!("`{field}` stands in two forms; keep one")),
        (Some(raw), None) => Ok(Some(Bytes::copy_from_slice(raw.as_bytes()))),
        (None, other) => Ok(other),
    }
}

/// Reads one line. `number` is its place in the file, from 1, and becomes the
/// position and the id where the line names none.
///
/// # Errors
/// `BadEvent` naming the line, the field and the cause.
pub fn read_line(text: &str, number: u64) -> Result<Event> {
    read_line_of(text, number, None)
}

/// The same, with an entity for a line that names none.
///
/// # Errors
/// As [`read_line`].
pub fn read_line_of(text: &str, number: u64, entity: Option<&str>) -> Result<Event> {
    let bad = |why: String| {
        Error::new(Kind::BadEvent, format!("line {number} is not an event: {why}"))
            .at("line", number)
            .remedy("one JSON object a line: {\"entity\":…, \"event_type\":…, \"key\":…, \"payload\":…}")
    };
    let line: Line<'_> = serde_json::from_str(text).map_err(|e| bad(e.to_string()))?;
    let operation = line.operation.unwrap_or(Operation::Insert);
    let headers = line
        .headers
        .into_iter()
        .map(|h| {
            let value = bytes_of("value", h.value, h.value_base64)?;
            Ok(Header { name: h.name.into(), value })
        })
        .collect::<Result<Vec<_>, String>>()
        .map_err(&bad)?;
    let position = line.position.map_or(Position { commit: number, index: 0 }, |p| Position { commit: p.commit, index: p.index });
    Ok(Event {
        id: line.id.map_or_else(|| format!("line-{number}").into(), Into::into),
        position,
        time: line.time.unwrap_or(0),
        operation,
        event_type: line.event_type.map_or_else(|| "insert".into(), Into::into),
        topic: line.topic.unwrap_or_default().into(),
        entity: line.entity.as_deref().or(entity).ok_or_else(|| bad("missing field `entity`".into()))?.into(),
        partition: line.partition,
        key: bytes_of("key", line.key, line.key_base64).map_err(&bad)?,
        payload: content_of("payload", line.payload, line.payload_text, line.payload_base64).map_err(&bad)?,
        before: content_of("before", line.before, line.before_text, line.before_base64).map_err(&bad)?,
        unchanged: line.unchanged,
        headers,
    })
}

type Content<'a> = (Option<&'a RawValue>, Option<Cow<'a, str>>, Option<Cow<'a, str>>);

fn content_to(bytes: Option<&Bytes>) -> Content<'_> {
    let Some(bytes) = bytes else { return (None, None, None) };
    let Ok(text) = std::str::from_utf8(bytes) else {
        return (None, None, Some(BASE64.encode(bytes).into()));
    };
    // RawValue trims surrounding blanks and a line break would end the line.
    let exact = !text.contains(['\n', '\r']) && text.trim() == text && text != "null";
    match serde_json::from_str::<&RawValue>(text) {
        Ok(raw) if exact => (Some(raw), None, None),
        _ => (None, Some(text.into()), None),
    }
}

fn text_to(bytes: Option<&Bytes>) -> (Option<Cow<'_, str>>, Option<Cow<'_, str>>) {
    match bytes.map(|b| (std::str::from_utf8(b), b)) {
        None => (None, None),
        Some((Ok(text), _)) => (Some(text.into()), None),
        Some((Err(_), bytes)) => (None, Some(BASE64.encode(bytes).into())),
    }
}

/// Writes one event as one line, line feed included.
pub fn write_line(event: &Event, out: &mut impl Write) -> std::io::Result<()> {
    let (payload, payload_text, payload_base64) = content_to(event.payload.as_ref());
    let (before, before_text, before_base64) = content_to(event.before.as_ref());
    let (key, key_base64) = text_to(event.key.as_ref());
    let line = Line {
        id: Some((&*event.id).into()),
        position: Some(LinePosition { commit: event.position.commit, index: event.position.index }),
        time: Some(event.time),
        operation: Some(event.operation),
        entity: Some((&*event.entity).into()),
        event_type: Some((&*event.event_type).into()),
        topic: Some((&*event.topic).into()),
        partition: event.partition,
        key,
        key_base64,
        payload,
        payload_text,
        payload_base64,
        before,
        before_text,
        before_base64,
        unchanged: event.unchanged.clone(),
        headers: event
            .headers
            .iter()
            .map(|h| {
                let (value, value_base64) = text_to(h.value.as_ref());
                LineHeader { name: (&*h.name).into(), value, value_base64 }
            })
            .collect(),
    };
    serde_json::to_writer(&mut *out, &line)?;
    out.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use super::super::fixture::event;
    use super::*;
    use proptest::prelude::*;

    fn round_trip(event: &Event) -> Event {
        let mut out = Vec::new();
        write_line(event, &mut out).expect("writes");
        let text = std::str::from_utf8(&out).expect("is text");
        assert_eq!(text.matches('\n').count(), 1, "{text}");
        read_line(text.trim_end_matches('\n'), 1).unwrap_or_else(|e| panic!("{e}: {text}"))
    }

    fn bytes() -> impl Strategy<Value = Option<Bytes>> {
        proptest::option::of(prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..20).prop_map(Bytes::from),
            ".{0,20}".prop_map(Bytes::from),
            "[ \n]?(null|1\\.10|\\{\"a\": ?12345678901234567890123\\}|\"x\"|\\[\\])[ \n]?".prop_map(Bytes::from),
        ])
    }

    proptest! {
        #[test]
        fn bytes_survive(key in bytes(), payload in bytes(), before in bytes(), value in bytes()) {
            let mut e = event(7);
            e.key = key;
            e.payload = payload;
            e.before = before;
            e.headers = vec![Header { name: "h".into(), value: value.clone() }, Header { name: "h".into(), value }];
            prop_assert_eq!(round_trip(&e), e);
        }
    }

    #[test]
    fn a_short_line_is_enough() {
        let e = read_line(r#"{"aggregate_type":"order","payload":{"a": 1.10}}"#, 3).expect("reads");
        assert_eq!(e.payload.as_deref(), Some(br#"{"a": 1.10}"#.as_slice()));
        assert_eq!((&*e.id, e.position.commit), ("line-3", 3));
        assert!(read_line(r#"{"entity":"x","payload":null}"#, 1).expect("reads").payload.is_none());
    }

    #[test]
    fn errors_name_line_and_field() {
        let text = read_line(r#"{"entity":"x","paylod":1}"#, 9).expect_err("refused").to_string();
        assert!(text.contains("line 9") && text.contains("paylod"), "{text}");
        let text = read_line(r#"{"entity":"x","key":"a","key_base64":"YQ=="}"#, 2).expect_err("refused").to_string();
        assert!(text.contains("`key` stands in two forms"), "{text}");
    }
}
