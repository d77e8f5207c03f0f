//! The shape of an outbox table: which columns it has, by default or mapped
//! name, and of what type.

use crate::config::Columns;
use crate::error::{Error, Kind, Result};
use crate::source::postgres::{TableName, classify, quote};
use std::collections::HashMap;
use tokio_postgres::Client;

/// One column as the catalogue has it.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type without modifiers, such as `jsonb`.
    pub ty: String,
    /// Its number; smaller means further left.
    pub number: i16,
    /// `a` for `GENERATED ALWAYS AS IDENTITY`.
    pub identity: String,
    /// `s` for a stored generated column.
    pub generated: String,
    /// Default or generation expression.
    pub default: Option<String>,
    /// Whether it refuses NULL.
    pub not_null: bool,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Table {
    /// Name.
    pub name: TableName,
    /// Object id.
    pub oid: u32,
    /// Order of insertion.
    pub seq: Column,
    /// Event id.
    pub id: Column,
    /// Aggregate type.
    pub aggregate_type: Column,
    /// Payload.
    pub payload: Column,
    /// Writer's transaction id.
    pub xid: Option<Column>,
    /// Lane.
    pub lane: Option<Column>,
    /// Aggregate id.
    pub aggregate_id: Option<Column>,
    /// Event type.
    pub event_type: Option<Column>,
    /// Headers.
    pub headers: Option<Column>,
    /// Time.
    pub created_at: Option<Column>,
}

/// Default names, as `relay init` makes them.
pub(super) const DEFAULT_NAMES: [&str; 10] =
    ["xid", "seq", "lane", "id", "aggregate_type", "aggregate_id", "event_type", "payload", "headers", "created_at"];

/// The configured name of a column, or the default.
pub(super) fn column_name<'a>(columns: &'a Columns, default: &'a str) -> (&'a str, bool) {
    let mapped = match default {
        "xid" => &columns.xid,
        "seq" => &columns.seq,
        "lane" => &columns.lane,
        "id" => &columns.id,
        "aggregate_type" => &columns.aggregate_type,
        "aggregate_id" => &columns.aggregate_id,
        "event_type" => &columns.event_type,
        "payload" => &columns.payload,
        "headers" => &columns.headers,
        _ => &columns.created_at,
    };
    mapped.as_deref().map_or((default, false), |name| (name, true))
}

const CATALOGUE: &str = "SELECT c.oid, a.attname::text, format_type(a.atttypid, NULL), a.attnum, a.attidentity::text, \
     a.attgenerated::text, pg_get_expr(d.adbin, d.adrelid), a.attnotnull \
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
     JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
     LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum \
     WHERE n.nspname = $1::text AND c.relname = $2::text AND c.relkind IN ('r', 'p')";

impl Table {
    /// Reads the catalogue; `None` when there is no such table.
    pub(super) async fn columns(client: &Client, name: &TableName) -> Result<Option<(u32, HashMap<String, Column>)>> {
        let rows = client.query(CATALOGUE, &[&name.schema, &name.name]).await.map_err(|e| classify(e, "cannot read the catalogue"))?;
        let Some(first) = rows.first() else { return Ok(None) };
        let oid = first.get(0);
        let columns = rows.iter().map(|row| {
            let column = Column {
                name: row.get(1),
                ty: row.get(2),
                number: row.get(3),
                identity: row.get(4),
                generated: row.get(5),
                default: row.get(6),
                not_null: row.get(7),
            };
            (column.name.clone(), column)
        });
        Ok(Some((oid, columns.collect())))
    }

