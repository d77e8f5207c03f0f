//! Arrays: `{a,"b \" c",NULL}`, nested by dimension, with or without the lower
//! bounds in front (`[0:1]={a,b}`), which are dropped.

use super::quoted::unquote;
use super::{BadValue, Kind, Options, append};

/// Postgres's `MAXDIM`.
const MAX_DIMENSIONS: usize = 6;

const NOT_ARRAY: BadValue = BadValue { kind: "array", reason: "not an array's text" };

/// How to read one.
pub struct Array<'a> {
    pub element: &'a Kind,
    pub delimiter: u8,
    pub options: Options,
}

impl Array<'_> {
    pub fn write(&self, out: &mut Vec<u8>, text: &[u8]) -> Result<(), BadValue> {
        let body = after_bounds(text).ok_or(NOT_ARRAY)?;
        match self.dimension(out, body, MAX_DIMENSIONS)? {
            [] => Ok(()),
            _ => Err(NOT_ARRAY),
        }
    }

    /// One pair of braces, of which `depth` more may be open; returns what
    /// follows it.
    fn dimension<'t>(&self, out: &mut Vec<u8>, text: &'t [u8], depth: usize) -> Result<&'t [u8], BadValue> {
        let Some(depth) = depth.checked_sub(1) else {
            return Err(BadValue { kind: "array", reason: "more than six dimensions" });
        };
        let mut rest = text.strip_prefix(b"{").ok_or(NOT_ARRAY)?;
        out.push(b'[');
        if let Some(after) = rest.strip_prefix(b"}") {
            out.push(b']');
            return Ok(after);
        }
        loop {
            rest = match rest.first() {
                Some(b'{') => self.dimension(out, rest, depth)?,
                _ => self.element(out, rest)?,
            };
            match rest.split_first() {
                Some((b'}', after)) => {
                    out.push(b']');
                    return Ok(after);
                }
                Some((byte, after)) if *byte == self.delimiter => {
                    out.push(b',');
                    rest = after;
                }
                _ => return Err(NOT_ARRAY),
            }
        }
    }

    /// One element; returns what follows it.
    fn element<'t>(&self, out: &mut Vec<u8>, text: &'t [u8]) -> Result<&'t [u8], BadValue> {
        if text.first() == Some(&b'"') {
            let (value, after) = unquote(text).ok_or(NOT_ARRAY)?;
            append(out, self.element, &value, self.options)?;
            return Ok(after);
        }
        let end = text.iter().position(|b| *b == self.delimiter || *b == b'}');
        let (value, after) = end.and_then(|end| text.split_at_checked(end)).ok_or(NOT_ARRAY)?;
        // Postgres quotes an element that is empty, has one of these, or reads
        // like NULL.
        if value.is_empty() || value.iter().any(|b| matches!(b, b'"' | b'\\' | b'{')) {
            return Err(NOT_ARRAY);
        }
        if value.eq_ignore_ascii_case(b"NULL") {
            out.extend_from_slice(b"null");
        } else {
            append(out, self.element, value, self.options)?;
        }
        Ok(after)
    }
}

fn after_bounds(text: &[u8]) -> Option<&[u8]> {
    if text.first() != Some(&b'[') {
        return Some(text);
    }
    let equals = text.iter().take_while(|b| matches!(b, b'[' | b']' | b':' | b'-' | b'+' | b'0'..=b'9')).count();
    text.get(equals..)?.strip_prefix(b"=")
}
