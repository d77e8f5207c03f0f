//! Ranges, `[1,5)` or `empty`, and multiranges, `{[1,5),[7,)}`.

use super::quoted::unquote;
use super::{BadValue, Kind, Options, append};

const NOT_RANGE: BadValue = BadValue { kind: "range", reason: "not a range's text" };
const NOT_MULTIRANGE: BadValue = BadValue { kind: "multirange", reason: "not a multirange's text" };

/// How to read one.
pub struct Range<'a> {
    pub bound: &'a Kind,
    pub options: Options,
}

impl Range<'_> {
    pub fn write(&self, out: &mut Vec<u8>, text: &[u8]) -> Result<(), BadValue> {
        match self.one(out, text)? {
            [] => Ok(()),
            _ => Err(NOT_RANGE),
        }
    }

    /// A multirange: ranges between braces, never quoted as array elements are.
    pub fn write_many(&self, out: &mut Vec<u8>, text: &[u8]) -> Result<(), BadValue> {
        let mut rest = text.strip_prefix(b"{").ok_or(NOT_MULTIRANGE)?;
        out.push(b'[');
        if rest != b"}" {
            loop {
                rest = self.one(out, rest)?;
                let Some(after) = rest.strip_prefix(b",") else { break };
                out.push(b',');
                rest = after;
            }
        }
        out.push(b']');
        if rest == b"}" { Ok(()) } else { Err(NOT_MULTIRANGE) }
    }

    /// The range at the beginning of a text; returns what follows it.
    fn one<'t>(&self, out: &mut Vec<u8>, text: &'t [u8]) -> Result<&'t [u8], BadValue> {
        if let Some(after) = text.strip_prefix(b"empty") {
            out.extend_from_slice(br#"{"empty":true}"#);
            return Ok(after);
        }
        let (lower_inclusive, rest) = match text {
            [b'[', rest @ ..] => (true, rest),
            [b'(', rest @ ..] => (false, rest),
            _ => return Err(NOT_RANGE),
        };
        out.extend_from_slice(br#"{"lower":"#);
        let rest = self.bound(out, rest)?.strip_prefix(b",").ok_or(NOT_RANGE)?;
        out.extend_from_slice(br#","upper":"#);
        let (upper_inclusive, rest) = match self.bound(out, rest)? {
            [b']', rest @ ..] => (true, rest),
            [b')', rest @ ..] => (false, rest),
            _ => return Err(NOT_RANGE),
        };
        out.extend_from_slice(br#","lower_inclusive":"#);
        out.extend_from_slice(word(lower_inclusive));
        out.extend_from_slice(br#","upper_inclusive":"#);
        out.extend_from_slice(word(upper_inclusive));
        out.push(b'}');
        Ok(rest)
    }

    /// One bound, nothing for none (an empty text is quoted); returns what
    /// follows it.
    fn bound<'t>(&self, out: &mut Vec<u8>, text: &'t [u8]) -> Result<&'t [u8], BadValue> {
        if text.first() == Some(&b'"') {
            let (value, after) = unquote(text).ok_or(NOT_RANGE)?;
            append(out, self.bound, &value, self.options)?;
            return Ok(after);
        }
        let end = text.iter().position(|b| matches!(b, b',' | b'(' | b')' | b'[' | b']' | b'"' | b'\\'));
        let (value, after) = end.and_then(|end| text.split_at_checked(end)).ok_or(NOT_RANGE)?;
        if value.is_empty() {
            out.extend_from_slice(b"null");
        } else {
            append(out, self.bound, value, self.options)?;
        }
        Ok(after)
    }
}

fn word(value: bool) -> &'static [u8] {
    if value { b"true" } else { b"false" }
}
