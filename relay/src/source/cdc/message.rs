//! `pg_logical_emit_message` as a source: no table, no bloat.

use super::rows::id_at;
use crate::config::MessageFormat;
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Header, Operation, Position, Shared};
use crate::source::Names;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The content of a message whose sender follows the convention.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<'a> {
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    aggregate_type: Option<Cow<'a, str>>,
    #[serde(borrow)]
    aggregate_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    event_type: Option<Cow<'a, str>>,
    headers: Option<serde_json::Map<String, serde_json::Value>>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
}

/// Position of a message outside a transaction. `lsn` is the message's end; where
/// the next record starts there, it may be the commit of a transaction, which has
/// that place itself.
pub(super) fn outside(lsn: u64) -> Position {
    Position { commit: lsn.saturating_sub(1), index: 0 }
}

/// Such a message has no time of its own: it is now.
pub(super) fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// Reads a message as an event.
///
/// # Errors
/// `BadEvent` if it does not follow the convention.
pub(super) fn read(
    format: MessageFormat,
    prefix: &str,
    content: Bytes,
    position: Position,
    time: i64,
    names: &mut Names<'_>,
) -> Result<Event> {
    let mut event = Event {
        id: id_at(position),
        position,
        time,
        operation: Operation::Message,
        entity: names.share(prefix),
        event_type: names.share("message"),
        topic: "".into(),
        partition: None,
        key: None,
        payload: None,
        before: None,
        unchanged: Vec::new(),
        headers: Vec::new(),
    };
    match format {
        MessageFormat::Raw => event.payload = Some(content),
        MessageFormat::Envelope => {
            let envelope: Envelope<'_> = serde_json::from_slice(&content).map_err(|error| {
                // serde's text may quote the content; its place does not.
                Error::new(Kind::BadEvent, format!("a logical message is no envelope: line {} column {}", error.line(), error.column()))
                    .at("prefix", prefix)
                    .at("position", position)
                    .remedy("emit {\"id\",\"aggregate_type\",\"aggregate_id\",\"event_type\",\"headers\",\"payload\"}, or set source.message_format = \"raw\"")
            })?;
            apply(&mut event, envelope, names);
        }
    }
    event.topic = names.topic(&event.entity, &event.event_type);
    Ok(event)
}

fn apply(event: &mut Event, envelope: Envelope<'_>, names: &mut Names<'_>) {
    if let Some(id) = envelope.id {
        event.id = Shared::from(&*id);
    }
    if let Some(entity) = envelope.aggregate_type {
        event.entity = names.share(&entity);
    }
    if let Some(event_type) = envelope.event_type {
        event.event_type = names.share(&event_type);
    }
    event.key = envelope.aggregate_id.map(|key| Bytes::copy_from_slice(key.as_bytes()));
    event.payload = envelope.payload.filter(|raw| raw.get() != "null").map(|raw| Bytes::copy_from_slice(raw.get().as_bytes()));
    event.headers = envelope.headers.map(Header::from_json).unwrap_or_default();
}
