//! The other direction of the stream: what is done, remembered and then told to
//! the server, and an eye on the slot.

use super::snapshots::beat;
use super::{ACKNOWLEDGE, Reader};
use crate::error::{Error, Kind, Result};
use crate::event::Position;
use crate::metrics::{LAG_BYTES, OLDEST_TRANSACTION, WAL_KEPT_BYTES, WAL_LEFT_BYTES};
use crate::source::cdc::progress::mark;
use crate::source::cdc::slot::{Slot, missing, oldest_transaction};
use crate::source::postgres::classify;
use metrics::gauge;
use std::time::Duration;
use tokio::time::Instant;

impl Reader {
    /// Tells the server what is done; looks at the slot now and then.
    pub(super) async fn tick(&mut self) -> Result<()> {
        let head = self.acknowledge();
        self.record_chunks(head).await?;
        if let Some(error) = self.recorder.failure().await {
            return Err(error);
        }
        if self.control.client.is_closed() {
            return Err(Error::new(Kind::DatabaseUnavailable, "the session that holds the pipeline's lock ended")
                .remedy("the relay reconnects by itself"));
        }
        if let Some(interval) = self.source.heartbeat
            && self.beaten.elapsed() >= interval
        {
            self.beaten = Instant::now();
            let (prefix, content) = beat(&self.source.slot);
            let sent = self.control.client.execute("SELECT pg_logical_emit_message(true, $1, $2)", &[&prefix, &content]).await;
            sent.map_err(|e| classify(e, "cannot write the heartbeat"))?;
        }
        if self.inspected.is_none_or(|at| at.elapsed() >= self.source.slot_check) {
            self.inspected = Some(Instant::now());
            self.inspect().await?;
        }
        Ok(())
    }

    fn acknowledge(&mut self) -> Option<Position> {
        let (_, head) = self.ledger.take_done();
        if let Some(head) = head {
            self.recorder.want(mark(head));
        }
        // In the middle of a transaction this is its commit record's start: the
        // whole of it comes again, and what is published of it is left out.
        let (stored, _) = self.recorder.stored();
        if stored > self.acknowledged {
            self.acknowledged = stored;
            self.client.update_applied_lsn(stored.into());
        }
        head.map(|head| head.position)
    }

    async fn inspect(&mut self) -> Result<()> {
        let slot = Slot::find(&self.control.client, &self.source.slot).await?.ok_or_else(|| missing(&self.source.slot))?;
        let gauge = |name: &'static str, value: u64| gauge!(name, "slot" => self.source.slot.clone()).set(value as f64);
        let unsigned = |n: i64| u64::try_from(n).unwrap_or(0);
        gauge(LAG_BYTES, slot.current.saturating_sub(self.acknowledged.max(slot.confirmed)));
        gauge(WAL_KEPT_BYTES, unsigned(slot.kept));
        if let Some(left) = slot.safe {
            gauge(WAL_LEFT_BYTES, unsigned(left));
        }
        let oldest = oldest_transaction(&self.control.client).await?;
        gauge(OLDEST_TRANSACTION, oldest.map_or(0, |(seconds, _)| unsigned(seconds)));
        let at_risk = slot.safe.is_some_and(|safe| {
            let limit = safe.saturating_add(slot.kept).max(1);
            slot.kept.saturating_mul(100) / limit >= i64::from(self.source.wal_warning_percent)
        });
        if at_risk && !self.warned {
            tracing::warn!(
                slot = self.source.slot,
                kept_bytes = slot.kept,
                left_bytes = slot.safe.unwrap_or(0),
                "the server keeps much WAL for this slot; when max_slot_wal_keep_size is reached it invalidates the slot"
            );
        }
        self.warned = at_risk;
        Ok(())
    }

    /// Goes on telling the server what is done, without reading on, for ever.
    pub async fn acknowledge_on(&mut self) -> Result<()> {
        loop {
            self.tick().await?;
            tokio::time::sleep(ACKNOWLEDGE).await;
        }
    }

    /// Tells the server for the last time and ends the session.
    pub async fn finish(mut self) {
        // The recorder may rest for one interval, the session for another.
        let deadline = Instant::now() + self.source.status_interval * 3;
        let metrics = self.client.metrics();
        let (_, head) = self.ledger.take_done();
        match tokio::time::timeout_at(deadline, self.record_chunks(head.map(|head| head.position))).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!("{error}"),
            Err(_) => tracing::warn!("the progress of a snapshot could not be remembered in time; its last rows come again"),
        }
        let head = head.map_or((0, None), mark);
        loop {
            self.acknowledge();
            let told = metrics.last_applied_lsn().as_u64() >= self.acknowledged;
            let done = self.recorder.stored() >= head && told;
            if done || !self.client.is_running() || !(self.recorder.is_alive() || self.transactional) || Instant::now() >= deadline {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.client.stop();
    }
}
