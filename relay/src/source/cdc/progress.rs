//! How far the pipeline is published, remembered outside the server before the
//! server is told: only so can a slot that somebody moved be noticed.

use super::slot::{Lsn, Slot};
use crate::checkpoint::Head;
use crate::config::CdcSource;
use crate::error::{Context as _, Error, Kind, Result};
use crate::source::postgres::{Target, stream_error};
use crate::state::{Records, Store, read};
use pgwire_replication::ReplicationClient;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Key of the record.
const KEY: &str = "source";

/// What is remembered of the window's head.
pub(super) fn mark(head: Head) -> Mark {
    (head.position.commit, head.event.then_some(head.position.index))
}

/// Which log is read, and how far it is published.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The server's system identifier, in decimal.
    pub system: String,
    /// Its timeline.
    pub timeline: u32,
    /// The slot.
    pub slot: String,
    /// Everything before is published, as Postgres writes positions.
    pub position: String,
    /// Within the transaction whose commit record starts there: index of the
    /// last change that is published, where some are and some are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<u64>,
    /// The publication, which decides what counts as a change.
    #[serde(default)]
    pub publication: String,
}

/// A position, and the last change published within the transaction there.
pub(super) type Mark = (u64, Option<u64>);

impl Progress {
    /// What is remembered, if anything is.
    ///
    /// # Errors
    /// `Config` for a record of another version.
    pub fn find(records: &Records) -> Result<Option<Self>> {
        read(records, KEY)
    }

    /// Remembers it.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn store(&self, store: &Store) -> Result<()> {
        store.put(KEY, self).await
    }

    /// The position as a number; 0 if it is none.
    #[must_use]
    pub fn lsn(&self) -> u64 {
        Lsn::parse(&self.position).map_or(0, |lsn| lsn.0)
    }

    /// The record of it, once everything up to there is published.
    ///
    /// # Errors
    /// `Internal` if it is no JSON.
    pub fn record(&self, head: Option<Head>) -> Result<(String, Value)> {
        let mut progress = self.clone();
        if let Some(head) = head.filter(|head| mark(*head) > self.mark()) {
            progress.set(mark(head));
        }
        Ok((KEY.to_owned(), serde_json::to_value(progress).or_kind(Kind::Internal, "a state record is no JSON")?))
    }

    fn set(&mut self, (position, change): Mark) {
        self.position = Lsn(position).to_string();
        self.change = change;
    }

    /// How far the stream is published, to the change.
    pub(super) fn mark(&self) -> Mark {
        (self.lsn(), self.change)
    }

    /// Whether server and slot are those that were published from.
    ///
    /// # Errors
    /// `ServerChanged`, `ServerBehind` or `SlotAhead`.
    pub fn continues(&self, system: &str, timeline: u32, slot: &Slot) -> Result<()> {
        let adopt = "relay init --cdc --adopt-slot";
        if self.system != system || self.timeline != timeline {
            let what = format!(
                "another server answers: system {} timeline {} was read, this is system {system} timeline {timeline}",
                self.system, self.timeline
            );
            return Err(Error::new(Kind::ServerChanged, what)
                .remedy(format!("make sure that it has every commit of the old one, then go on with `{adopt}`")));
        }
        let published = self.lsn();
        if slot.current < published {
            return Err(Error::new(
                Kind::ServerBehind,
                format!("the server's log ends at {}, before what is published", Lsn(slot.current)),
            )
            .at("published", &self.position)
            .remedy(format!("it was restored or failed over: events were published that it does not know; go on with `{adopt}`")));
        }
        if slot.confirmed > published {
            return Err(Error::new(Kind::SlotAhead, format!("the slot stands at {}, beyond what is published", Lsn(slot.confirmed)))
                .at("published", &self.position)
                .remedy(format!("somebody read, advanced or recreated it: read the tables again, then go on with `{adopt}`")));
        }
        Ok(())
    }
}

