//! Row changes of ordinary tables as events: a JSON object, or Debezium's
//! envelope. What Postgres did not send is left out and named, never null.

use super::pgoutput::{Datum, Old, Tuple};
use super::relation::{Column, Table};
use super::value::{self, Options, write_string};
use crate::config::{Int8, Numeric, RowFormat, Rows};
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Operation, POSTGRES_EPOCH, Position, Shared};
use bytes::Bytes;

/// A change of one row.
pub(super) struct Change<'a> {
    pub(super) operation: Operation,
    pub(super) old: Option<Old<'a>>,
    pub(super) new: Option<Tuple<'a>>,
}

/// Where and when in the log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) position: Position,
    /// Microseconds since the Unix epoch.
    pub(super) time: i64,
    pub(super) xid: u32,
    /// Whether a snapshot read it.
    pub(super) snapshot: bool,
}

/// The transaction whose changes come now.
pub(super) struct Transaction {
    /// Where its commit record starts.
    commit: u64,
    /// Microseconds since the Unix epoch.
    time: i64,
    xid: u32,
    /// Changes so far, before any filter.
    ordinal: u64,
}

impl Transaction {
    /// One that commits at `commit`, at a time in microseconds of Postgres' epoch.
    pub(super) fn begin(commit: u64, time: i64, xid: u32) -> Self {
        Self { commit, time: time.saturating_add(POSTGRES_EPOCH), xid, ordinal: 0 }
    }

    /// The place of its next change: twice the ordinal, because a change of a key
    /// is two events.
    pub(super) fn next(&mut self) -> Place {
        let position = Position { commit: self.commit, index: 2 * self.ordinal };
        self.ordinal += 1;
        Place { position, time: self.time, xid: self.xid, snapshot: false }
    }
}

/// Makes events of row changes.
pub(super) struct Encoder {
    format: RowFormat,
    options: Options,
    /// For the envelope.
    database: String,
}

/// A row as JSON, and what was not sent of it.
#[derive(Default)]
struct Row {
    json: Vec<u8>,
    unchanged: Vec<String>,
}

/// The id of an event that has none of its own: its place in the log, which is
/// the same each time it is read.
pub(super) fn id_at(position: Position) -> Shared {
    format!("{:X}/{:X}:{}", position.commit >> 32, position.commit & 0xffff_ffff, position.index).into()
}

impl Encoder {
    pub(super) fn new(rows: &Rows, database: &str) -> Self {
        let options = Options { int8_as_string: rows.int8 == Int8::String, numeric_as_digits: rows.numeric == Numeric::Digits };
        Self { format: rows.format, options, database: database.to_owned() }
    }

    /// The events of a change: one, or two where the key changed. The topic is
    /// left empty.
    ///
    /// # Errors
    /// `BadEvent` for a value that is not what its type says.
    pub(super) fn events(&self, table: &Table, change: &Change<'_>, place: Place) -> Result<Vec<Event>> {
        let old = change.old.as_ref().map(|old| &old.tuple);
        let key = |tuple: &Tuple<'_>, fallback| self.key(table, tuple, fallback);
        let (Some(new), Some(old_tuple), Operation::Update) = (&change.new, old, change.operation) else {
            let tuple = change.new.as_ref().or(old);
            let key = tuple.map(|tuple| key(tuple, None)).transpose()?.flatten();
            return Ok(vec![self.event(table, change.operation, key, change.old.as_ref(), change.new.as_ref(), place)?]);
        };
        let (before, after) = (key(old_tuple, None)?, key(new, Some(old_tuple))?);
        if before == after {
            return Ok(vec![self.event(table, Operation::Update, after, change.old.as_ref(), Some(new), place)?]);
        }
        // Two keys, two events: the old one ends, the new one begins.
        let next = Place { position: Position { index: place.position.index + 1, ..place.position }, ..place };
        Ok(vec![
            self.event(table, Operation::Delete, before, change.old.as_ref(), None, place)?,
            self.event_from(table, Operation::Insert, after, (None, change.old.as_ref()), Some(new), next)?,
        ])
    }

    /// An event for a truncated table.
    pub(super) fn truncated(&self, table: &Table, place: Place) -> Result<Event> {
        self.event(table, Operation::Truncate, None, None, None, place)
    }

    fn event(
        &self,
        table: &Table,
        operation: Operation,
        key: Option<Bytes>,
        old: Option<&Old<'_>>,
        new: Option<&Tuple<'_>>,
        place: Place,
    ) -> Result<Event> {
        self.event_from(table, operation, key, (old, old), new, place)
    }

    /// `old.0` is shown as the row before, `old.1` completes the new row.
    fn event_from(
        &self,
        table: &Table,
        operation: Operation,
        key: Option<Bytes>,
        old: (Option<&Old<'_>>, Option<&Old<'_>>),
        new: Option<&Tuple<'_>>,
        place: Place,
    ) -> Result<Event> {
        let after = new.map(|new| self.row(table, new, old.1.map(|o| &o.tuple), false)).transpose()?;
        let before = old.0.map(|old| self.row(table, &old.tuple, None, old.key_only)).transpose()?;
        let name = match operation {
            Operation::Update => "update",
            Operation::Delete => "delete",
            Operation::Truncate => "truncate",
            Operation::Snapshot => "snapshot",
            Operation::Insert | Operation::Message => "insert",
        };
        let unchanged = after.as_ref().map(|row| row.unchanged.clone()).unwrap_or_default();
        let (before, after) = (before.map(|row| row.json), after.map(|row| row.json));
        let payload = match self.format {
            RowFormat::Row => after,
            RowFormat::Envelope => Some(self.envelope(table, operation, before.as_deref(), after.as_deref(), place)),
        };
        Ok(Event {
            id: id_at(place.position),
            position: place.position,
            time: place.time,
            operation,
            entity: table.name.clone(),
            event_type: name.into(),
            topic: "".into(),
            partition: None,
            key,
            payload: payload.map(Bytes::from),
            before: before.map(Bytes::from),
            unchanged,
            headers: Vec::new(),
        })
    }

