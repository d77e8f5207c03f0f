//! The messages of `pgoutput`, protocol version 1, as Postgres 14 to 18 send
//! them (source: PostgreSQL documentation, *Logical Replication Message
//! Formats*). Pure; knows std and `thiserror` alone, so that the fuzzer can
//! include it.
//!
//! [`decode`] checks a message to its last byte and copies nothing: what it
//! returns points into the input, and what is read from that later cannot fail.
//! `Debug` shows shapes and names, never values.

// By path, so that the fuzzer can take this file in as it is.
#[path = "pgoutput/reader.rs"]
mod reader;

use reader::Reader;
use std::fmt;
use thiserror::Error;

/// A message that is not what the protocol says. It holds no payload: tags and
/// flags are the only bytes of the input in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("pgoutput message {}: {what} at byte {offset}: {fault}", Byte(*.tag))]
pub struct Malformed {
    /// The tag of the message; 0 for an empty one.
    pub tag: u8,
    /// What was being read.
    pub what: &'static str,
    /// Where that begins, in bytes from the start of the message.
    pub offset: usize,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What is wrong in a [`Malformed`] message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    /// The message ends inside.
    #[error("the message ends too early")]
    Short,
    /// Bytes are left behind the message.
    #[error("{0} bytes too many")]
    Trailing(usize),
    /// A tag without meaning here.
    #[error("unknown tag {}", Byte(*.0))]
    UnknownTag(u8),
    /// Flags without meaning here.
    #[error("unknown flags 0x{0:02x}")]
    UnknownFlags(u8),
    /// A count or a length below zero.
    #[error("negative")]
    Negative,
    /// A string that is not UTF-8.
    #[error("not UTF-8")]
    NotUtf8,
}

/// A tag as a person reads it.
struct Byte(u8);

impl fmt::Display for Byte {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_ascii_graphic() { write!(f, "'{}'", char::from(self.0)) } else { write!(f, "0x{:02x}", self.0) }
    }
}

type Result<T, E = Malformed> = std::result::Result<T, E>;

/// One message. Times are microseconds since 2000-01-01 UTC; `relation` is the
/// OID of a table.
#[derive(Clone, PartialEq, Eq)]
#[expect(clippy::enum_variant_names, reason = "the protocol calls one of its messages Message")]
pub enum Message<'a> {
    /// A transaction begins, whose commit record is at `final_lsn`; `xid` has no
    /// epoch. Only what commits is sent.
    Begin { final_lsn: u64, commit_time: i64, xid: u32 },
    /// It ends; `end_lsn` is where the record after its commit begins.
    Commit { commit_lsn: u64, end_lsn: u64, commit_time: i64 },
    /// The transaction was replicated from elsewhere, where it committed at
    /// `commit_lsn`. Comes right after `Begin`.
    Origin { commit_lsn: u64, name: &'a str },
    /// The shape of a table, before its first change and after each `ALTER`.
    Relation(Relation<'a>),
    /// A type that is not built in, before the `Relation` that has it. An empty
    /// schema is `pg_catalog`; of a domain, the names are those of its base type.
    Type { oid: u32, schema: &'a str, name: &'a str },
    /// A new row.
    Insert { relation: u32, new: Tuple<'a> },
    /// A changed row. The old one is there under FULL, and else, key only, where
    /// the key changed or is stored out of line.
    Update { relation: u32, old: Option<Old<'a>>, new: Tuple<'a> },
    /// A removed row.
    Delete { relation: u32, old: Old<'a> },
    /// Tables emptied by one statement, `CASCADE` or `RESTART IDENTITY`.
    Truncate { relations: Oids<'a>, cascade: bool, restart_identity: bool },
    /// Of `pg_logical_emit_message`; one that is not transactional stands outside
    /// `Begin` and `Commit`.
    Message { transactional: bool, lsn: u64, prefix: &'a str, content: &'a [u8] },
}

impl Message<'_> {
    /// Name of the variant in lower case.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Begin { .. } => "begin",
            Self::Commit { .. } => "commit",
            Self::Origin { .. } => "origin",
            Self::Relation(_) => "relation",
            Self::Type { .. } => "type",
            Self::Insert { .. } => "insert",
            Self::Update { .. } => "update",
            Self::Delete { .. } => "delete",
            Self::Truncate { .. } => "truncate",
            Self::Message { .. } => "message",
        }
    }
}

impl fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())
    }
}

/// The shape of a table. An empty schema is `pg_catalog`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation<'a> {
    pub oid: u32,
    pub schema: &'a str,
    pub name: &'a str,
    pub identity: ReplicaIdentity,
    /// Those that are published, in the order of its tuples.
    pub columns: Columns<'a>,
}

/// What is sent of old rows: the primary key, nothing, all columns, those of an
/// index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicaIdentity {
    Default,
    Nothing,
    Full,
    Index,
}

/// One column of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column<'a> {
    /// Part of the replica identity; under FULL all are, under NOTHING none.
    pub key: bool,
    pub name: &'a str,
    pub type_oid: u32,
    /// `atttypmod`; -1 for none.
    pub type_modifier: i32,
}

