//! The only place that knows the WIT world: lifts events into [`Event`],
//! lowers [`Outcome`]s, and logs.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::Once;

use crate::{Content, Event, Failure, FailureKind, Header, Message, Operation, Outcome, Position};
use crate::{Transform, log::Level};

pub mod bindings {
    wit_bindgen::generate!({
        path: "wit",
        world: "transform",
        pub_export_macro: true,
        export_macro_name: "export_transformer",
        runtime_path: "relay_guest::glue::wit_bindgen::rt",
        default_bindings_module: "relay_guest::glue::bindings",
    });
}

#[doc(hidden)]
pub use wit_bindgen;

pub use bindings::export_transformer;
use bindings::exports::relay::transform::transformer as api;
use bindings::relay::transform::{host, types as wit};

thread_local! {
    /// Index of the event being processed, for log lines.
    static CURRENT: Cell<Option<u32>> = const { Cell::new(None) };
}

pub(crate) fn log(level: Level, message: &str) {
    let level = match level {
        Level::Trace => host::Level::Trace,
        Level::Debug => host::Level::Debug,
        Level::Info => host::Level::Info,
        Level::Warn => host::Level::Warn,
        Level::Error => host::Level::Error,
    };
    host::log(level, message, CURRENT.get());
}

/// A panic would trap as a bare `unreachable`; its message is worth a line.
fn report_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(|info| log(Level::Error, &info.to_string())));
    });
}

/// The exported component around a transform.
pub struct Component<T>(PhantomData<T>);

/// The exported resource around a transform.
pub struct Instance<T>(T);

impl<T: Transform> api::Guest for Component<T> {
    type Transform = Instance<T>;
}

impl<T: Transform> api::GuestTransform for Instance<T> {
    fn create(settings: String) -> Result<api::Transform, String> {
        report_panics();
        crate::create::<T>(&settings).map(|made| api::Transform::new(Self(made)))
    }

    fn unused(&self) -> wit::Unused {
        let unused = self.0.unused();
        let mut flags = wit::Unused::empty();
        flags.set(wit::Unused::PAYLOAD, unused.payload);
        flags.set(wit::Unused::BEFORE, unused.before);
        flags.set(wit::Unused::HEADERS, unused.headers);
        flags
    }

    fn process(&self, events: Vec<wit::Event>) -> Vec<wit::Outcome> {
        let mut outcomes = Vec::with_capacity(events.len());
        for (index, event) in (0..).zip(events) {
            CURRENT.set(Some(index));
            outcomes.push(lower(self.0.apply(&lift(event))));
        }
        CURRENT.set(None);
        outcomes
    }
}

fn lift(event: wit::Event) -> Event {
    Event {
        id: event.id,
        position: Position { commit: event.position.commit, index: event.position.index },
        time: event.time,
        operation: match event.operation {
            wit::Operation::Insert => Operation::Insert,
            wit::Operation::Update => Operation::Update,
            wit::Operation::Delete => Operation::Delete,
            wit::Operation::Truncate => Operation::Truncate,
            wit::Operation::Snapshot => Operation::Snapshot,
            wit::Operation::Message => Operation::Message,
        },
        entity: event.entity,
        event_type: event.event_type,
        topic: event.topic,
        key: event.key,
        payload: event.payload,
        before: event.before,
        unchanged: event.unchanged,
        headers: event.headers.into_iter().map(|header| Header { name: header.name, value: header.value }).collect(),
    }
}

fn lower(result: Result<Outcome, Failure>) -> wit::Outcome {
    match result {
        Ok(Outcome::Pass) => wit::Outcome::Pass,
        Ok(Outcome::Drop(reason)) => wit::Outcome::Drop(reason.map(Into::into)),
        Ok(Outcome::Emit(messages)) => wit::Outcome::Emit(messages.into_iter().map(lower_message).collect()),
        Err(failure) => wit::Outcome::Fail(wit::Failure {
            kind: match failure.kind {
                FailureKind::Poison => wit::FailureKind::Poison,
                FailureKind::Halt => wit::FailureKind::Halt,
            },
            code: failure.code.into_owned(),
            detail: failure.detail,
        }),
    }
}

fn lower_message(message: Message) -> wit::Message {
    let edited = !message.remove_headers.is_empty() || !message.append_headers.is_empty();
    wit::Message {
        id: message.id,
        event_type: message.event_type,
        topic: message.topic,
        partition: message.partition,
        key: message.key.map(lower_content),
        payload: message.payload.map(lower_content),
        headers: edited.then(|| wit::HeaderEdit {
            remove: message.remove_headers,
            append: message.append_headers.into_iter().map(|header| wit::Header { name: header.name, value: header.value }).collect(),
        }),
    }
}

fn lower_content(content: Content) -> wit::Content {
    match content {
        Content::Null => wit::Content::Null,
        Content::Text(text) => wit::Content::Text(text),
        Content::Bytes(bytes) => wit::Content::Bytes(bytes),
    }
}

/// The bytes of a text, as a custom section wants them.
pub const fn bytes<const N: usize>(text: &str) -> [u8; N] {
    let (text, mut bytes, mut at) = (text.as_bytes(), [0; N], 0);
    while let Some((first, _)) = text.split_at(at).1.split_first() {
        if let Some(byte) = bytes.split_at_mut(at).1.first_mut() {
            *byte = *first;
        }
        at += 1;
    }
    bytes
}
