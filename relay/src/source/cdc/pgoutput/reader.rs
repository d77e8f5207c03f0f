//! The parts that messages are made of, checked as they are read.

use super::{Column, Columns, Datum, Fault, Malformed, Message, Oids, Old, Relation, ReplicaIdentity, Result, Tuple};

/// What is left of a message, or of a part of one.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    pub(super) tag: u8,
    /// Length of the whole message.
    pub(super) len: usize,
    pub(super) rest: &'a [u8],
}

/// Where in a message a part stands does not matter.
impl PartialEq for Reader<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.rest == other.rest
    }
}

impl Eq for Reader<'_> {}

impl<'a> Reader<'a> {
    /// An error in what begins at `from`.
    #[cold]
    pub(super) fn error(&self, what: &'static str, from: &[u8], fault: Fault) -> Malformed {
        Malformed { tag: self.tag, what, offset: self.len.saturating_sub(from.len()), fault }
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N]> {
        let (array, rest) = self.rest.split_first_chunk().ok_or_else(|| self.error(what, self.rest, Fault::Short))?;
        self.rest = rest;
        Ok(*array)
    }

    pub(super) fn u8(&mut self, what: &'static str) -> Result<u8> {
        self.array(what).map(u8::from_be_bytes)
    }

    /// Counts of columns; Postgres reads them unsigned too.
    fn u16(&mut self, what: &'static str) -> Result<u16> {
        self.array(what).map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self, what: &'static str) -> Result<u32> {
        self.array(what).map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self, what: &'static str) -> Result<u64> {
        self.array(what).map(u64::from_be_bytes)
    }

    fn i32(&mut self, what: &'static str) -> Result<i32> {
        self.array(what).map(i32::from_be_bytes)
    }

    pub(super) fn i64(&mut self, what: &'static str) -> Result<i64> {
        self.array(what).map(i64::from_be_bytes)
    }

    /// A count or a length: an `Int32` that must not be negative.
    fn size(&mut self, what: &'static str) -> Result<usize> {
        let from = self.rest;
        usize::try_from(self.i32(what)?).map_err(|_| self.error(what, from, Fault::Negative))
    }

    /// Flags, none but the known ones: one more may change what the rest means.
    pub(super) fn flags(&mut self, what: &'static str, known: u8) -> Result<u8> {
        let from = self.rest;
        let flags = self.u8(what)?;
        if flags & !known == 0 { Ok(flags) } else { Err(self.error(what, from, Fault::UnknownFlags(flags))) }
    }

    fn take(&mut self, what: &'static str, len: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or_else(|| self.error(what, self.rest, Fault::Short))?;
        self.rest = rest;
        Ok(taken)
    }

    /// Bytes after their length.
    pub(super) fn counted(&mut self, what: &'static str) -> Result<&'a [u8]> {
        let len = self.size(what)?;
        self.take(what, len)
    }

    /// A string up to its zero byte.
    pub(super) fn string(&mut self, what: &'static str) -> Result<&'a str> {
        let from = self.rest;
        let len = from.iter().position(|b| *b == 0).ok_or_else(|| self.error(what, from, Fault::Short))?;
        let text = self.take(what, len)?;
        self.u8(what)?;
        std::str::from_utf8(text).map_err(|_| self.error(what, from, Fault::NotUtf8))
    }

    /// A tag within the message, as what `known` makes of it.
    fn tag<T>(&mut self, what: &'static str, known: impl FnOnce(u8) -> Option<T>) -> Result<T> {
        let from = self.rest;
        let tag = self.u8(what)?;
        known(tag).ok_or_else(|| self.error(what, from, Fault::UnknownTag(tag)))
    }

    pub(super) fn relation(&mut self) -> Result<Relation<'a>> {
        let (oid, schema, name) = (self.u32("relation")?, self.string("schema")?, self.string("relation name")?);
        let identity = self.tag("replica identity", |tag| match tag {
            b'd' => Some(ReplicaIdentity::Default),
            b'n' => Some(ReplicaIdentity::Nothing),
            b'f' => Some(ReplicaIdentity::Full),
            b'i' => Some(ReplicaIdentity::Index),
            _ => None,
        })?;
        let left = self.u16("number of columns")?;
        let start = self.rest;
        for _ in 0..left {
            self.column()?;
        }
        Ok(Relation { oid, schema, name, identity, columns: Columns { rest: self.since(start), left } })
    }

    pub(super) fn column(&mut self) -> Result<Column<'a>> {
        Ok(Column {
            key: self.flags("flags of a column", 1)? == 1,
            name: self.string("column name")?,
            type_oid: self.u32("type of a column")?,
            type_modifier: self.i32("type modifier")?,
        })
    }

    pub(super) fn truncate(&mut self) -> Result<Message<'a>> {
        const CASCADE: u8 = 1;
        const RESTART_IDENTITY: u8 = 2;
        let count = self.size("number of relations")?;
        let flags = self.flags("options", CASCADE | RESTART_IDENTITY)?;
        // Saturated it is longer than any message.
        let rest = self.take("relations", count.saturating_mul(4))?;
        Ok(Message::Truncate { relations: Oids { rest }, cascade: flags & CASCADE != 0, restart_identity: flags & RESTART_IDENTITY != 0 })
    }

    pub(super) fn new_tag(&mut self) -> Result<()> {
        self.tag("new row", |tag| (tag == b'N').then_some(()))
    }

    pub(super) fn old(&mut self) -> Result<Old<'a>> {
        let key_only = self.tag("old row", |tag| match tag {
            b'K' => Some(true),
            b'O' => Some(false),
            _ => None,
        })?;
        Ok(Old { key_only, tuple: self.tuple()? })
    }

    pub(super) fn tuple(&mut self) -> Result<Tuple<'a>> {
        let len = self.u16("number of columns")?;
        let start = self.rest;
        for _ in 0..len {
            self.datum()?;
        }
        Ok(Tuple { rest: self.since(start), len })
    }

    pub(super) fn datum(&mut self) -> Result<Datum<'a>> {
        let datum = self.tag("value", |tag| match tag {
            b'n' => Some(Datum::Null),
            b'u' => Some(Datum::Unchanged),
            b't' => Some(Datum::Text(&[])),
            b'b' => Some(Datum::Binary(&[])),
            _ => None,
        })?;
        Ok(match datum {
            Datum::Text(_) => Datum::Text(self.counted("text value")?),
            Datum::Binary(_) => Datum::Binary(self.counted("binary value")?),
            other => other,
        })
    }

    /// A reader of what was read since `start`.
    fn since(&self, start: &'a [u8]) -> Self {
        let read = start.len().saturating_sub(self.rest.len());
        Self { rest: start.get(..read).unwrap_or_default(), ..*self }
    }
}