    /// Finds the table and its columns.
    ///
    /// # Errors
    /// `DatabaseUnusable` naming the table, or the column and its type.
    pub async fn find(client: &Client, name: &TableName, mapping: &Columns) -> Result<Self> {
        let unusable = |what: String| Error::new(Kind::DatabaseUnusable, what).at("table", name);
        let Some((oid, columns)) = Self::columns(client, name).await? else {
            return Err(unusable(format!("table {name} does not exist, or this user may not see its schema"))
                .remedy("check source.table, or make it with `relay init --apply`"));
        };
        let optional = |default: &str, types: &[&str]| -> Result<Option<Column>> {
            let (column, mapped) = column_name(mapping, default);
            match columns.get(column) {
                None if mapped => Err(unusable(format!("table {name} has no column `{column}` (mapped as {default})"))
                    .at("field", format!("source.columns.{default}"))
                    .remedy("correct [source.columns], or add the column with `relay init --apply`")),
                None => Ok(None),
                Some(found) if types.is_empty() || types.contains(&found.ty.as_str()) => Ok(Some(found.clone())),
                Some(found) => {
                    Err(unusable(format!("column `{column}` ({default}) of {name} is {}, must be {}", found.ty, types.join(" or ")))
                        .remedy("map another column in [source.columns], or change its type"))
                }
            }
        };
        let required = |default: &str, types: &[&str]| {
            optional(default, types)?.ok_or_else(|| {
                let mut have: Vec<_> = columns.keys().map(String::as_str).collect();
                have.sort_unstable();
                unusable(format!("table {name} has no column `{default}`; it has {}", have.join(", ")))
                    .remedy(format!("map it: [source.columns] {default} = \"…\", or add it with `relay init --apply`"))
            })
        };
        Ok(Self {
            seq: required("seq", &["bigint"])?,
            id: required("id", &[])?,
            aggregate_type: required("aggregate_type", &[])?,
            payload: required("payload", &["jsonb", "json", "text", "character varying", "bytea"])?,
            xid: optional("xid", &["xid8"])?,
            lane: optional("lane", &["smallint", "integer", "bigint"])?,
            aggregate_id: optional("aggregate_id", &[])?,
            event_type: optional("event_type", &[])?,
            headers: optional("headers", &["jsonb", "json"])?,
            created_at: optional("created_at", &["timestamp with time zone", "timestamp without time zone"])?,
            name: name.clone(),
            oid,
        })
    }

    /// Whether each row takes its transaction's id, in a column, before its
    /// sequence number.
    #[must_use]
    pub fn takes_xid_first(&self) -> bool {
        let first = |xid: &Column| xid.number < self.seq.number && xid.not_null && xid.default.as_deref().is_some_and(takes_xid);
        self.xid.as_ref().is_some_and(first)
    }

    /// The select list in the order `row` reads it.
    #[must_use]
    pub(super) fn select_list(&self) -> String {
        let text = |c: &Column| if c.ty == "text" { quote(&c.name) } else { format!("{}::text", quote(&c.name)) };
        let or_null = |c: &Option<Column>| c.as_ref().map_or("NULL::text".to_owned(), text);
        let raw = |c: &Option<Column>| c.as_ref().map_or("NULL::text".to_owned(), |c| quote(&c.name));
        let lane = match &self.lane {
            Some(lane) => format!("{}::int2", quote(&lane.name)),
            None => lane_expression(self.aggregate_id.as_ref().map(|c| c.name.as_str()), &self.aggregate_type.name),
        };
        let time = self.created_at.as_ref().map_or("NULL::timestamptz".to_owned(), |c| format!("{}::timestamptz", quote(&c.name)));
        [
            quote(&self.seq.name),
            lane,
            text(&self.id),
            text(&self.aggregate_type),
            or_null(&self.aggregate_id),
            or_null(&self.event_type),
            quote(&self.payload.name),
            raw(&self.headers),
            time,
        ]
        .join(", ")
    }
}

/// Whether a default takes the transaction's id.
pub(super) fn takes_xid(default: &str) -> bool {
    default.contains("pg_current_xact_id()")
}

/// The lane of a row, the same in a generated column and in a SELECT: a null
/// aggregate id goes by aggregate type. 63 is `LANES - 1`.
pub(super) fn lane_expression(aggregate_id: Option<&str>, aggregate_type: &str) -> String {
    let key = aggregate_id
        .map_or(format!("{}::text", quote(aggregate_type)), |id| format!("coalesce({}::text, {}::text)", quote(id), quote(aggregate_type)));
    format!("(hashtextextended({key}, 0) & 63)::int2")
}