    /// The keys that a change touches.
    pub(super) fn keys(&self, table: &Table, change: &Change<'_>) -> Result<Vec<Bytes>> {
        let old = change.old.as_ref().map(|old| &old.tuple);
        let mut keys = Vec::new();
        for (tuple, fallback) in change.new.iter().map(|new| (new, old)).chain(old.map(|old| (old, None))) {
            keys.extend(self.key(table, tuple, fallback)?);
        }
        Ok(keys)
    }

    /// The key's columns as a JSON object; none where the table has no key.
    pub(super) fn key(&self, table: &Table, tuple: &Tuple<'_>, fallback: Option<&Tuple<'_>>) -> Result<Option<Bytes>> {
        if !table.columns.iter().any(|c| c.key) {
            return Ok(None);
        }
        let row = self.members(table, tuple, fallback, |column, _| column.key)?;
        Ok(Some(row.json.into()))
    }

    fn row(&self, table: &Table, tuple: &Tuple<'_>, fallback: Option<&Tuple<'_>>, key_only: bool) -> Result<Row> {
        // The columns beside the identity are sent as null then, which they may not be.
        self.members(table, tuple, fallback, |column, datum| column.kept && !(key_only && matches!(datum, Datum::Null)))
    }

    fn members(
        &self,
        table: &Table,
        tuple: &Tuple<'_>,
        fallback: Option<&Tuple<'_>>,
        wanted: impl Fn(&Column, Datum<'_>) -> bool,
    ) -> Result<Row> {
        let mut row = Row::default();
        row.json.push(b'{');
        let mut others = fallback.map(Tuple::iter);
        for (column, datum) in table.values(tuple) {
            let other = others.as_mut().and_then(Iterator::next);
            if !wanted(column, datum) {
                continue;
            }
            let datum = match (datum, other) {
                (Datum::Unchanged, Some(other @ (Datum::Text(_) | Datum::Binary(_)))) => other,
                (datum, _) => datum,
            };
            let text = match datum {
                Datum::Unchanged => {
                    row.unchanged.push(column.name.clone());
                    continue;
                }
                Datum::Null => None,
                Datum::Text(text) | Datum::Binary(text) => Some(text),
            };
            if row.json.len() > 1 {
                row.json.push(b',');
            }
            row.json.extend_from_slice(&column.member);
            match text {
                None => row.json.extend_from_slice(b"null"),
                Some(text) => value::write(&mut row.json, &column.kind, text, self.options).map_err(|cause| {
                    Error::new(Kind::BadEvent, "a value is not what its type says")
                        .at("table", &table.name)
                        .at("column", &column.name)
                        .cause(cause)
                        .remedy("leave the column out with source.rows.columns.exclude, and please report this")
                })?,
            }
        }
        row.json.push(b'}');
        Ok(row)
    }

    /// Debezium's envelope (source: Debezium documentation, PostgreSQL connector, *Data change events*).
    fn envelope(&self, table: &Table, operation: Operation, before: Option<&[u8]>, after: Option<&[u8]>, place: Place) -> Vec<u8> {
        let op: &[u8] = match operation {
            Operation::Update => b"u",
            Operation::Delete => b"d",
            Operation::Truncate => b"t",
            Operation::Snapshot => b"r",
            Operation::Insert | Operation::Message => b"c",
        };
        let mut out = Vec::with_capacity(before.map_or(4, <[u8]>::len) + after.map_or(4, <[u8]>::len) + 256);
        let mut member = |name: &str, json: &[u8]| {
            out.push(if out.is_empty() { b'{' } else { b',' });
            write_string(&mut out, name);
            out.push(b':');
            out.extend_from_slice(json);
        };
        member("before", before.unwrap_or(b"null"));
        member("after", after.unwrap_or(b"null"));
        let mut source = format!(
            "{{\"connector\":\"postgresql\",\"name\":\"relay\",\"ts_ms\":{},\"ts_us\":{},\"snapshot\":\"{}\",",
            place.time.div_euclid(1000),
            place.time,
            place.snapshot
        )
        .into_bytes();
        for (name, text) in [("db", &self.database), ("schema", &table.schema), ("table", &table.table)] {
            write_string(&mut source, name);
            source.push(b':');
            write_string(&mut source, text);
            source.push(b',');
        }
        source.extend_from_slice(format!("\"txId\":{},\"lsn\":{}}}", place.xid, place.position.commit).as_bytes());
        member("source", &source);
        member("op", &[b"\"", op, b"\""].concat());
        member("ts_ms", place.time.div_euclid(1000).to_string().as_bytes());
        out.push(b'}');
        out
    }
}
