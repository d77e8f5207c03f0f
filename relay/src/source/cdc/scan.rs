//! One table of a snapshot: how it is described, how far it is read.

use super::pgoutput::{self, Message};
use super::relation::{Table, describe};
use super::value::Catalog;
use crate::config::CdcSource;
use crate::error::{Error, Kind, Result};
use crate::source::postgres::{TableName, classify, literal, quote};
use bytes::{BufMut as _, Bytes};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tokio_postgres::{Client, SimpleQueryRow};

/// How far a table is read, as it is remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanProgress {
    /// Names this run of the snapshot; part of its events' ids.
    pub run: String,
    /// Key of the last row that is published, in Postgres's own text.
    pub after: Option<Vec<String>>,
    /// Rows read.
    pub rows: u64,
    /// Whether the whole table is.
    pub done: bool,
}

/// A table, described by the catalog instead of the stream.
#[derive(Clone)]
pub(super) struct Scan {
    table: Arc<Table>,
    oid: u32,
    /// Select list and FROM.
    select: String,
    filter: Option<String>,
    /// Primary key in its order: quoted name, type, place in the select list.
    key: Vec<(String, String, usize)>,
    row_bytes: i64,
    /// Rows the statistics expect.
    pub(super) estimate: i64,
    progress: ScanProgress,
    /// Whether nothing was read since it was described.
    fresh: bool,
}

/// Columns that are published and stored, with the place of each in the primary
/// key (0 for none) and whether it is in the replica identity.
const COLUMNS: &str = "\
    SELECT a.attname::text, a.atttypid, a.atttypmod, format_type(a.atttypid, a.atttypmod), \
           coalesce(array_position(p.indkey::int2[], a.attnum), -1)::int, \
           coalesce(CASE c.relreplident WHEN 'i' THEN a.attnum = ANY (r.indkey) WHEN 'd' THEN a.attnum = ANY (p.indkey) ELSE false END, false), \
           c.relkind = 'p', c.relreplident::text, greatest(c.reltuples, 0)::int8, \
           (pg_total_relation_size(c.oid) / greatest(c.reltuples, 1))::int8, c.oid, row_security_active(c.oid) \
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' \
    LEFT JOIN pg_index p ON p.indrelid = c.oid AND p.indisprimary \
    LEFT JOIN pg_index r ON r.indrelid = c.oid AND r.indisreplident \
    WHERE c.oid = to_regclass($1) ORDER BY a.attnum";

// Both columns are there since Postgres 15.
const PUBLISHED: &str = "\
    SELECT ARRAY(SELECT jsonb_array_elements_text(to_jsonb(t) -> 'attnames')), to_jsonb(t) ->> 'rowfilter' \
    FROM pg_publication_tables t WHERE t.pubname = $1 AND format('%s.%s', t.schemaname, t.tablename) = $2";

