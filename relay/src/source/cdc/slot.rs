//! Slot and publication: what the server says about them, and what is wrong.

use super::outbox::Layout;
use crate::config::CdcSource;
use crate::error::{Error, Kind, Result};
use crate::source::postgres::classify;
use tokio_postgres::Client;

/// What the server knows about a slot.
#[derive(Clone, Debug)]
pub struct Slot {
    /// Output plugin.
    pub plugin: String,
    /// Database it belongs to.
    pub database: String,
    /// Process that reads it now.
    pub active_pid: Option<i32>,
    /// `reserved`, `extended`, `unreserved` or `lost`.
    pub wal_status: Option<String>,
    /// Why it was invalidated (Postgres 16 and later).
    pub invalidation: Option<String>,
    /// Up to where its reader has confirmed.
    pub confirmed: u64,
    /// WAL the server keeps for it, in bytes.
    pub kept: i64,
    /// WAL that may still be written before it is lost, in bytes.
    pub safe: Option<i64>,
    /// Whether it is synchronised to standbys.
    pub failover: bool,
    /// The server's newest position.
    pub current: u64,
}

// Columns differ between versions; a row as JSON has those there are.
const INSPECT: &str = "\
    SELECT s.plugin::text, s.database::text, s.active_pid, s.wal_status, \
           coalesce(to_jsonb(s) ->> 'invalidation_reason', CASE WHEN (to_jsonb(s) ->> 'conflicting')::bool THEN 'conflict' END), \
           (s.confirmed_flush_lsn - '0/0')::int8, pg_wal_lsn_diff(w.lsn, s.restart_lsn)::int8, s.safe_wal_size, \
           coalesce((to_jsonb(s) ->> 'failover')::bool, false), (w.lsn - '0/0')::int8 \
    FROM pg_replication_slots s, \
         (SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END AS lsn) w \
    WHERE s.slot_name = $1 AND s.slot_type = 'logical'";

fn unsigned(n: Option<i64>) -> u64 {
    n.and_then(|n| u64::try_from(n).ok()).unwrap_or(0)
}

impl Slot {
    /// Looks a slot up.
    ///
    /// # Errors
    /// When the session fails.
    pub async fn find(client: &Client, name: &str) -> Result<Option<Self>> {
        let row = client.query_opt(INSPECT, &[&name]).await.map_err(|e| classify(e, "cannot look at the replication slot"))?;
        Ok(row.map(|row| Self {
            plugin: row.get(0),
            database: row.get(1),
            active_pid: row.get(2),
            wal_status: row.get(3),
            invalidation: row.get(4),
            confirmed: unsigned(row.get(5)),
            kept: row.get::<_, Option<i64>>(6).unwrap_or(0),
            safe: row.get(7),
            failover: row.get(8),
            current: unsigned(row.get(9)),
        }))
    }

    /// Whether the slot can be read at all.
    ///
    /// # Errors
    /// `SlotInvalidated` or `DatabaseUnusable`, each with its remedy.
    pub fn usable(&self, name: &str, database: &str) -> Result<()> {
        let at = |e: Error| Err(e.at("slot", name));
        if self.plugin != "pgoutput" {
            return at(Error::new(Kind::DatabaseUnusable, format!("the slot speaks `{}`, not pgoutput", self.plugin))
                .remedy("name another slot, or drop it and run `relay init --cdc --apply`"));
        }
        if self.database != database {
            return at(Error::new(Kind::DatabaseUnusable, format!("the slot belongs to database `{}`", self.database))
                .remedy("correct source.url or source.slot"));
        }
        if self.wal_status.as_deref() == Some("lost") || self.invalidation.is_some() {
            let why = self.invalidation.as_deref().unwrap_or("the WAL it needs is removed");
            return at(Error::new(Kind::SlotInvalidated, format!("the server has invalidated the slot: {why}"))
                .at("confirmed", Lsn(self.confirmed))
                .remedy("changes since are lost to the slot: drop it, raise max_slot_wal_keep_size, run `relay init --cdc --apply`, then `relay init --cdc --adopt-slot -c FILE`, and read the tables again"));
        }
        Ok(())
    }
}

/// A position in the log as Postgres writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lsn(pub u64);

impl Lsn {
    /// Reads `16/B374D848`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (high, low) = text.split_once('/')?;
        let part = |text| u64::from_str_radix(text, 16).ok().filter(|n| *n <= 0xffff_ffff);
        Some(Self((part(high)? << 32) | part(low)?))
    }
}

impl std::fmt::Display for Lsn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xffff_ffff)
    }
}

/// The error for a slot that is not there.
pub fn missing(name: &str) -> Error {
    Error::new(Kind::SlotMissing, "the replication slot does not exist")
        .at("slot", name)
        .remedy("run `relay init --cdc --apply`; if the pipeline ran before, also `relay init --cdc --adopt-slot -c FILE`, and read the tables again, for what was committed in between is not in the new slot")
}

