//! Postgres values in text format, as pgoutput sends them, to JSON. Pure.
//!
//! The mapping is frozen with the contract (DESIGN, "The contract"); the tables
//! in the tests of this module are its text. It presumes a session with
//! `DateStyle=ISO`, `TimeZone=UTC`, `bytea_output=hex`, `IntervalStyle=postgres`,
//! `extra_float_digits=1` and `client_encoding=UTF8`; a date printed in another
//! style is an error, not a guess.
//!
//! What JSON has no form for stays the string that Postgres prints: `NaN` and
//! the infinities of numbers, `infinity` of dates, dates BC or past the year
//! 9999, zones with seconds. Some differences do not survive: an array's lower
//! bounds are dropped, and JSON `null` in a `json` column looks like SQL NULL.

mod array;
mod bytea;
mod catalog;
mod number;
mod quoted;
mod range;
#[cfg(test)]
mod tests;
mod time;

pub use catalog::{Catalog, LOOKUP, TypeRow};

use serde_json::value::RawValue;
use std::sync::Arc;

/// What a type's values become. Domains are their base type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`.
    Bool,
    /// Digits that a double holds exactly: int2, int4, oid, xid, cid.
    Int,
    /// Digits that JavaScript may lose: int8, xid8. A string by option.
    Int8,
    /// float4 and float8: the shortest digits that read back the same.
    Float,
    /// A string of exactly the digits Postgres prints, or by option a number.
    Numeric,
    /// json and jsonb, inline. Line breaks between tokens become blanks;
    /// everything else stays, repeated names too.
    Json,
    /// Base64, the standard alphabet with padding.
    Bytea,
    /// `2024-02-29`.
    Date,
    /// `12:00:00.5`; Postgres has a `24:00:00`.
    Time,
    /// `12:00:00.5+05:30`, with `Z` for zero.
    TimeTz,
    /// `2024-02-29T12:00:00.5`.
    Timestamp,
    /// RFC 3339, `2024-02-29T12:00:00.5Z`.
    TimestampTz,
    /// A string as Postgres prints it: text, varchar, bpchar (padded), uuid,
    /// enums, interval, money, composites and every type not known here.
    Text,
    /// A JSON array, nested as deep as it has dimensions.
    Array {
        /// What the elements are.
        element: Arc<Kind>,
        /// What stands between them in Postgres's text: `;` for box, else `,`.
        delimiter: u8,
    },
    /// `{"lower", "upper", "lower_inclusive", "upper_inclusive"}`, where a bound
    /// that is `null` is unbounded; or `{"empty": true}`.
    Range(Arc<Kind>),
    /// A JSON array of ranges.
    Multirange(Arc<Kind>),
}

impl Kind {
    /// Its name in errors.
    fn name(&self) -> &'static str {
        match self {
            Self::Bool => "boolean",
            Self::Int => "integer",
            Self::Int8 => "int8",
            Self::Float => "float",
            Self::Numeric => "numeric",
            Self::Json => "json",
            Self::Bytea => "bytea",
            Self::Date => "date",
            Self::Time => "time",
            Self::TimeTz => "timetz",
            Self::Timestamp => "timestamp",
            Self::TimestampTz => "timestamptz",
            Self::Text => "text",
            Self::Array { .. } => "array",
            Self::Range(_) => "range",
            Self::Multirange(_) => "multirange",
        }
    }
}

/// What the operator may choose; it holds inside arrays and ranges too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `"9007199254740993"` instead of `9007199254740993`.
    pub int8_as_string: bool,
    /// `12.340` instead of `"12.340"`; `NaN` and the infinities stay strings.
    pub numeric_as_digits: bool,
}

/// A text that the session's Postgres does not print for this type. Never holds
/// the value, which may be personal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} value: {reason}")]
pub struct BadValue {
    /// The kind that was being read; inside an array or a range, the inner one.
    pub kind: &'static str,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// Appends the JSON of one value that is not NULL. On one line: no line break
/// is ever written. When this fails, `out` is left as it was.
///
/// # Errors
/// [`BadValue`] when the text is not one that Postgres prints for this kind.
pub fn write(out: &mut Vec<u8>, kind: &Kind, text: &[u8], options: Options) -> Result<(), BadValue> {
    let start = out.len();
    let done = append(out, kind, text, options);
    if done.is_err() {
        out.truncate(start);
    }
    done
}

/// As [`write`], but what was begun stays when it fails. Recursion is as deep as
/// the kind, which the catalog bounds, and an array's dimensions.
fn append(out: &mut Vec<u8>, kind: &Kind, text: &[u8], options: Options) -> Result<(), BadValue> {
    let done = match kind {
        Kind::Bool => boolean(out, text),
        Kind::Int => number::int(out, text, false),
        Kind::Int8 => number::int(out, text, options.int8_as_string),
        Kind::Float => number::float(out, text),
        Kind::Numeric => number::numeric(out, text, options.numeric_as_digits),
        Kind::Json => json(out, text),
        Kind::Bytea => bytea::write(out, text),
        Kind::Date => time::date(out, text),
        Kind::Time => time::time(out, text),
        Kind::TimeTz => time::timetz(out, text),
        Kind::Timestamp => time::timestamp(out, text, false),
        Kind::TimestampTz => time::timestamp(out, text, true),
        Kind::Text => string(out, text),
        Kind::Array { element, delimiter } => return array::Array { element, delimiter: *delimiter, options }.write(out, text),
        Kind::Range(bound) => return range::Range { bound, options }.write(out, text),
        Kind::Multirange(bound) => return range::Range { bound, options }.write_many(out, text),
    };
    done.map_err(|reason| BadValue { kind: kind.name(), reason })
}

/// What a scalar's writer returns: the reason when the text is not of its kind.
type Written = Result<(), &'static str>;

fn boolean(out: &mut Vec<u8>, text: &[u8]) -> Written {
    // The output function prints one letter, the cast to text a word.
    let word: &[u8] = match text {
        b"t" | b"true" => b"true",
        b"f" | b"false" => b"false",
        _ => return Err("neither true nor false"),
    };
    out.extend_from_slice(word);
    Ok(())
}

fn json(out: &mut Vec<u8>, text: &[u8]) -> Written {
    let raw: &RawValue = serde_json::from_slice(text).map_err(|_| "not JSON")?;
    // Inside strings JSON allows no raw line break, so these stand between tokens.
    out.extend(raw.get().bytes().map(|b| if matches!(b, b'\n' | b'\r') { b' ' } else { b }));
    Ok(())
}

fn string(out: &mut Vec<u8>, text: &[u8]) -> Written {
    let text = std::str::from_utf8(text).map_err(|_| "not UTF-8; is the database SQL_ASCII?")?;
    write_string(out, text);
    Ok(())
}

/// Appends a text as a JSON string. Only what must be escaped is.
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|b| matches!(b, 0..0x20 | b'"' | b'\\')) {
        let (plain, tail) = rest.split_at(at);
        out.extend_from_slice(plain);
        let Some((special, after)) = tail.split_first() else { break };
        escape(out, *special);
        rest = after;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

fn escape(out: &mut Vec<u8>, byte: u8) {
    let letter = match byte {
        b'"' | b'\\' => byte,
        0x08 => b'b',
        b'\t' => b't',
        b'\n' => b'n',
        0x0c => b'f',
        b'\r' => b'r',
        _ => {
            let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', letter]);
}

/// Appends a string of parts that are known to need no escape.
fn quote(out: &mut Vec<u8>, parts: &[&[u8]]) {
    out.push(b'"');
    for part in parts {
        out.extend_from_slice(part);
    }
    out.push(b'"');
}
