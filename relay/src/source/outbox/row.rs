//! One row of the select list as an event.

use crate::config::LANES;
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Header, Operation, POSTGRES_EPOCH, Position};
use crate::source::Names;
use bytes::Bytes;
use postgres_types::{FromSql, Type};
use tokio_postgres::Row;

/// A value's bytes as the application wrote them.
struct Raw<'a>(&'a [u8]);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> std::result::Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        match (ty, raw) {
            // The binary form of jsonb is a version and then its text.
            (&Type::JSONB, [1, text @ ..]) => Ok(Self(text)),
            (&Type::JSONB, _) => Err("jsonb of an unknown version".into()),
            _ => Ok(Self(raw)),
        }
    }

    fn accepts(ty: &Type) -> bool {
        matches!(*ty, Type::JSONB | Type::JSON | Type::TEXT | Type::VARCHAR | Type::BYTEA)
    }
}

/// A `timestamptz` in microseconds since the Unix epoch; infinities stay at
/// the ends of the range.
struct Micros(i64);

impl FromSql<'_> for Micros {
    fn from_sql(_: &Type, raw: &[u8]) -> std::result::Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(i64::from_be_bytes(raw.try_into()?).saturating_add(POSTGRES_EPOCH)))
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::TIMESTAMPTZ
    }
}

/// Reads a row: its sequence number, its lane, its event.
///
/// # Errors
/// `BadEvent` naming the row and the column.
pub(super) fn read(row: &Row, names: &mut Names<'_>) -> Result<(i64, usize, Event)> {
    let seq: i64 = get(row, 0, 0)?;
    let lane: i16 = get(row, 1, seq)?;
    let entity: &str = get(row, 3, seq)?;
    let event_type: &str = get::<Option<&str>>(row, 5, seq)?.unwrap_or("insert");
    let event = Event {
        id: get::<&str>(row, 2, seq)?.into(),
        position: Position { commit: u64::try_from(seq).unwrap_or(0), index: 0 },
        time: get::<Option<Micros>>(row, 8, seq)?.map_or(0, |t| t.0),
        operation: Operation::Insert,
        entity: names.share(entity),
        event_type: names.share(event_type),
        topic: names.topic(entity, event_type),
        partition: None,
        key: get::<Option<&str>>(row, 4, seq)?.map(|key| Bytes::copy_from_slice(key.as_bytes())),
        payload: get::<Option<Raw<'_>>>(row, 6, seq)?.map(|raw| Bytes::copy_from_slice(raw.0)),
        before: None,
        unchanged: Vec::new(),
        headers: match get::<Option<Raw<'_>>>(row, 7, seq)? {
            Some(raw) => headers(raw.0).map_err(|why| bad(seq, &format!("column {}: {why}", row.columns()[7].name())))?,
            None => Vec::new(),
        },
    };
    Ok((seq, usize::from(lane.unsigned_abs()) % LANES, event))
}

fn get<'a, T: FromSql<'a>>(row: &'a Row, index: usize, seq: i64) -> Result<T> {
    row.try_get(index).map_err(|error| {
        let name = row.columns().get(index).map_or("?", |c| c.name());
        bad(seq, &format!("column {name}")).cause(error)
    })
}

fn bad(seq: i64, what: &str) -> Error {
    Error::new(Kind::BadEvent, format!("row {seq} is not an event: {what}"))
        .at("seq", seq)
        .remedy("correct or delete the row, then start again; rows before it are published")
}

/// A JSON object: text values as they are, null as null, the rest as JSON.
fn headers(json: &[u8]) -> std::result::Result<Vec<Header>, String> {
    let value: serde_json::Value = serde_json::from_slice(json).map_err(|e| e.to_string())?;
    let serde_json::Value::Object(map) = value else {
        return match value {
            serde_json::Value::Null => Ok(Vec::new()),
            _ => Err("headers must be a JSON object".to_owned()),
        };
    };
    Ok(Header::from_json(map))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_keep_text_null_and_json() {
        let read = headers(br#"{"a":"x","b":null,"c":{"d":1}}"#).expect("reads");
        let read: Vec<_> = read.iter().map(|h| (&*h.name, h.value.as_deref())).collect();
        assert_eq!(read, [("a", Some(b"x".as_slice())), ("b", None), ("c", Some(br#"{"d":1}"#.as_slice()))]);
        assert!(headers(b"[1]").is_err());
        assert!(headers(b"null").expect("null is none").is_empty());
    }
}
