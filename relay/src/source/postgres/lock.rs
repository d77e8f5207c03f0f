//! One owner at a time: a session-level advisory lock on the pipeline's name,
//! held by the session that reads.

use crate::error::{Error, Kind, Result};
use crate::source::postgres::{Connection, TableName, classify};
use std::time::Duration;

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
        }
        tokio::time::sleep(retry).await;
    }
    if waited {
        tracing::info!(pipeline, delay = ?takeover_delay, "lock taken over; waiting for the former owner's last messages");
        tokio::time::sleep(takeover_delay).await;
        // The session may have ended meanwhile, and the lock with it.
        connection.client.batch_execute("SELECT 1").await.map_err(|e| classify(e, "the session that holds the pipeline's lock ended"))?;
    }
    match table {
        Some(table) if !try_lock(connection, TABLES, &table.to_string()).await? => {
            Err(Error::new(Kind::DatabaseUnavailable, format!("another pipeline reads {table} and deletes its rows"))
                .remedy("give both relays the same name, so that one stands by; or set retain = true in all but one"))
        }
        _ => Ok(()),
    }
}

async fn try_lock(connection: &Connection, space: i32, name: &str) -> Result<bool> {
    let row = connection.client.query_one("SELECT pg_try_advisory_lock($1, hashtext($2::text))", &[&space, &name]).await;
    Ok(row.map_err(|e| classify(e, "cannot take the pipeline's lock"))?.get(0))
}
