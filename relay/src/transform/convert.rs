//! Across the boundary: events into the guest's terms, an outcome back into
//! events, checked against the contract on the way.

use super::bindings::{Content, GuestEvent, GuestHeader, GuestMessage, GuestOperation, GuestPosition, HeaderResult};
use super::fault::Fault;
use super::instance::Unused;
use crate::config::Limits;
use crate::event::{Event, Header, Operation, Shared, check_topic_name};
use bytes::Bytes;
use std::collections::HashMap;
use wildmatch::WildMatch;

/// Header names under this prefix are the host's.
const HOST_HEADERS: &str = "relay-";

/// Topics remembered as allowed. A chain that names more keeps working, each
/// further topic is matched anew.
const REMEMBERED_TOPICS: usize = 4096;

/// The lists behind a batch of guest events: the generated types borrow slices.
#[derive(Default)]
pub(super) struct Lists<'a> {
    headers: Vec<GuestHeader<'a>>,
    unchanged: Vec<&'a str>,
}

impl<'a> Lists<'a> {
    /// Collects what [`Lists::events`] will refer to.
    pub(super) fn new(events: &[&'a Event], unused: Unused) -> Self {
        let mut lists = Self::default();
        for event in events {
            if !unused.headers {
                let headers = event.headers.iter();
                lists.headers.extend(headers.map(|h| GuestHeader { name: &h.name, value: h.value.as_deref() }));
            }
            lists.unchanged.extend(event.unchanged.iter().map(String::as_str));
        }
        lists
    }

    /// The events as the guest sees them; what it does not read stays here.
    pub(super) fn events(&'a self, events: &[&'a Event], unused: Unused) -> Vec<GuestEvent<'a>> {
        let (mut headers, mut unchanged) = (&self.headers[..], &self.unchanged[..]);
        events
            .iter()
            .map(|event| {
                let (own_headers, rest) = headers.split_at(if unused.headers { 0 } else { event.headers.len() });
                headers = rest;
                let (own_unchanged, rest) = unchanged.split_at(event.unchanged.len());
                unchanged = rest;
                GuestEvent {
                    id: &event.id,
                    position: GuestPosition { commit: event.position.commit, index: event.position.index },
                    time: event.time,
                    operation: operation(event.operation),
                    entity: &event.entity,
                    event_type: &event.event_type,
                    topic: &event.topic,
                    key: event.key.as_deref(),
                    payload: if unused.payload { None } else { event.payload.as_deref() },
                    before: if unused.before { None } else { event.before.as_deref() },
                    unchanged: own_unchanged,
                    headers: own_headers,
                }
            })
            .collect()
    }
}

fn operation(operation: Operation) -> GuestOperation {
    match operation {
        Operation::Insert => GuestOperation::Insert,
        Operation::Update => GuestOperation::Update,
        Operation::Delete => GuestOperation::Delete,
        Operation::Truncate => GuestOperation::Truncate,
        Operation::Snapshot => GuestOperation::Snapshot,
        Operation::Message => GuestOperation::Message,
    }
}

/// Which topics a transform may name.
pub(super) struct Topics {
    patterns: Vec<WildMatch>,
    known: HashMap<String, Shared>,
}

impl Topics {
    pub(super) fn new(patterns: &[String]) -> Self {
        Self { patterns: patterns.iter().map(|p| WildMatch::new(p)).collect(), known: HashMap::new() }
    }

    fn allow(&mut self, topic: &str) -> Result<Shared, Fault> {
        if let Some(known) = self.known.get(topic) {
            return Ok(known.clone());
        }
        if check_topic_name(topic).is_err() {
            let shown: String = topic.chars().take(64).collect();
            return Err(Fault::new("contract:topic", format!("chose `{shown}`, which is no Kafka topic name")));
        }
        if !self.patterns.iter().any(|p| p.matches(topic)) {
            return Err(Fault::new("contract:topic", format!("chose topic `{topic}`, which the configuration does not allow")));
        }
        let shared: Shared = topic.into();
        if self.known.len() < REMEMBERED_TOPICS {
            self.known.insert(topic.to_owned(), shared.clone());
        }
        Ok(shared)
    }
}

/// Makes the events that `messages` describe out of the event they came from.
///
/// # Errors
/// A fault where a limit or the contract is broken; nothing of the event is
/// then published.
pub(super) fn apply(
    event: &Event,
    messages: Vec<GuestMessage>,
    topics: &mut Topics,
    limits: &Limits,
    out: &mut Vec<Event>,
) -> Result<(), Fault> {
    if messages.len() > limits.messages as usize {
        let what = format!("made {} messages of one event, limits.messages is {}", messages.len(), limits.messages);
        return Err(Fault::new("trap:messages", what));
    }
    let several = messages.len() > 1;
    let mut bytes = 0;
    for (index, message) in messages.into_iter().enumerate() {
        let made = message_to_event(event, message, several.then_some(index), topics)?;
        bytes += made.size();
        if bytes as u64 > limits.output_bytes.as_u64() {
            return Err(Fault::new("trap:output", format!("made over limits.output_bytes ({}) of one event", limits.output_bytes)));
        }
        out.push(made);
    }
    Ok(())
}

fn message_to_event(event: &Event, message: GuestMessage, index: Option<usize>, topics: &mut Topics) -> Result<Event, Fault> {
    let id = match (message.id, index) {
        (Some(id), _) => id.into(),
        (None, Some(index)) => format!("{}:{index}", event.id).into(),
        (None, None) => event.id.clone(),
    };
    let topic = match message.topic {
        Some(topic) => topics.allow(&topic)?,
        None => event.topic.clone(),
    };
    let headers = match message.headers {
        None => event.headers.clone(),
        Some(edit) => {
            let mut headers = event.headers.clone();
            headers.retain(|h| !edit.remove.iter().any(|name| **name == *h.name));
            for added in edit.append {
                headers.push(header(added)?);
            }
            headers
        }
    };
    Ok(Event {
        id,
        position: event.position,
        time: event.time,
        operation: event.operation,
        entity: event.entity.clone(),
        event_type: message.event_type.map_or_else(|| event.event_type.clone(), Into::into),
        topic,
        partition: message.partition,
        key: content(message.key, &event.key),
        payload: content(message.payload, &event.payload),
        before: event.before.clone(),
        unchanged: event.unchanged.clone(),
        headers,
    })
}

fn header(added: HeaderResult) -> Result<Header, Fault> {
    if added.name.starts_with(HOST_HEADERS) {
        return Err(Fault::new(
            "contract:header",
            format!("appended header `{}`; names under `{HOST_HEADERS}` are the host's", added.name),
        ));
    }
    if added.name.contains('\0') {
        return Err(Fault::new("contract:header", "appended a header whose name holds a NUL"));
    }
    Ok(Header { name: added.name.into(), value: added.value.map(Bytes::from) })
}

fn content(new: Option<Content>, old: &Option<Bytes>) -> Option<Bytes> {
    match new {
        None => old.clone(),
        Some(Content::Null) => None,
        Some(Content::Text(text)) => Some(Bytes::from(text.into_bytes())),
        Some(Content::Bytes(bytes)) => Some(Bytes::from(bytes)),
    }
}
