//! One owner at a time: a session-level advisory lock on the pipeline's name,
//! held by the session that reads.

use crate::error::{Error, Kind, Result};
use crate::source::postgres::{Connection, classify};
use std::time::Duration;

/// How often a waiting relay tries again.
const RETRY: Duration = Duration::from_millis(500);

/// First key of the two-key lock, so that it meets no application's: "rlay".
const SPACE: i32 = 0x726c_6179;

/// Proof that this session owns the pipeline.
#[derive(Debug)]
pub struct Lock(());

impl Lock {
    /// Waits for the lock. A relay that had to wait waits `takeover_delay`
    /// again, so that what the former owner had in flight is out.
    pub async fn acquire(connection: &Connection, pipeline: &str, takeover_delay: Duration) -> Result<Self> {
        let mut waited = false;
        loop {
            if Self::try_acquire(connection, pipeline).await? {
                if waited {
                    tracing::info!(pipeline, delay = ?takeover_delay, "lock taken over; waiting for the former owner's last messages");
                    tokio::time::sleep(takeover_delay).await;
                }
                return Ok(Self(()));
            }
            if !waited {
                waited = true;
                tracing::info!(pipeline, "another relay owns this pipeline; standing by");
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// One try.
    pub async fn try_acquire(connection: &Connection, pipeline: &str) -> Result<bool> {
        let row = connection
            .client
            .query_one("SELECT pg_try_advisory_lock($1, hashtext($2::text))", &[&SPACE, &pipeline])
            .await
            .map_err(|e| classify(e, "cannot take the pipeline's lock"))?;
        Ok(row.get(0))
    }

    /// Makes sure that the session, and with it the lock, still lives.
    pub async fn verify(&self, connection: &Connection) -> Result<()> {
        if connection.client.is_closed() {
            return Err(Error::new(Kind::DatabaseUnavailable, "the session that holds the pipeline's lock ended"));
        }
        connection.client.batch_execute("SELECT 1").await.map_err(|e| classify(e, "the session that holds the pipeline's lock ended"))
    }
}
