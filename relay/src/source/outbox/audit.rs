//! What polling relies on, checked in the catalogue before the first row is
//! read. Each finding says why it matters and the SQL that mends it.

use super::table::Table;
use crate::error::{Error, Kind, Result};
use crate::source::postgres::{classify, quote};
use std::fmt;
use tokio_postgres::Client;

/// One thing that would lose, reorder or delay events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What is wrong and what it would cause.
    pub problem: String,
    /// What to do.
    pub remedy: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; remedy: {}", self.problem, self.remedy)
    }
}

/// Audits a table; an empty list means that polling is safe.
///
/// # Errors
/// When the catalogue cannot be read.
pub async fn audit(client: &Client, table: &Table, retain: bool) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    version(client, &mut findings).await?;
    xid_before_seq(client, table, &mut findings).await?;
    sequence(client, table, &mut findings).await?;
    index(client, table, &mut findings).await?;
    privileges(client, table, retain, &mut findings).await?;
    if let Some(lane) = &table.lane
        && lane.generated != "s"
    {
        findings.push(Finding {
            problem: format!(
                "column `{}` (lane) is not generated: an application could put one key into two lanes, which breaks its order",
                lane.name
            ),
            remedy: "drop it and let `relay init --apply` add the generated one".into(),
        });
    }
    Ok(findings)
}

/// Turns findings into the error of `run`.
pub(crate) fn refuse(table: &Table, findings: &[Finding]) -> Result<()> {
    let [first, rest @ ..] = findings else { return Ok(()) };
    let more = if rest.is_empty() { String::new() } else { format!(" (and {} more; see `relay check`)", rest.len()) };
    Err(Error::new(Kind::DatabaseUnusable, format!("{}{more}", first.problem)).at("table", &table.name).remedy(first.remedy.clone()))
}

/// Multiranges and `xid8` as polling uses them are there since 14.
const OLDEST_SERVER: i32 = 140_000;

async fn version(client: &Client, findings: &mut Vec<Finding>) -> Result<()> {
    let row = query_one(client, "SELECT current_setting('server_version_num')::int4, pg_is_in_recovery()", &[]).await?;
    if row.get::<_, i32>(0) < OLDEST_SERVER {
        findings.push(Finding { problem: "the server is older than PostgreSQL 14".into(), remedy: "upgrade the server".into() });
    }
    if row.get::<_, bool>(1) {
        // During a failover this passes by itself.
        return Err(Error::new(Kind::DatabaseUnavailable, "the server is a standby in recovery, which cannot delete rows")
            .remedy("connect to the primary: target_session_attrs=read-write in source.url"));
    }
    Ok(())
}

async fn xid_before_seq(client: &Client, table: &Table, findings: &mut Vec<Finding>) -> Result<()> {
    // tgtype: bit 0 row, bit 1 before, bit 2 insert (source: PostgreSQL,
    // src/include/catalog/pg_trigger.h).
    let row = query_one(
        client,
        "SELECT EXISTS (SELECT 1 FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid WHERE t.tgrelid = $1 \
         AND (t.tgtype & 7) = 6 AND t.tgenabled IN ('O', 'A') AND t.tgqual IS NULL AND p.prosrc LIKE '%pg_current_xact_id()%')",
        &[&table.oid],
    )
    .await?;
    if !table.takes_xid_first() && !row.get::<_, bool>(0) {
        findings.push(Finding {
            problem: format!(
                "a row of {} takes its sequence number before its transaction id: a commit could be overtaken and never read",
                table.name
            ),
            remedy: "let `relay init --apply` add its statement trigger, or make the first column `xid xid8 NOT NULL DEFAULT pg_current_xact_id()`".into(),
        });
    }
    Ok(())
}

