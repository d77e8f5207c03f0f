//! JSON by its text: finding and checking values without building them.
//!
//! A transform that moves, masks or looks at a few values keeps every other
//! byte as it was: digits of numbers, escapes, order, repeated keys, white
//! space. It is also several times faster than a tree.

mod cursor;
mod path;
mod scan;

pub use cursor::{Cursor, Invalid, Key, Kind};
pub use path::{Path, PathError, Step};

/// Failure code of a payload that is not JSON.
pub const INVALID: &str = "invalid-json";

/// The value of a JSON string literal, quotes included; `None` for any other
/// value and for escapes that have no UTF-8 form (a lone surrogate).
pub fn decode(literal: &str) -> Option<std::borrow::Cow<'_, str>> {
    let inner = literal.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        serde_json::from_str(literal).ok().map(std::borrow::Cow::Owned)
    } else {
        Some(std::borrow::Cow::Borrowed(inner))
    }
}
