//! The SQL of `relay init`: makes the table, or brings an existing one to what
//! polling relies on. Every statement may run twice.

use super::table::{DEFAULT_NAMES, column_name, lane_expression, takes_xid};
use crate::config::OutboxSource;
use crate::error::Result;
use crate::source::outbox::Table;
use crate::source::postgres::{TableName, quote};
use tokio_postgres::Client;

/// A queue's rows live for moments: vacuum by count, not by share, and do not
/// throttle it.
const STORAGE: &str = "autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000, \
     autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 50000, \
     autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 50000, autovacuum_vacuum_cost_delay = 0";

/// Channel of `NOTIFY`.
pub(super) const CHANNEL: &str = "relay_outbox";

/// Table of `retain = true`.
pub(super) const CHECKPOINT: &str = "public.relay_checkpoint";

/// The statements for this source, in order, given what exists (`client` is
/// `None` to print for an empty database).
pub async fn statements(client: Option<&Client>, source: &OutboxSource) -> Result<Vec<String>> {
    let name = TableName::parse(&source.table)?;
    let existing = match client {
        Some(client) => Table::columns(client, &name).await?.map(|(_, columns)| columns),
        None => None,
    };
    let c = |default: &'static str| quote(column_name(&source.columns, default).0);
    let mut out = Vec::new();
    match existing {
        None => out.push(create_table(&name, &c, source)),
        Some(columns) => {
            let has = |default: &'static str| columns.get(column_name(&source.columns, default).0);
            if has("seq").is_none() {
                out.push(format!("ALTER TABLE {} ADD COLUMN {} bigint GENERATED ALWAYS AS IDENTITY (CACHE 1)", name.sql(), c("seq")));
                out.push(format!(
                    "CREATE UNIQUE INDEX IF NOT EXISTS {} ON {} ({})",
                    quote(&format!("{}_seq_relay", name.name)),
                    name.sql(),
                    c("seq")
                ));
            }
            if has("lane").is_none() && has("aggregate_type").is_some() {
                let id = has("aggregate_id").map(|c| c.name.as_str());
                let aggregate_type = column_name(&source.columns, "aggregate_type").0;
                let immutable =
                    [id, Some(aggregate_type)].into_iter().flatten().all(|c| columns.get(c).is_some_and(|c| casts_immutably(&c.ty)));
                if immutable {
                    let lane = lane_expression(id, aggregate_type);
                    out.push(format!("ALTER TABLE {} ADD COLUMN {} smallint GENERATED ALWAYS AS ({lane}) STORED", name.sql(), c("lane")));
                }
            }
            let first = has("xid")
                .zip(has("seq"))
                .is_some_and(|(xid, seq)| xid.number < seq.number && xid.default.as_deref().is_some_and(takes_xid));
            if !first {
                out.extend(xid_trigger(&name));
            }
            out.push(format!("ALTER TABLE {} SET ({STORAGE})", name.sql()));
        }
    }
    if source.retain {
        // Reads look only for rows whose transaction an earlier read did not see.
        out.push(format!("CREATE INDEX IF NOT EXISTS {} ON {} ({})", quote(&format!("{}_xid_relay", name.name)), name.sql(), c("xid")));
        out.push(format!(
            "CREATE TABLE IF NOT EXISTS {CHECKPOINT} (pipeline text PRIMARY KEY, table_name text NOT NULL, floor bigint NOT NULL, \
             acknowledged int8multirange NOT NULL, updated_at timestamptz NOT NULL DEFAULT now())"
        ));
    }
    if source.notify {
        out.extend(notify_trigger(&name));
    }
    Ok(out)
}

/// Types whose cast to text Postgres allows in a generated column.
fn casts_immutably(ty: &str) -> bool {
    matches!(ty, "text" | "character varying" | "uuid" | "bigint" | "integer" | "smallint")
}

fn create_table(name: &TableName, c: &dyn Fn(&'static str) -> String, source: &OutboxSource) -> String {
    let [xid, seq, lane, id, aggregate_type, aggregate_id, event_type, payload, headers, created_at] = DEFAULT_NAMES.map(c);
    let plain = |default| column_name(&source.columns, default).0;
    let generated = lane_expression(Some(plain("aggregate_id")), plain("aggregate_type"));
    let schema = if name.schema == "public" { String::new() } else { format!("CREATE SCHEMA IF NOT EXISTS {};\n", quote(&name.schema)) };
    format!(
        "{schema}CREATE TABLE IF NOT EXISTS {} (\n    \
         {xid} xid8 NOT NULL DEFAULT pg_current_xact_id(),  -- first: taken before the sequence number\n    \
         {seq} bigint GENERATED ALWAYS AS IDENTITY (CACHE 1) PRIMARY KEY,\n    \
         {lane} smallint GENERATED ALWAYS AS ({generated}) STORED,\n    \
         {id} uuid NOT NULL DEFAULT gen_random_uuid(),\n    \
         {aggregate_type} text NOT NULL,\n    \
         {aggregate_id} text,\n    \
         {event_type} text NOT NULL,\n    \
         {payload} jsonb,\n    \
         {headers} jsonb,\n    \
         {created_at} timestamptz NOT NULL DEFAULT now()\n) WITH ({STORAGE})",
        name.sql()
    )
}

/// For a table that cannot gain a first column: a statement trigger fires
/// before the first `nextval`.
fn xid_trigger(name: &TableName) -> Vec<String> {
    let function = format!("{}.relay_take_xid", quote(&name.schema));
    vec![
        format!(
            "CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN PERFORM pg_current_xact_id(); RETURN NULL; END $$"
        ),
        format!(
            "CREATE OR REPLACE TRIGGER relay_take_xid BEFORE INSERT ON {} FOR EACH STATEMENT EXECUTE FUNCTION {function}()",
            name.sql()
        ),
    ]
}

fn notify_trigger(name: &TableName) -> Vec<String> {
    let function = format!("{}.relay_notify", quote(&name.schema));
    vec![
        format!(
            "CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN PERFORM pg_notify('{CHANNEL}', TG_RELID::text); RETURN NULL; END $$"
        ),
        format!("CREATE OR REPLACE TRIGGER relay_notify AFTER INSERT ON {} FOR EACH STATEMENT EXECUTE FUNCTION {function}()", name.sql()),
    ]
}
