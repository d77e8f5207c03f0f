//! One letter: an event as it came, and what is said about it.

use super::index::Entry;
use crate::error::Error;
use crate::error::{Context as _, Kind, Result};
use crate::event::{Event, read_line, write_line};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Digits of a digest in a name.
const DIGEST: usize = 8;

/// Whose events follow each other: those of a key, or of an entity where there is no
/// key. As [`crate::source::lane_of`] has it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SourceKey(Vec<u8>);

impl SourceKey {
    /// Of this event as it came.
    #[must_use]
    pub fn of(event: &Event) -> Self {
        let (kind, bytes) = event.key.as_deref().map_or((b'e', event.entity.as_bytes()), |key| (b'k', key));
        let mut out = Vec::with_capacity(bytes.len() + 1);
        out.push(kind);
        out.extend_from_slice(bytes);
        Self(out)
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(self.0.get(1..).unwrap_or_default()).into_owned()
    }
}

/// Why it is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It failed.
    Dead,
    /// It is held back behind one of its key that failed.
    Parked,
}

/// Why an event failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// Kind of the error; `docs/errors.md` has each.
    pub code: String,
    /// What happened, on one line.
    pub message: String,
    /// Where: transform, digest, topic, the guest's own code.
    pub at: BTreeMap<String, String>,
    /// The guest's stack or message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guest: Option<String>,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Reason {
    /// The transform in which it failed; where the sink refused a message, the first of
    /// the chain that made it.
    #[must_use]
    pub fn transform(&self) -> &str {
        self.at.get("transform").and_then(|chain| chain.split('@').next()).unwrap_or_default()
    }

    /// Of this failure.
    #[must_use]
    pub fn of(error: &Error) -> Self {
        Self {
            code: error.kind().code().to_owned(),
            message: error.line(),
            at: error.coordinates().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            guest: error.said().map(str::to_owned),
            remedy: error.advice().map(str::to_owned),
        }
    }
}

/// See the module.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Letter {
    /// The event's id and its place: unique also where ids are not.
    pub id: String,
    /// Letters of a key follow each other in this order.
    pub order: u64,
    /// Why it is here.
    pub state: State,
    /// Whether later events of its key are held back behind it.
    pub holds: bool,
    /// Lane of its key.
    pub lane: usize,
    /// Why it failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Reason>,
    /// `name@digest` of the transforms it met.
    pub made_by: String,
    /// sha256 of their settings, limits and predicates.
    pub settings: String,
    /// How often it was tried; a parked one was not yet.
    pub attempts: u32,
    /// When it came here, RFC 3339.
    pub first: String,
    /// When it was tried last.
    pub last: String,
    /// The event as it came, in the form of files.
    pub event: Box<RawValue>,
}

/// Name of an event's letter: its id, its place, and a little of what it is, for lines of
/// different files share the former two.
#[must_use]
pub fn name(event: &Event) -> String {
    let mut hash = Sha256::new();
    for part in [&event.key, &event.payload, &event.before] {
        hash.update(part.as_ref().map_or(u64::MAX, |part| part.len() as u64).to_be_bytes());
        hash.update(part.as_deref().unwrap_or_default());
    }
    let digest = hex::encode(hash.finalize());
    format!("{}@{}-{}", event.id, event.position, &digest[..DIGEST])
}

/// An event in the form of files.
///
/// # Errors
/// `Internal` if it cannot be written.
pub fn written(event: &Event) -> Result<Box<RawValue>> {
    let mut line = Vec::new();
    write_line(event, &mut line).or_kind(Kind::Internal, "cannot write an event as JSON")?;
    let text = String::from_utf8(line).or_kind(Kind::Internal, "cannot write an event as JSON")?;
    RawValue::from_string(text.trim_end().to_owned()).or_kind(Kind::Internal, "cannot write an event as JSON")
}

impl Letter {
    /// Its event.
    ///
    /// # Errors
    /// `BadEvent` if it was changed by somebody.
    pub fn event(&self) -> Result<Event> {
        read_line(self.event.get(), 1).map_err(|e| e.at("letter", &self.id))
    }

    /// What the index keeps of it.
    ///
    /// # Errors
    /// As [`Letter::event`].
    pub fn entry(&self) -> Result<Entry> {
        Ok(Entry {
            id: Arc::from(&*self.id),
            lane: self.lane,
            key: SourceKey::of(&self.event()?),
            state: self.state,
            holds: self.holds,
            bytes: self.event.get().len(),
            code: Arc::from(self.error.as_ref().map_or("", |error| &*error.code)),
            transform: Arc::from(self.error.as_ref().map_or("", Reason::transform)),
        })
    }
}

/// Which letters are meant; all conditions that are given hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Filter {
    /// Names of letters, or ids of their events.
    pub ids: Vec<String>,
    /// Key of the event, or its entity where it has none.
    pub key: Option<String>,
    /// Kind of the error.
    pub code: Option<String>,
    /// Transform in which it failed.
    pub transform: Option<String>,
    /// Dead or parked.
    pub state: Option<State>,
}

impl Filter {
    /// Whether a letter is meant.
    #[must_use]
    pub fn wants(&self, entry: &Entry) -> bool {
        let is = |said: &Option<String>, found: &str| said.as_deref().is_none_or(|said| said == found);
        let named = |id: &String| **id == *entry.id || entry.id.rsplit_once('@').is_some_and(|(event, _)| event == id);
        (self.ids.is_empty() || self.ids.iter().any(named))
            && self.key.as_ref().is_none_or(|key| *key == entry.key.text())
            && is(&self.code, &entry.code)
            && is(&self.transform, &entry.transform)
            && self.state.is_none_or(|state| state == entry.state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Position;
    use crate::event::fixture::event;

    #[test]
    fn rows_that_share_an_id_are_two_letters() {
        let (mut one, mut two) = (event(1), event(1));
        (one.position, two.position) = (Position { commit: 1, index: 0 }, Position { commit: 2, index: 0 });
        assert_ne!(name(&one), name(&two));
    }

    #[test]
    fn a_key_is_no_entity_of_its_name() {
        let (mut keyed, mut bare) = (event(1), event(1));
        (keyed.key, bare.key) = (Some("order".into()), None);
        assert_ne!(SourceKey::of(&keyed), SourceKey::of(&bare));
        assert_eq!(SourceKey::of(&bare).text(), "order");
    }
}
