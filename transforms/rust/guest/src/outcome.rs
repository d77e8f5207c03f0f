use std::borrow::Cow;
use std::fmt;

use crate::Header;

/// A key or payload to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A null key, or a tombstone.
    Null,
    Text(String),
    Bytes(Vec<u8>),
}

impl From<String> for Content {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Content {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<&[u8]> for Content {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.to_vec())
    }
}

/// A message to publish, written as changes to the event it came from: what is
/// not set stays as in the event, and costs no copy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    pub id: Option<String>,
    pub event_type: Option<String>,
    pub topic: Option<String>,
    pub partition: Option<u32>,
    pub key: Option<Content>,
    pub payload: Option<Content>,
    /// Names of headers to remove, before any is appended.
    pub remove_headers: Vec<String>,
    pub append_headers: Vec<Header>,
}

impl Message {
    /// The event as it is.
    pub fn new() -> Self {
        Self::default()
    }

    /// Unset: the event's id; in a list of several, that id, `:` and the index.
    #[must_use]
    pub fn id(self, id: impl Into<String>) -> Self {
        Self { id: Some(id.into()), ..self }
    }

    /// What the next transform sees as the event's type.
    #[must_use]
    pub fn event_type(self, event_type: impl Into<String>) -> Self {
        Self { event_type: Some(event_type.into()), ..self }
    }

    /// The config must allow it.
    #[must_use]
    pub fn topic(self, topic: impl Into<String>) -> Self {
        Self { topic: Some(topic.into()), ..self }
    }

    /// Unset: by key.
    #[must_use]
    pub fn partition(self, partition: u32) -> Self {
        Self { partition: Some(partition), ..self }
    }

    /// Order holds per *source* key; a new key brings no order of its own.
    #[must_use]
    pub fn key(self, key: impl Into<Content>) -> Self {
        Self { key: Some(key.into()), ..self }
    }

    #[must_use]
    pub fn payload(self, payload: impl Into<Content>) -> Self {
        Self { payload: Some(payload.into()), ..self }
    }

    /// Poison `unserialisable` if the value has no JSON form, such as a map
    /// with keys that are not strings.
    pub fn payload_json(self, value: &impl serde::Serialize) -> Result<Self, Failure> {
        match serde_json::to_vec(value) {
            Ok(bytes) => Ok(self.payload(bytes)),
            Err(error) => Err(Failure::poison("unserialisable", error.to_string())),
        }
    }

    /// Appends a header. Names that begin with `relay-` are the host's.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.append_headers.push(Header { name: name.into(), value: Some(value.into()) });
        self
    }

    /// Appends a header whose value is null.
    #[must_use]
    pub fn null_header(mut self, name: impl Into<String>) -> Self {
        self.append_headers.push(Header { name: name.into(), value: None });
        self
    }

    /// Removes every header of that name that the event has.
    #[must_use]
    pub fn remove_header(mut self, name: impl Into<String>) -> Self {
        self.remove_headers.push(name.into());
        self
    }
}

/// What becomes of an event that did not fail.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Publish unchanged.
    Pass,
    /// Acknowledge and publish nothing. The reason becomes a metric label, so
    /// it must be one of a few.
    Drop(Option<Cow<'static, str>>),
    /// Publish in this order. An empty list drops the event.
    Emit(Vec<Message>),
}

impl Outcome {
    pub fn pass() -> Self {
        Self::Pass
    }

    /// See [`Outcome::Drop`].
    pub fn drop(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Drop(Some(reason.into()))
    }

    pub fn emit(messages: impl IntoIterator<Item = Message>) -> Self {
        Self::Emit(messages.into_iter().collect())
    }
}

impl From<Message> for Outcome {
    fn from(message: Message) -> Self {
        Self::Emit(vec![message])
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// This event can never succeed; the config says what becomes of it.
    Poison,
    /// The transform itself is unusable: stop and alert.
    Halt,
}

/// Why an event has no outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub kind: FailureKind,
    /// A metric label: one of a few, never made from data.
    pub code: Cow<'static, str>,
    /// Goes to the dead letter.
    pub detail: String,
}

impl Failure {
    /// See [`FailureKind::Poison`].
    pub fn poison(code: impl Into<Cow<'static, str>>, detail: impl Into<String>) -> Self {
        Self { kind: FailureKind::Poison, code: code.into(), detail: detail.into() }
    }

    /// See [`FailureKind::Halt`].
    pub fn halt(code: impl Into<Cow<'static, str>>, detail: impl Into<String>) -> Self {
        Self { kind: FailureKind::Halt, code: code.into(), detail: detail.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

impl std::error::Error for Failure {}
