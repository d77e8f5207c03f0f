use std::str;

use crate::{Failure, json};

/// What happened in the source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    #[default]
    Insert,
    Update,
    Delete,
    Truncate,
    Snapshot,
    Message,
}

impl Operation {
    /// The name the contract and the config use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Truncate => "truncate",
            Self::Snapshot => "snapshot",
            Self::Message => "message",
        }
    }
}

/// Place of an event in its source; events made from one event share it.
/// Compared field by field it grows for any one key whose writers serialise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    pub commit: u64,
    pub index: u64,
}

/// One record header. Names may repeat and values are raw bytes; `None` is
/// Kafka's null header value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    pub name: String,
    pub value: Option<Vec<u8>>,
}

/// One event, read only.
///
/// The host makes the events a transform sees; [`Event::new`] and the `with_`
/// functions are for tests and for native calls.
#[derive(Clone, Debug, Default)]
pub struct Event {
    pub(crate) id: String,
    pub(crate) position: Position,
    pub(crate) time: i64,
    pub(crate) operation: Operation,
    pub(crate) entity: String,
    pub(crate) event_type: String,
    pub(crate) topic: String,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) payload: Option<Vec<u8>>,
    pub(crate) before: Option<Vec<u8>>,
    pub(crate) unchanged: Vec<String>,
    pub(crate) headers: Vec<Header>,
}

impl Event {
    /// Stable across redelivery and unique in the pipeline: the idempotency
    /// key.
    pub fn id(&self) -> &str {
        &self.id
    }

    pub fn position(&self) -> Position {
        self.position
    }

    /// When it happened (outbox) or was committed (CDC), in microseconds since
    /// the Unix epoch. A transform has no other clock.
    pub fn time(&self) -> i64 {
        self.time
    }

    pub fn operation(&self) -> Operation {
        self.operation
    }

    /// Outbox: aggregate type. CDC: `schema.table`. Logical message: its
    /// prefix.
    pub fn entity(&self) -> &str {
        &self.entity
    }

    /// Outbox: event type; otherwise the operation's name. A transform before
    /// this one may have changed it.
    pub fn event_type(&self) -> &str {
        &self.event_type
    }

    /// Where it is published if no transform chooses.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Orders events and picks the partition.
    pub fn key(&self) -> Option<&[u8]> {
        self.key.as_deref()
    }

    /// The key as text; `None` if there is none or it is not UTF-8.
    pub fn key_str(&self) -> Option<&str> {
        self.key().and_then(|key| str::from_utf8(key).ok())
    }

    /// `None` is a tombstone, or a payload the transform declared unused.
    pub fn payload(&self) -> Option<&[u8]> {
        self.payload.as_deref()
    }

    /// The payload as text; `None` for a tombstone, poison `invalid-json` if it
    /// is not UTF-8.
    pub fn payload_str(&self) -> Result<Option<&str>, Failure> {
        let Some(payload) = self.payload() else {
            return Ok(None);
        };
        match str::from_utf8(payload) {
            Ok(text) => Ok(Some(text)),
            Err(error) => Err(Failure::poison(json::INVALID, format!("payload is not UTF-8 at byte {}", error.valid_up_to()))),
        }
    }

    /// The payload read as JSON into any type (`serde_json::Value` for one);
    /// poison `invalid-json` if that fails, poison `no-payload` for a
    /// tombstone. [`crate::map_json`] lets tombstones through.
    pub fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, Failure> {
        let payload = self.payload().ok_or_else(|| Failure::poison("no-payload", "the event has no payload"))?;
        serde_json::from_slice(payload).map_err(|error| Failure::poison(json::INVALID, format!("payload: {error}")))
    }

    /// CDC: the row before the change, where known.
    pub fn before(&self) -> Option<&[u8]> {
        self.before.as_deref()
    }

    /// CDC: columns that did not change and were not sent, absent from the
    /// payload.
    pub fn unchanged(&self) -> &[String] {
        &self.unchanged
    }

    pub fn headers(&self) -> &[Header] {
        &self.headers
    }

    /// The last header of that name that has a value.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().rev().filter(|header| header.name == name).find_map(|header| header.value.as_deref())
    }

    /// The last header of that name that has a value in UTF-8.
    pub fn header_str(&self, name: &str) -> Option<&str> {
        self.header(name).and_then(|value| str::from_utf8(value).ok())
    }

    /// An event with this id and nothing else: an insert at position 0.
    pub fn new(id: impl Into<String>) -> Self {
        Self { id: id.into(), ..Self::default() }
    }

    #[must_use]
    pub fn with_position(self, position: Position) -> Self {
        Self { position, ..self }
    }

    #[must_use]
    pub fn with_time(self, time: i64) -> Self {
        Self { time, ..self }
    }

    #[must_use]
    pub fn with_operation(self, operation: Operation) -> Self {
        Self { operation, ..self }
    }

    #[must_use]
    pub fn with_entity(self, entity: impl Into<String>) -> Self {
        Self { entity: entity.into(), ..self }
    }

    #[must_use]
    pub fn with_event_type(self, event_type: impl Into<String>) -> Self {
        Self { event_type: event_type.into(), ..self }
    }

    #[must_use]
    pub fn with_topic(self, topic: impl Into<String>) -> Self {
        Self { topic: topic.into(), ..self }
    }

    #[must_use]
    pub fn with_key(self, key: impl Into<Vec<u8>>) -> Self {
        Self { key: Some(key.into()), ..self }
    }

    #[must_use]
    pub fn with_payload(self, payload: impl Into<Vec<u8>>) -> Self {
        Self { payload: Some(payload.into()), ..self }
    }

    #[must_use]
    pub fn with_before(self, before: impl Into<Vec<u8>>) -> Self {
        Self { before: Some(before.into()), ..self }
    }

    #[must_use]
    pub fn with_unchanged(self, unchanged: Vec<String>) -> Self {
        Self { unchanged, ..self }
    }

    /// Appends a header.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push(Header { name: name.into(), value: Some(value.into()) });
        self
    }
}