/// The server's system identifier and timeline, as the replication protocol
/// tells them: the catalog's timeline lags behind after a promotion.
///
/// # Errors
/// When the server refuses a replication session.
pub async fn identify(target: &Target, source: &CdcSource) -> Result<(String, u32)> {
    let failed = |e| stream_error(e, "cannot open a replication session").at("slot", &source.slot);
    let config = target.replication(&source.slot, &source.publication);
    let mut client = ReplicationClient::connect_gated(config).await.map_err(failed)?;
    let server = client.identify_system().await.map_err(failed)?;
    Ok((server.system_id, server.timeline))
}

/// Remembers positions in a task of its own, the newest one each time.
pub(super) struct Recorder {
    wanted: watch::Sender<Mark>,
    stored: watch::Receiver<Mark>,
    task: Option<JoinHandle<Error>>,
}

impl Recorder {
    /// For what is remembered before it is asked for.
    pub(super) fn after(progress: &Progress) -> Self {
        let (wanted, stored) = watch::channel(progress.mark());
        Self { wanted, stored, task: None }
    }

    pub(super) fn start(store: Arc<Store>, mut progress: Progress, interval: Duration) -> Self {
        // From what is remembered on: a position below it is never wanted.
        let (wanted, mut positions) = watch::channel(progress.mark());
        let (told, stored) = watch::channel(progress.mark());
        let task = tokio::spawn(async move {
            loop {
                if positions.changed().await.is_err() {
                    return Error::new(Kind::Interrupted, "the session ended");
                }
                let mark = *positions.borrow_and_update();
                progress.set(mark);
                if let Err(error) = progress.store(&store).await {
                    return error;
                }
                told.send_replace(mark);
                tokio::time::sleep(interval).await;
            }
        });
        Self { wanted, stored, task: Some(task) }
    }

    /// Asks for this to be remembered.
    pub(super) fn want(&self, mark: Mark) {
        self.wanted.send_if_modified(|wanted| {
            let newer = mark > *wanted;
            *wanted = (*wanted).max(mark);
            newer
        });
    }

    /// What is remembered durably.
    pub(super) fn stored(&self) -> Mark {
        *self.stored.borrow()
    }

    /// The failure that ended it, said once.
    pub(super) async fn failure(&mut self) -> Option<Error> {
        let task = self.task.take_if(|task| task.is_finished())?;
        Some(task.await.unwrap_or_else(|e| Error::new(Kind::Internal, "the task that remembers positions failed").cause(e)))
    }

    /// Whether it still remembers anything.
    pub(super) fn is_alive(&self) -> bool {
        self.task.as_ref().is_some_and(|task| !task.is_finished())
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(confirmed: u64, current: u64) -> Slot {
        Slot {
            plugin: "pgoutput".into(),
            database: "d".into(),
            active_pid: None,
            wal_status: None,
            invalidation: None,
            confirmed,
            kept: 0,
            safe: None,
            failover: false,
            current,
        }
    }

    #[test]
    fn each_way_to_lose_events_has_its_error() {
        let known = Progress { system: "1".into(), timeline: 1, slot: "s".into(), position: "1/10".into(), ..Progress::default() };
        let published = 0x1_0000_0010;
        let kind = |system, timeline, slot: Slot| known.continues(system, timeline, &slot).err().map(|e| e.kind());
        assert_eq!(kind("1", 1, slot(published, published)), None);
        // The server did not hear of the last positions, or has gone on.
        assert_eq!(kind("1", 1, slot(5, published + 5)), None);
        assert_eq!(kind("2", 1, slot(5, published)), Some(Kind::ServerChanged));
        assert_eq!(kind("1", 2, slot(5, published)), Some(Kind::ServerChanged));
        assert_eq!(kind("1", 1, slot(5, published - 1)), Some(Kind::ServerBehind));
        assert_eq!(kind("1", 1, slot(published + 1, published + 1)), Some(Kind::SlotAhead));
    }
}