/// The columns of a [`Relation`], an iterator.
#[derive(Clone, PartialEq, Eq)]
pub struct Columns<'a> {
    rest: Reader<'a>,
    left: u16,
}

impl Columns<'_> {
    /// From here, leaving this one where it is.
    #[must_use]
    pub fn iter(&self) -> Self {
        self.clone()
    }
}

impl<'a> Iterator for Columns<'a> {
    type Item = Column<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        self.rest.column().ok()
    }
}

impl fmt::Debug for Columns<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// The tables of a `Truncate`, an iterator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Oids<'a> {
    /// Four bytes each.
    rest: &'a [u8],
}

impl Oids<'_> {
    /// From here, leaving this one where it is.
    #[must_use]
    pub fn iter(&self) -> Self {
        self.clone()
    }
}

impl Iterator for Oids<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let (oid, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(u32::from_be_bytes(*oid))
    }
}

/// A row before its change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Old<'a> {
    /// The columns beside the replica identity are sent as null, whatever they are.
    pub key_only: bool,
    pub tuple: Tuple<'a>,
}

/// A row: one [`Datum`] for each column of its [`Relation`], as far as the
/// sender keeps its word; the two are not compared here.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Tuple<'a> {
    rest: Reader<'a>,
    len: u16,
}

impl<'a> Tuple<'a> {
    /// How many columns.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len.into()
    }

    /// Whether it has no columns; a table may.
    #[must_use]
    #[allow(dead_code, reason = "goes with `len`")]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The columns in order.
    #[must_use]
    pub fn iter(&self) -> Datums<'a> {
        Datums { rest: self.rest, left: self.len }
    }
}

impl fmt::Debug for Tuple<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// The columns of a [`Tuple`].
#[derive(Clone)]
pub struct Datums<'a> {
    rest: Reader<'a>,
    left: u16,
}

impl<'a> Iterator for Datums<'a> {
    type Item = Datum<'a>;

    fn next(&mut self) -> Option<Datum<'a>> {
        self.left = self.left.checked_sub(1)?;
        self.rest.datum().ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left.into(), Some(self.left.into()))
    }
}

impl ExactSizeIterator for Datums<'_> {}

/// One value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Datum<'a> {
    /// SQL NULL.
    Null,
    /// Stored out of line, not changed and not sent.
    Unchanged,
    /// As the type's output function prints it. In the client's encoding, which
    /// nothing here checks: a database in `SQL_ASCII` holds any bytes.
    Text(&'a [u8]),
    /// As the type's send function does; only if `binary` was asked for.
    Binary(&'a [u8]),
}

impl fmt::Debug for Datum<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("Null"),
            Self::Unchanged => f.write_str("Unchanged"),
            Self::Text(text) => write!(f, "Text({} bytes)", text.len()),
            Self::Binary(bytes) => write!(f, "Binary({} bytes)", bytes.len()),
        }
    }
}

/// Reads one message.
///
/// # Errors
/// [`Malformed`] for anything but one whole message of protocol version 1:
/// bytes missing or left over, tags or flags it does not have (those of
/// streaming and of two-phase commit too), strings that are not UTF-8.
pub fn decode(bytes: &[u8]) -> Result<Message<'_>> {
    let mut r = Reader { tag: bytes.first().copied().unwrap_or(0), len: bytes.len(), rest: bytes };
    let tag = r.u8("tag")?;
    let message = match tag {
        b'B' => Message::Begin { final_lsn: r.u64("final LSN")?, commit_time: r.i64("commit time")?, xid: r.u32("transaction id")? },
        b'C' => {
            r.flags("flags", 0)?;
            Message::Commit { commit_lsn: r.u64("commit LSN")?, end_lsn: r.u64("end LSN")?, commit_time: r.i64("commit time")? }
        }
        b'O' => Message::Origin { commit_lsn: r.u64("commit LSN")?, name: r.string("origin")? },
        b'R' => Message::Relation(r.relation()?),
        b'Y' => Message::Type { oid: r.u32("type")?, schema: r.string("schema")?, name: r.string("type name")? },
        b'I' => {
            let relation = r.u32("relation")?;
            r.new_tag()?;
            Message::Insert { relation, new: r.tuple()? }
        }
        b'U' => {
            let relation = r.u32("relation")?;
            // Either the old row or the new one comes first.
            let old = if r.rest.first() == Some(&b'N') { None } else { Some(r.old()?) };
            r.new_tag()?;
            Message::Update { relation, old, new: r.tuple()? }
        }
        b'D' => Message::Delete { relation: r.u32("relation")?, old: r.old()? },
        b'T' => r.truncate()?,
        b'M' => {
            let transactional = r.flags("flags", 1)? == 1;
            Message::Message { transactional, lsn: r.u64("LSN")?, prefix: r.string("prefix")?, content: r.counted("content")? }
        }
        unknown => return Err(Malformed { tag, what: "tag", offset: 0, fault: Fault::UnknownTag(unknown) }),
    };
    match r.rest.len() {
        0 => Ok(message),
        more => Err(r.error("end", r.rest, Fault::Trailing(more))),
    }
}

#[cfg(test)]
#[path = "pgoutput/tests.rs"]
mod tests;