/// A publication.
#[derive(Clone, Debug, Default)]
pub struct Publication {
    /// Its tables.
    pub tables: Vec<Published>,
    /// Whether it publishes updates or deletes, which need a replica identity.
    pub changes: bool,
    /// Whether it publishes all there is to a row's life: inserts, updates and
    /// deletes.
    pub whole: bool,
}

/// A table of the publication.
#[derive(Clone, Debug)]
pub struct Published {
    /// `schema.table`.
    pub name: String,
    /// Whether its replica identity is there: a primary key, an index, or FULL.
    pub identified: bool,
}

/// A publication, if there is one of this name.
///
/// # Errors
/// When the session fails.
pub async fn published(client: &Client, publication: &str) -> Result<Option<Publication>> {
    let failed = |e| classify(e, "cannot look at the publication");
    let found = client
        .query_opt(
            "SELECT pubupdate OR pubdelete, pubinsert AND pubupdate AND pubdelete FROM pg_publication WHERE pubname = $1",
            &[&publication],
        )
        .await;
    let Some(row) = found.map_err(failed)? else { return Ok(None) };
    let rows = client.query(TABLES, &[&publication]).await.map_err(failed)?;
    let tables = rows.iter().map(|row| Published { name: row.get(0), identified: row.get(1) }).collect();
    Ok(Some(Publication { tables, changes: row.get(0), whole: row.get(1) }))
}

// Default: a primary key. Index: while the index stands.
const TABLES: &str = "\
    SELECT format('%s.%s', t.schemaname, t.tablename), \
           CASE c.relreplident WHEN 'f' THEN true WHEN 'n' THEN false \
             ELSE EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND CASE c.relreplident WHEN 'd' THEN i.indisprimary ELSE i.indisreplident END) END \
    FROM pg_publication_tables t \
    JOIN pg_namespace n ON n.nspname = t.schemaname JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.tablename \
    WHERE t.pubname = $1 ORDER BY 1";

/// The columns of `schema.table`.
async fn columns(client: &Client, table: &str) -> Result<Vec<String>> {
    let sql = "SELECT a.attname::text FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
               WHERE format('%s.%s', n.nspname, c.relname) = $1 AND a.attnum > 0 AND NOT a.attisdropped";
    let rows = client.query(sql, &[&table]).await.map_err(|e| classify(e, "cannot look at the outbox"))?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// What is wrong between publication and configuration; empty if nothing is.
///
/// # Errors
/// When the session fails, or there is no such publication.
pub async fn findings(client: &Client, source: &CdcSource) -> Result<Vec<String>> {
    let Some(Publication { tables, changes, whole }) = published(client, &source.publication).await? else {
        return Err(Error::new(Kind::DatabaseUnusable, "the publication does not exist")
            .at("publication", &source.publication)
            .remedy("run `relay init --cdc --apply`"));
    };
    let mut findings = Vec::new();
    if let Some(outbox) = source.outbox_name() {
        if tables.iter().any(|t| t.name == outbox) {
            // Only said: the log may hold rows of another shape.
            let columns = columns(client, &outbox).await?;
            let names: Vec<&str> = columns.iter().map(String::as_str).collect();
            if let Err(error) = Layout::find(&outbox, &names, &source.router) {
                findings.push(format!("{outbox}: {}", error.what()));
            }
        } else {
            findings.push(format!("publication {} lacks the outbox {outbox}", source.publication));
        }
    }
    if !whole && !source.tables.is_empty() {
        findings.push(format!(
            "publication {0} leaves out inserts, updates or deletes: those changes never arrive; \
             ALTER PUBLICATION {0} SET (publish = 'insert, update, delete, truncate')",
            source.publication
        ));
    }
    for pattern in &source.tables {
        if !tables.iter().any(|t| crate::config::matches(std::slice::from_ref(pattern), &t.name)) {
            findings.push(format!("publication {} has no table that matches {pattern}", source.publication));
        }
    }
    for table in tables.iter().filter(|t| changes && !t.identified) {
        findings.push(format!(
            "{} has no replica identity and publication {} publishes updates: the application's UPDATE and DELETE will fail; \
             give it a primary key, or ALTER TABLE {} REPLICA IDENTITY FULL",
            table.name, source.publication, table.name
        ));
    }
    Ok(findings)
}

// It keeps the slot from moving its restart position, and so keeps WAL.
const OLDEST: &str = "\
    SELECT extract(epoch FROM now() - started)::int8, who FROM ( \
      SELECT xact_start AS started, format('process %s of %s', pid, usename) AS who FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid() \
      UNION ALL SELECT prepared, format('prepared transaction %s of %s', gid, owner) FROM pg_prepared_xacts) t \
    WHERE started IS NOT NULL ORDER BY started LIMIT 1";

/// Age in seconds of the oldest transaction that writes, and whose it is.
///
/// # Errors
/// When the session fails.
pub async fn oldest_transaction(client: &Client) -> Result<Option<(i64, String)>> {
    let row = client.query_opt(OLDEST, &[]).await.map_err(|e| classify(e, "cannot look for old transactions"))?;
    Ok(row.map(|row| (row.get(0), row.get(1))))
}
