//! Rows of an outbox table, read from the log, with the columns and rules of
//! Debezium's outbox event router (source: Debezium documentation, *Outbox
//! Event Router*); `docs/debezium.md` lists what differs.

use super::pgoutput::{Datum, Tuple};
use super::relation::{Column, Table};
use super::rows::{Place, id_at};
use super::value::{self, Options, write_string};
use crate::config::{Place as Placing, Placement, Router};
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Header, Operation};
use crate::source::Names;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;

/// Where in a row of one table the parts of an event are.
#[derive(Debug)]
pub(super) struct Layout {
    id: usize,
    key: usize,
    route_by: usize,
    event_type: Option<usize>,
    payload: usize,
    headers: Option<usize>,
    timestamp: Option<usize>,
    schema_version: Option<usize>,
    additional: Vec<(usize, Placing)>,
    expand_json: bool,
    tombstone_on_empty: bool,
}

impl Layout {
    /// Finds the columns.
    ///
    /// # Errors
    /// `DatabaseUnusable`, naming the column and the option that asks for it.
    pub(super) fn new(table: &str, columns: &[Column], router: &Router) -> Result<Self> {
        let names: Vec<&str> = columns.iter().map(|c| c.name.as_str()).collect();
        Self::find(table, &names, router)
    }

    /// The same, by the columns' names.
    ///
    /// # Errors
    /// As above.
    pub(super) fn find(table: &str, columns: &[&str], router: &Router) -> Result<Self> {
        let find = |name: &str| columns.iter().position(|c| *c == name);
        let lacks = |name: &str, option: &str| {
            Error::new(
                Kind::DatabaseUnusable,
                format!("the outbox has no column `{name}` for source.router.{option}, or it is not published"),
            )
            .at("table", table)
            .at("field", format!("source.router.{option}"))
            .remedy("name the column that the table has")
        };
        // A name that was given must be there; of the usual ones, one.
        let optional = |given: &Option<String>, option: &str, usual: &[&str]| match given {
            Some(name) => find(name).map(Some).ok_or_else(|| lacks(name, option)),
            None => Ok(usual.iter().find_map(|name| find(name))),
        };
        let need = |given: &Option<String>, option: &str, usual: &[&str]| {
            optional(given, option, usual)?.ok_or_else(|| lacks(usual.first().copied().unwrap_or_default(), option))
        };
        let mut additional = Vec::new();
        for text in &router.additional {
            let placement = Placement::parse(text)?;
            let at = find(&placement.column).ok_or_else(|| lacks(&placement.column, "additional"))?;
            additional.push((at, placement.place));
        }
        // The table that `relay init` makes says more than Debezium's.
        let own = |name| if find("aggregatetype").is_none() && find("aggregate_type").is_some() { vec![name] } else { Vec::new() };
        Ok(Self {
            id: need(&router.id, "id", &["id"])?,
            key: need(&router.key, "key", &["aggregateid", "aggregate_id"])?,
            route_by: need(&router.route_by, "route_by", &["aggregatetype", "aggregate_type"])?,
            event_type: optional(&router.event_type, "event_type", &["type", "event_type"])?,
            payload: need(&router.payload, "payload", &["payload"])?,
            headers: optional(&router.headers, "headers", &own("headers"))?,
            timestamp: optional(&router.timestamp, "timestamp", &own("created_at"))?,
            schema_version: optional(&router.schema_version, "schema_version", &[])?,
            additional,
            expand_json: router.expand_json,
            tombstone_on_empty: router.tombstone_on_empty,
        })
    }

    /// The event of an inserted row; `data` is what the tuple points into.
    ///
    /// # Errors
    /// `BadEvent` naming the column.
    pub(super) fn read(&self, table: &Table, data: &Bytes, tuple: &Tuple<'_>, place: Place, names: &mut Names<'_>) -> Result<Event> {
        let row = Row { table, data, values: tuple.iter().collect() };
        let bad = |e: Error| {
            e.at("table", &table.name).at("position", place.position).remedy("correct the application; rows before it are published")
        };
        let id = row.text(self.id).map_err(bad)?;
        let entity = row.text(self.route_by).map_err(bad)?.ok_or_else(|| bad(row.is_null(self.route_by)))?;
        let event_type = self.event_type.map(|at| row.text(at)).transpose().map_err(bad)?.flatten().unwrap_or("insert");
        let mut headers = self.headers.map(|at| row.headers(at)).transpose().map_err(bad)?.unwrap_or_default();
        let mut envelope = None;
        let mut partition = None;
        if let Some(at) = self.schema_version {
            headers.push(Header { name: "schemaVersion".into(), value: row.header(at).map_err(bad)? });
        }
        for (at, placing) in &self.additional {
            match placing {
                Placing::Header(name) => headers.push(Header { name: name.as_str().into(), value: row.header(*at).map_err(bad)? }),
                Placing::Envelope(name) => row.member(name, *at, envelope.get_or_insert_with(Vec::new)).map_err(bad)?,
                Placing::Partition => partition = row.partition(*at).map_err(bad)?,
            }
        }
        let payload = self.payload(&row, envelope).map_err(bad)?;
        Ok(Event {
            id: id.map_or_else(|| id_at(place.position), Into::into),
            position: place.position,
            time: self.timestamp.map(|at| row.micros(at)).transpose().map_err(bad)?.flatten().unwrap_or(place.time),
            operation: if place.snapshot { Operation::Snapshot } else { Operation::Insert },
            entity: names.share(entity),
            event_type: names.share(event_type),
            topic: names.topic(entity, event_type),
            partition,
            key: row.raw(self.key).map_err(bad)?,
            payload,
            before: None,
            unchanged: Vec::new(),
            headers,
        })
    }