async fn sequence(client: &Client, table: &Table, findings: &mut Vec<Finding>) -> Result<()> {
    let (sql, seq) = (table.name.sql(), quote(&table.seq.name));
    if table.seq.identity != "a" {
        findings.push(Finding {
            problem: format!("column `{}` (seq) is not GENERATED ALWAYS AS IDENTITY: the application could set or prefetch numbers, and rows would be skipped", table.seq.name),
            remedy: format!("ALTER TABLE {sql} ALTER COLUMN {seq} DROP DEFAULT, ALTER COLUMN {seq} SET NOT NULL, ALTER COLUMN {seq} ADD GENERATED ALWAYS AS IDENTITY (RESTART with a value above max({seq}))"),
        });
        return Ok(());
    }
    let rows = client
        .query(
            "SELECT c.oid::regclass::text, s.seqcache, s.seqincrement, s.seqcycle, \
             EXISTS (SELECT 1 FROM aclexplode(c.relacl) a WHERE a.grantee <> c.relowner AND a.privilege_type IN ('USAGE', 'UPDATE')) \
             FROM pg_depend d JOIN pg_class c ON c.oid = d.objid AND c.relkind = 'S' JOIN pg_sequence s ON s.seqrelid = c.oid \
             WHERE d.refobjid = $1 AND d.refobjsubid = $2 AND d.deptype = 'i'",
            &[&table.oid, &i32::from(table.seq.number)],
        )
        .await
        .map_err(|e| classify(e, "cannot read the catalogue"))?;
    for row in rows {
        let name: String = row.get(0);
        if row.get::<_, i64>(1) != 1 || row.get::<_, i64>(2) < 1 || row.get::<_, bool>(3) {
            findings.push(Finding {
                problem: format!(
                    "sequence {name} caches, cycles or counts down: numbers would appear out of the order in which they are drawn"
                ),
                remedy: format!("ALTER TABLE {sql} ALTER COLUMN {seq} SET CACHE 1 SET INCREMENT BY 1 SET NO CYCLE"),
            });
        }
        if row.get::<_, bool>(4) {
            findings.push(Finding {
                problem: format!(
                    "sequence {name} is granted to other roles, which could prefetch numbers; an identity column needs no such grant"
                ),
                remedy: format!("REVOKE ALL ON SEQUENCE {name} FROM those roles"),
            });
        }
    }
    Ok(())
}

async fn index(client: &Client, table: &Table, findings: &mut Vec<Finding>) -> Result<()> {
    let row = query_one(
        client,
        "SELECT EXISTS (SELECT 1 FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam \
         WHERE i.indrelid = $1 AND i.indisvalid AND i.indpred IS NULL AND m.amname = 'btree' AND i.indkey[0] = $2)",
        &[&table.oid, &table.seq.number],
    )
    .await?;
    if !row.get::<_, bool>(0) {
        findings.push(Finding {
            problem: format!("no index on `{}` (seq): every poll would read the whole table", table.seq.name),
            remedy: format!("CREATE UNIQUE INDEX ON {} ({})", table.name.sql(), quote(&table.seq.name)),
        });
    }
    Ok(())
}

async fn privileges(client: &Client, table: &Table, retain: bool, findings: &mut Vec<Finding>) -> Result<()> {
    let row = query_one(
        client,
        "SELECT has_table_privilege($1::oid, 'SELECT'), has_table_privilege($1::oid, 'DELETE'), row_security_active($1::oid)",
        &[&table.oid],
    )
    .await?;
    if !row.get::<_, bool>(0) || (!retain && !row.get::<_, bool>(1)) {
        let needed = if retain { "SELECT" } else { "SELECT, DELETE" };
        findings.push(Finding {
            problem: format!("this user lacks {needed} on {}", table.name),
            remedy: format!("GRANT {needed} ON {} TO the relay's user", table.name.sql()),
        });
    }
    if row.get::<_, bool>(2) {
        findings.push(Finding {
            problem: format!("row security hides rows of {} from this user: they would never be published", table.name),
            remedy: "ALTER ROLE of the relay's user BYPASSRLS, or disable row security on the table".into(),
        });
    }
    Ok(())
}

async fn query_one(client: &Client, sql: &str, params: &[&(dyn tokio_postgres::types::ToSql + Sync)]) -> Result<tokio_postgres::Row> {
    client.query_one(sql, params).await.map_err(|e| classify(e, "cannot read the catalogue"))
}
