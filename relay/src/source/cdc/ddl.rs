//! The SQL that makes publication, slot and, for a new outbox, the table.

use super::slot::{Slot, published};
use crate::config::CdcSource;
use crate::error::{Error, Kind, Result};
use crate::source::postgres::{TableName, classify, literal, quote};
use tokio_postgres::Client;

/// What is published of tables.
const EVERYTHING: &str = "insert, update, delete, truncate";

fn qualified(name: &str) -> Result<String> {
    Ok(TableName::parse(name)?.sql())
}

/// What this database lacks; with `adopt`, the slot must be there already.
/// The publication comes before the slot: what is committed between the two
/// could not be decoded otherwise.
///
/// # Errors
/// When the session fails, a pattern matches no table, or the slot to adopt is
/// not there or not ours to read.
pub async fn statements(client: &Client, source: &CdcSource, database: &str, adopt: bool) -> Result<Vec<String>> {
    let slot = Slot::find(client, &source.slot).await?;
    if let Some(slot) = &slot {
        slot.usable(&source.slot, database)?;
    }
    if adopt {
        return adopted(client, source, slot.as_ref()).await;
    }
    let mut statements = Vec::new();
    let existing = tables(client).await?;
    if let Some(outbox) = source.outbox_name()
        && !existing.contains(&outbox)
    {
        statements.push(outbox_table(&qualified(&outbox)?, source));
    }
    let wanted = wanted(source, &existing)?;
    match published(client, &source.publication).await? {
        None => statements.push(publication(source, &wanted)?),
        Some(has) => {
            if !has.whole && !source.tables.is_empty() {
                statements.push(format!("ALTER PUBLICATION {} SET (publish = '{EVERYTHING}')", quote(&source.publication)));
            }
            for table in wanted.iter().filter(|table| !has.tables.iter().any(|t| t.name == **table)) {
                statements.push(format!("ALTER PUBLICATION {} ADD TABLE {}", quote(&source.publication), qualified(table)?));
            }
        }
    }
    if slot.is_none() {
        statements.push(create_slot(client, source).await?);
    }
    Ok(statements)
}

async fn adopted(client: &Client, source: &CdcSource, slot: Option<&Slot>) -> Result<Vec<String>> {
    let Some(slot) = slot else {
        return Err(super::missing(&source.slot).remedy("name the slot to adopt in source.slot; without --adopt-slot a new one is made"));
    };
    if let Some(pid) = slot.active_pid {
        return Err(Error::new(Kind::DatabaseUnusable, format!("the slot is being read by process {pid}"))
            .at("slot", &source.slot)
            .remedy("stop its present reader first, Debezium for example, and wait until it is gone"));
    }
    if published(client, &source.publication).await?.is_none() {
        return Err(Error::new(Kind::DatabaseUnusable, "the publication does not exist").at("publication", &source.publication).remedy(
            "name the one that the slot's reader used (Debezium's is dbz_publication): changes committed before a new one cannot be read",
        ));
    }
    Ok(Vec::new())
}

async fn tables(client: &Client) -> Result<Vec<String>> {
    let sql = "SELECT format('%s.%s', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
               WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence = 'p' \
                 AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema' ORDER BY 1";
    let rows = client.query(sql, &[]).await.map_err(|e| classify(e, "cannot list the tables"))?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

fn wanted(source: &CdcSource, existing: &[String]) -> Result<Vec<String>> {
    let mut wanted: Vec<String> = source.outbox_name().into_iter().collect();
    for pattern in &source.tables {
        let mut any = false;
        for table in existing.iter().filter(|t| crate::config::matches(std::slice::from_ref(pattern), t) && source.captures(t)) {
            any = true;
            if !wanted.contains(table) {
                wanted.push(table.clone());
            }
        }
        if !any {
            return Err(Error::new(Kind::DatabaseUnusable, format!("no table matches `{pattern}`"))
                .at("field", "source.tables")
                .remedy("correct the pattern, or create the table first"));
        }
    }
    Ok(wanted)
}

fn publication(source: &CdcSource, tables: &[String]) -> Result<String> {
    let name = quote(&source.publication);
    if tables.is_empty() {
        // Logical messages need a publication too, and no table in it.
        return Ok(format!("CREATE PUBLICATION {name}"));
    }
    let list = tables.iter().map(|t| qualified(t)).collect::<Result<Vec<_>>>()?.join(", ");
    // Deletes of an outbox's rows are nobody's business: not even sent.
    let only_outbox = source.tables.is_empty();
    let publish = if only_outbox { "insert, update" } else { EVERYTHING };
    Ok(format!("CREATE PUBLICATION {name} FOR TABLE {list} WITH (publish = '{publish}', publish_via_partition_root = true)"))
}

/// Debezium's columns.
fn outbox_table(table: &str, source: &CdcSource) -> String {
    let r = &source.router;
    let name = |given: &Option<String>, usual| quote(given.as_deref().unwrap_or(usual));
    format!(
        "CREATE TABLE {table} (\n  {} uuid PRIMARY KEY DEFAULT gen_random_uuid(),\n  {} varchar(255) NOT NULL,\n  {} varchar(255) NOT NULL,\n  \
         {} varchar(255) NOT NULL,\n  {} jsonb\n)",
        name(&r.id, "id"),
        name(&r.route_by, "aggregatetype"),
        name(&r.key, "aggregateid"),
        name(&r.event_type, "type"),
        name(&r.payload, "payload")
    )
}

async fn create_slot(client: &Client, source: &CdcSource) -> Result<String> {
    let version = client.query_one("SELECT current_setting('server_version_num')::int", &[]).await;
    let version: i32 = version.map_err(|e| classify(e, "cannot ask for the version"))?.get(0);
    let name = literal(&source.slot);
    match (source.failover, version >= 170_000) {
        (true, false) => Err(Error::new(Kind::DatabaseUnusable, "source.failover needs Postgres 17 or later")
            .at("field", "source.failover")
            .remedy("leave it out")),
        (true, true) => Ok(format!("SELECT pg_create_logical_replication_slot({name}, 'pgoutput', false, false, true)")),
        (false, _) => Ok(format!("SELECT pg_create_logical_replication_slot({name}, 'pgoutput')")),
    }
}