    fn payload(&self, row: &Row<'_>, envelope: Option<Vec<u8>>) -> Result<Option<Bytes>> {
        let text = row.get(self.payload);
        // What Java's `trim` leaves nothing of.
        let empty = |text: &[u8]| !row.is_bytea(self.payload) && text.iter().all(|b| *b <= b' ');
        if self.tombstone_on_empty && text.is_none_or(empty) {
            return Ok(None);
        }
        let Some(members) = envelope else { return row.raw(self.payload) };
        let mut out = b"{\"payload\":".to_vec();
        match text {
            None => out.extend_from_slice(b"null"),
            Some(text) if self.expand_json && is_object_or_array(text) => out.extend_from_slice(text),
            Some(text) if row.is_bytea(self.payload) => row.write(self.payload, text, &mut out)?,
            Some(text) => write_string(&mut out, std::str::from_utf8(text).map_err(|_| row.unreadable(self.payload))?),
        }
        out.extend_from_slice(&members);
        out.push(b'}');
        Ok(Some(out.into()))
    }
}

/// Only these are expanded, as Debezium does.
fn is_object_or_array(text: &[u8]) -> bool {
    matches!(text.trim_ascii_start().first(), Some(b'{' | b'[')) && serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok()
}

/// One row and the message it stands in.
struct Row<'a> {
    table: &'a Table,
    data: &'a Bytes,
    values: Vec<Datum<'a>>,
}

impl<'a> Row<'a> {
    fn get(&self, at: usize) -> Option<&'a [u8]> {
        match self.values.get(at) {
            Some(Datum::Text(text) | Datum::Binary(text)) => Some(text),
            Some(Datum::Null | Datum::Unchanged) | None => None,
        }
    }

    fn kind(&self, at: usize) -> Option<&'a value::Kind> {
        self.table.columns.get(at).map(|c| &c.kind)
    }

    fn is_bytea(&self, at: usize) -> bool {
        matches!(self.kind(at), Some(value::Kind::Bytea))
    }

    fn name(&self, at: usize) -> &'a str {
        self.table.columns.get(at).map_or("?", |c| &c.name)
    }

    /// The value as the application wrote it; without a copy where it stands so
    /// in the message.
    fn raw(&self, at: usize) -> Result<Option<Bytes>> {
        match self.get(at) {
            Some(text) if self.is_bytea(at) => {
                let digits = text.strip_prefix(b"\\x").ok_or_else(|| self.unreadable(at))?;
                Ok(Some(hex::decode(digits).map_err(|_| self.unreadable(at))?.into()))
            }
            text => Ok(text.map(|text| self.data.slice_ref(text))),
        }
    }

    /// The value as text for a header: `true` and base64 as Debezium has them.
    fn header(&self, at: usize) -> Result<Option<Bytes>> {
        match (self.get(at), self.kind(at)) {
            (Some(text), Some(value::Kind::Bool)) => Ok(Some(Bytes::from_static(if text == b"t" { b"true" } else { b"false" }))),
            (Some(_), Some(value::Kind::Bytea)) => Ok(self.raw(at)?.map(|raw| BASE64.encode(raw).into())),
            (text, _) => Ok(text.map(|text| self.data.slice_ref(text))),
        }
    }

    /// The members of a JSON object.
    fn headers(&self, at: usize) -> Result<Vec<Header>> {
        match self.get(at).map(serde_json::from_slice::<Option<serde_json::Map<_, _>>>) {
            None | Some(Ok(None)) => Ok(Vec::new()),
            Some(Ok(Some(object))) => Ok(Header::from_json(object)),
            Some(Err(_)) => Err(Error::new(Kind::BadEvent, format!("column {} is no JSON object", self.name(at)))),
        }
    }

    fn text(&self, at: usize) -> Result<Option<&'a str>> {
        self.get(at).map(|text| std::str::from_utf8(text).map_err(|_| self.unreadable(at))).transpose()
    }

    /// A timestamp; the session's zone is UTC. Whole numbers are milliseconds
    /// since the Unix epoch, which is what Debezium wants there.
    fn micros(&self, at: usize) -> Result<Option<i64>> {
        let Some(text) = self.text(at)? else { return Ok(None) };
        if let Ok(millis) = text.parse::<i64>() {
            return Ok(Some(millis.saturating_mul(1000)));
        }
        let time = humantime::parse_rfc3339_weak(text.strip_suffix("+00").unwrap_or(text)).ok();
        let since = time.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
        since.and_then(|since| i64::try_from(since.as_micros()).ok()).map(Some).ok_or_else(|| self.unreadable(at))
    }

    fn partition(&self, at: usize) -> Result<Option<u32>> {
        self.text(at)?.map(|text| text.parse().map_err(|_| self.unreadable(at))).transpose()
    }

    /// Appends `"alias":value`.
    fn member(&self, alias: &str, at: usize, out: &mut Vec<u8>) -> Result<()> {
        out.push(b',');
        write_string(out, alias);
        out.push(b':');
        match self.get(at) {
            Some(text) => self.write(at, text, out),
            None => {
                out.extend_from_slice(b"null");
                Ok(())
            }
        }
    }

    fn write(&self, at: usize, text: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let kind = self.kind(at).unwrap_or(&value::Kind::Text);
        value::write(out, kind, text, Options::default()).map_err(|_| self.unreadable(at))
    }

    fn unreadable(&self, at: usize) -> Error {
        Error::new(Kind::BadEvent, format!("column {} cannot be read", self.name(at)))
    }

    fn is_null(&self, at: usize) -> Error {
        Error::new(Kind::BadEvent, format!("column {} is null, and it says where the event goes", self.name(at)))
    }
}
