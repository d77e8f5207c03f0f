//! Any bytes are a message or an error, and all that a message yields can be read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::hint::black_box;

// The file itself: the whole of relay would take minutes to build for the fuzzer.
#[path = "../../src/source/cdc/pgoutput.rs"]
mod pgoutput;

use pgoutput::{Message, Tuple, decode};

/// Reads every value; none may be missing.
fn walk(tuple: &Tuple<'_>) {
    assert_eq!(tuple.iter().map(black_box).count(), tuple.len());
    assert_eq!(tuple.is_empty(), tuple.len() == 0);
}

fuzz_target!(|bytes: &[u8]| {
    let message = match decode(bytes) {
        Ok(message) => message,
        Err(error) => {
            assert!(error.offset <= bytes.len());
            black_box(error.to_string());
            return;
        }
    };
    match &message {
        Message::Relation(relation) => {
            black_box(relation.columns.iter().map(black_box).count());
        }
        Message::Insert { new, .. } => walk(new),
        Message::Update { old, new, .. } => {
            if let Some(old) = old {
                walk(&old.tuple);
            }
            walk(new);
        }
        Message::Delete { old, .. } => walk(&old.tuple),
        Message::Truncate { relations, .. } => {
            // Tag, count and flags, then nothing but the tables.
            assert_eq!(relations.iter().map(black_box).count() * 4 + 6, bytes.len());
        }
        Message::Begin { .. } | Message::Commit { .. } | Message::Origin { .. } | Message::Type { .. } | Message::Message { .. } => {}
    }
    black_box(format!("{message:?} {}", message.clone() == message));
});