impl Scan {
    /// Describes a table, to be read from where `progress` stands.
    ///
    /// # Errors
    /// `DatabaseUnusable` for a table that is missing, not published, or has no
    /// primary key.
    pub(super) async fn new(
        client: &Client,
        catalog: &mut Catalog,
        source: &CdcSource,
        name: &str,
        progress: ScanProgress,
    ) -> Result<Self> {
        let failed = |e| classify(e, "cannot describe a table for its snapshot").at("table", name);
        let unusable = |what: &str, remedy: &str| Err(Error::new(Kind::DatabaseUnusable, what).at("table", name).remedy(remedy));
        let qualified = TableName::parse(name)?;
        let rows = client.query(COLUMNS, &[&qualified.sql()]).await.map_err(failed)?;
        let Some(first) = rows.first() else { return unusable("there is no such table to take a snapshot of", "correct its name") };
        if first.get(11) {
            return unusable("row security hides rows of the table from this user", "use a user with BYPASSRLS, or the owner of the table");
        }
        let Some(published) = client.query_opt(PUBLISHED, &[&source.publication, &name]).await.map_err(failed)? else {
            return unusable(
                "the table is not in the publication",
                "add it with `relay init --cdc --apply`, after adding it to source.tables",
            );
        };
        let (names, filter): (Vec<String>, Option<String>) = (published.get(0), published.get(1));
        let columns: Vec<_> = rows.iter().filter(|row| names.is_empty() || names.contains(&row.get(0))).collect();
        let mut key: Vec<(i32, (String, String, usize))> = columns
            .iter()
            .enumerate()
            .filter(|(_, row)| row.get::<_, i32>(4) >= 0)
            .map(|(at, row)| (row.get(4), (quote(row.get(0)), row.get(3), at)))
            .collect();
        if key.is_empty() {
            return unusable(
                "a table without a primary key cannot be read in chunks beside the stream",
                "give it one, or leave it out of the snapshot with source.snapshot_exclude",
            );
        }
        key.sort_unstable();
        let mut relation = vec![b'R'];
        relation.put_u32(first.get(10));
        for text in [&qualified.schema, &qualified.name] {
            relation.put_slice(text.as_bytes());
            relation.put_u8(0);
        }
        relation.put_slice(first.get::<_, &str>(7).as_bytes());
        relation.put_u16(u16::try_from(columns.len()).unwrap_or(u16::MAX));
        for row in &columns {
            relation.put_u8(u8::from(row.get::<_, bool>(5)));
            relation.put_slice(row.get::<_, &str>(0).as_bytes());
            relation.put_u8(0);
            relation.put_u32(row.get(1));
            relation.put_i32(row.get(2));
        }
        let Ok(Message::Relation(relation)) = pgoutput::decode(&relation) else {
            return Err(Error::new(Kind::Internal, "a table's description cannot be read").at("table", name));
        };
        let list: Vec<String> = columns.iter().map(|row| quote(row.get(0))).collect();
        let only = if first.get::<_, bool>(6) { "" } else { "ONLY " };
        Ok(Self {
            table: Arc::new(describe(client, catalog, source, &relation).await?),
            oid: first.get(10),
            select: format!("SELECT {} FROM {only}{}", list.join(", "), qualified.sql()),
            filter,
            key: key.into_iter().map(|(_, column)| column).collect(),
            row_bytes: first.get(9),
            estimate: first.get(8),
            progress,
            fresh: true,
        })
    }

    /// Whether nothing was read since it was described.
    pub(super) fn is_fresh(&self) -> bool {
        self.fresh
    }

    pub(super) fn name(&self) -> &str {
        &self.table.name
    }

    pub(super) fn table(&self) -> &Table {
        &self.table
    }

    pub(super) fn run(&self) -> &str {
        &self.progress.run
    }

    pub(super) fn row_bytes(&self) -> i64 {
        self.row_bytes
    }

    pub(super) fn is_done(&self) -> bool {
        self.progress.done
    }

    pub(super) fn progress(&self) -> &ScanProgress {
        &self.progress
    }

    /// The SQL of the next chunk: which transactions it sees, then its rows, of
    /// one and the same snapshot. Simple protocol, so that values are printed as
    /// the stream prints them.
    pub(super) fn chunk(&self, limit: i64) -> String {
        let names: Vec<&str> = self.key.iter().map(|(name, _, _)| name.as_str()).collect();
        let names = names.join(", ");
        let mut conditions: Vec<String> = self.filter.iter().map(|filter| format!("({filter})")).collect();
        if let Some(after) = &self.progress.after {
            let values: Vec<String> = self.key.iter().zip(after).map(|((_, kind, _), text)| format!("{}::{kind}", literal(text))).collect();
            conditions.push(format!("({names}) > ({})", values.join(", ")));
        }
        let condition = if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) };
        format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT pg_current_snapshot(); {}{condition} ORDER BY {names} LIMIT {limit}; COMMIT",
            self.select
        )
    }

    /// A row as the `Insert` message that the stream would have sent.
    pub(super) fn message(&self, row: &SimpleQueryRow) -> Bytes {
        let mut out = vec![b'I'];
        out.put_u32(self.oid);
        out.put_u8(b'N');
        out.put_u16(u16::try_from(row.len()).unwrap_or(u16::MAX));
        for at in 0..row.len() {
            match row.get(at) {
                None => out.put_u8(b'n'),
                Some(text) => {
                    out.put_u8(b't');
                    out.put_u32(u32::try_from(text.len()).unwrap_or(u32::MAX));
                    out.put_slice(text.as_bytes());
                }
            }
        }
        out.into()
    }

    /// Goes on behind `last`.
    pub(super) fn advance(&mut self, last: Option<&SimpleQueryRow>, done: bool, rows: usize) {
        if let Some(last) = last {
            self.progress.after = Some(self.key.iter().map(|(_, _, at)| last.get(*at).unwrap_or_default().to_owned()).collect());
        }
        self.fresh = false;
        self.progress.rows += rows as u64;
        self.progress.done = done;
    }
}
