//! Tables as the stream describes them: a `Relation` message comes before the
//! first change of a table, and again after each change of its shape.

use super::outbox::Layout;
use super::pgoutput::{self, Datum, ReplicaIdentity, Tuple};
use super::value::{Catalog, Kind, LOOKUP, TypeRow, write_string};
use crate::config::{CdcSource, matches};
use crate::error::Result;
use crate::event::Shared;
use crate::source::postgres::classify;
use tokio_postgres::Client;

/// One table of the stream.
#[derive(Debug)]
pub(super) struct Table {
    /// `schema.table`.
    pub(super) name: Shared,
    pub(super) schema: String,
    pub(super) table: String,
    pub(super) columns: Vec<Column>,
    pub(super) role: Role,
}

/// One column.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) name: String,
    /// The name as the start of a JSON member: `"name":`.
    pub(super) member: Vec<u8>,
    pub(super) kind: Kind,
    /// Part of the key.
    pub(super) key: bool,
    /// Part of row events.
    pub(super) kept: bool,
}

/// What becomes of a table's changes.
#[derive(Debug)]
pub(super) enum Role {
    /// Its inserts are events.
    Outbox(Box<Layout>),
    /// Its row changes are events.
    Rows,
    /// Published, and not asked for.
    Ignored,
}

/// `schema.table` of a relation.
fn full_name(relation: &pgoutput::Relation<'_>) -> String {
    let schema = if relation.schema.is_empty() { "pg_catalog" } else { relation.schema };
    format!("{schema}.{}", relation.name)
}

/// Whether the stream leaves the key open: under FULL every column is marked,
/// under NOTHING none.
fn lacks_key(identity: ReplicaIdentity) -> bool {
    matches!(identity, ReplicaIdentity::Full | ReplicaIdentity::Nothing)
}

/// A row of [`super::value::LOOKUP`].
fn type_row(row: &tokio_postgres::Row) -> TypeRow {
    // "char", which the driver reads as signed.
    let char = |at: usize| row.get::<_, i8>(at).to_ne_bytes()[0];
    TypeRow {
        oid: row.get(0),
        name: row.get(1),
        typtype: char(2),
        element: row.get(3),
        category: char(4),
        base: row.get(5),
        subtype: row.get(6),
        delimiter: char(7),
    }
}

/// What a relation is to this source; asks the catalog what the stream does not
/// tell.
///
/// # Errors
/// When the session fails, or the outbox lacks a column.
pub(super) async fn describe(
    client: &Client,
    catalog: &mut Catalog,
    source: &CdcSource,
    relation: &pgoutput::Relation<'_>,
) -> Result<Table> {
    let name = full_name(relation);
    let unknown: Vec<u32> = relation.columns.iter().map(|c| c.type_oid).filter(|oid| catalog.kind(*oid).is_none()).collect();
    if !unknown.is_empty() {
        let rows = client.query(LOOKUP, &[&unknown]).await.map_err(|e| classify(e, "cannot look up types"))?;
        catalog.extend(rows.iter().map(type_row));
    }
    let key = if lacks_key(relation.identity) { Some(primary_key(client, relation.oid).await?) } else { None };
    let mut table = Table::new(relation, source, |oid| catalog.kind(oid).unwrap_or(Kind::Text), key.as_deref());
    table.role = if source.outbox_name().as_deref() == Some(&name) {
        Role::Outbox(Box::new(Layout::new(&name, &table.columns, &source.router)?))
    } else if source.captures(&name) {
        Role::Rows
    } else {
        Role::Ignored
    };
    Ok(table)
}

async fn primary_key(client: &Client, oid: u32) -> Result<Vec<String>> {
    let sql = "SELECT a.attname::text FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey) \
               WHERE i.indrelid = $1 AND i.indisprimary";
    let rows = client.query(sql, &[&oid]).await.map_err(|e| classify(e, "cannot look up a primary key"))?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

impl Table {
    /// Reads a description; `kind` resolves types, `primary_key` names the
    /// columns of the primary key where [`lacks_key`].
    fn new(relation: &pgoutput::Relation<'_>, source: &CdcSource, kind: impl Fn(u32) -> Kind, primary_key: Option<&[String]>) -> Self {
        let name = full_name(relation);
        let filter = &source.rows.columns;
        let columns = relation
            .columns
            .iter()
            .map(|column| {
                let mut member = Vec::new();
                write_string(&mut member, column.name);
                member.push(b':');
                let full = format!("{name}.{}", column.name);
                Column {
                    key: primary_key.map_or(column.key, |key| key.iter().any(|k| k == column.name)),
                    kept: (filter.include.is_empty() || matches(&filter.include, &full)) && !matches(&filter.exclude, &full),
                    kind: kind(column.type_oid),
                    name: column.name.to_owned(),
                    member,
                }
            })
            .collect();
        let schema = if relation.schema.is_empty() { "pg_catalog" } else { relation.schema };
        Self { name: name.into(), schema: schema.to_owned(), table: relation.name.to_owned(), columns, role: Role::Ignored }
    }

    /// The columns with their values, in order.
    pub(super) fn values<'a>(&'a self, tuple: &Tuple<'a>) -> impl Iterator<Item = (&'a Column, Datum<'a>)> {
        self.columns.iter().zip(tuple.iter())
    }
}
