//! One owner at a time: a session-level advisory lock on the pipeline's name,
//! held by the session that reads.

use crate::error::{Error, Kind, Result};
use crate::source::postgres::{Connection, TableName, classify};
use serde::Serialize;
use std::time::Duration;
use tokio_postgres::Client;

/// First key of the lock on the pipeline's name, so that it meets no
/// application's: "rlay".
const PIPELINES: i32 = 0x726c_6179;

/// First key of the lock on the table, so that two pipelines cannot delete each
/// other's rows: "rlat".
const TABLES: i32 = 0x726c_6174;

/// Waits until this session owns the pipeline and, where it deletes rows, the
/// table, trying every `retry`. A relay that had to wait waits `takeover_delay`
/// again, so that what the former owner had in flight is out.
///
/// # Errors
/// When the session ends, or another pipeline owns the table.
pub async fn acquire(
    connection: &Connection,
    pipeline: &str,
    table: Option<&TableName>,
    retry: Duration,
    takeover_delay: Duration,
) -> Result<()> {
    let mut waited = false;
    while !try_lock(connection, PIPELINES, pipeline).await? {
        if !waited {
            waited = true;
            tracing::info!(pipeline, "another relay owns this pipeline; standing by");
            name_session(connection, &standby(pipeline)).await?;
        }
        tokio::time::sleep(retry).await;
    }
    if waited {
        tracing::info!(pipeline, delay = ?takeover_delay, "lock taken over; waiting for the former owner's last messages");
        tokio::time::sleep(takeover_delay).await;
        // The session may have ended meanwhile, and the lock with it.
        connection.client.batch_execute("SELECT 1").await.map_err(|e| classify(e, "the session that holds the pipeline's lock ended"))?;
    }
    name_session(connection, &format!("relay/{pipeline}")).await?;
    let since = "SELECT set_config('application_name', current_setting('application_name') || $1 || \
                 to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), false)";
    connection.client.query(since, &[&OWNER]).await.map_err(|e| classify(e, "cannot name the session"))?;
    match table {
        Some(table) if !try_lock(connection, TABLES, &table.to_string()).await? => {
            Err(Error::new(Kind::DatabaseUnavailable, format!("another pipeline reads {table} and deletes its rows"))
                .remedy("give both relays the same name, so that one stands by; or set retain = true in all but one"))
        }
        _ => Ok(()),
    }
}

/// Between the pipeline's name and the time since when, in the name of its owner's session.
const OWNER: &str = " owner since ";

/// Name of a session that waits.
fn standby(pipeline: &str) -> String {
    format!("relay/{pipeline} standing by")
}

async fn name_session(connection: &Connection, name: &str) -> Result<()> {
    let named = connection.client.query("SELECT set_config('application_name', $1, false)", &[&name]).await;
    named.map(drop).map_err(|e| classify(e, "cannot name the session"))
}

/// Who has a pipeline's lock, as the server sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Owner {
    /// The server's process that serves it.
    pub pid: i32,
    /// Where it is connected from; none by a socket.
    pub address: Option<String>,
    /// Since when it has the lock; not known where the pipeline's name is long.
    pub since: Option<String>,
}

/// The owner of a pipeline, if there is one, and how many stand by.
///
/// # Errors
/// Those of the database.
pub async fn owner(client: &Client, pipeline: &str) -> Result<(Option<Owner>, usize)> {
    let sql = "SELECT a.pid, host(a.client_addr), a.application_name, l.pid IS NOT NULL FROM pg_stat_activity a \
               LEFT JOIN pg_locks l ON l.pid = a.pid AND l.locktype = 'advisory' AND l.granted AND l.objsubid = 2 \
                 AND l.classid::int8 = $1 AND l.objid::int8 = hashtext($2::text)::int8 & 4294967295 \
                 AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
               WHERE a.datname = current_database() AND (l.pid IS NOT NULL OR a.application_name = left($3, 63))";
    let rows = client.query(sql, &[&i64::from(PIPELINES), &pipeline, &standby(pipeline)]).await;
    let rows = rows.map_err(|e| classify(e, "cannot look for the pipeline's owner"))?;
    let (owners, waiting): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.get(3));
    let owner = owners.first().map(|row| Owner {
        pid: row.get(0),
        address: row.get(1),
        since: row.get::<_, Option<&str>>(2).and_then(|name| Some(name.split_once(OWNER)?.1.to_owned())),
    });
    Ok((owner, waiting.len()))
}

async fn try_lock(connection: &Connection, space: i32, name: &str) -> Result<bool> {
    let row = connection.client.query_one("SELECT pg_try_advisory_lock($1, hashtext($2::text))", &[&space, &name]).await;
    Ok(row.map_err(|e| classify(e, "cannot take the pipeline's lock"))?.get(0))
}
