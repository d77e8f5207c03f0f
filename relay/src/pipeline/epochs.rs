//! Exactly-once delivery: one transaction after the other, each with a record of what it
//! publishes, which the next start reads.

use crate::checkpoint::{Closed, Ledger, Pace, Watcher};
use crate::config::Transactions;
use crate::crash::{self, Point};
use crate::dead_letters::Letters;
use crate::error::{Context as _, Error, Kind, Result};
use crate::sink::kafka::Kafka;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// Under which key, and what.
pub(super) type Record = (String, Value);

/// What a session's transactions need.
pub(super) struct Epochs {
    pub(super) ledger: Arc<Ledger>,
    pub(super) kafka: Arc<Kafka>,
    pub(super) config: Transactions,
    pub(super) pace: Arc<Pace>,
    /// Where records go.
    pub(super) topic: String,
    pub(super) letters: Option<Arc<Letters>>,
    /// How often a source that only passes on is recorded.
    pub(super) passing: Duration,
}

/// How a session's transactions end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// Not yet.
    No,
    /// Nothing is in flight: what is done is committed.
    Commit,
    /// Something went wrong: what is open is given up.
    Abandon,
}

impl Epochs {
    /// Commits one after the other until told to end. `record` says what a closed epoch
    /// published; `settle` tells the source once that is committed, before the next one
    /// is. Not to be dropped before it returns: a commit may be under way.
    pub(super) async fn run(
        &self,
        mut ending: watch::Receiver<Ending>,
        record: impl Fn(&Closed) -> Result<Vec<Record>>,
        mut settle: impl AsyncFnMut() -> Result<()>,
    ) -> Result<()> {
        loop {
            let (told, begun) = tokio::select! {
                begun = self.due() => (Ending::No, begun),
                told = ending.wait_for(|told| *told != Ending::No) => (told.map_or(Ending::Abandon, |told| *told), Instant::now()),
            };
            if told == Ending::Abandon {
                return Ok(());
            }
            // To end is no reason for a transaction with nothing in it.
            let nothing = told == Ending::Commit && !self.ledger.has_begun() && !self.ledger.has_passed();
            if !nothing && !self.turn(begun, &mut ending, &record).await? {
                return Ok(());
            }
            settle().await?;
            crash::point(Point::EpochSettled);
            if told == Ending::Commit {
                return Ok(());
            }
        }
    }

    /// Waits until there is something to commit, and long enough; since when there is. That the source passed
    /// on without an event is something too, now and then: it is told only what is recorded.
    async fn due(&self) -> Instant {
        while tokio::time::timeout(self.passing, self.ledger.begun()).await.is_err() {
            if self.ledger.has_passed() {
                return Instant::now();
            }
        }
        let begun = Instant::now();
        drop(tokio::time::timeout(self.config.linger, self.ledger.full()).await);
        begun
    }

    /// Closes the epoch and commits it; `false` if that is to be given up.
    async fn turn(
        &self,
        begun: Instant,
        ending: &mut watch::Receiver<Ending>,
        record: &impl Fn(&Closed) -> Result<Vec<Record>>,
    ) -> Result<bool> {
        self.ledger.close();
        let closed = tokio::select! {
            biased;
            _ = ending.wait_for(|told| *told == Ending::Abandon) => return Ok(false),
            closed = self.ledger.seal() => closed,
            () = tokio::time::sleep_until(begun + self.pace.patience()) => return Err(self.is_too_slow(begun)),
        };
        self.pace.learn(closed.done.len(), begun.elapsed());
        crash::point(Point::EpochSealed);
        let records = record(&closed)?;
        self.write(records).await?;
        crash::point(Point::EpochRecorded);
        let (kafka, timeout) = (Arc::clone(&self.kafka), self.config.timeout);
        let committed = tokio::task::spawn_blocking(move || {
            kafka.commit(timeout)?;
            crash::point(Point::EpochCommitted);
            kafka.begin()
        });
        committed.await.or_kind(Kind::Internal, "committing failed")??;
        self.letters.iter().for_each(|letters| letters.committed());
        self.ledger.open(closed);
        Ok(true)
    }

    /// The broker would give it up before it is done.
    fn is_too_slow(&self, begun: Instant) -> Error {
        let (done, before) = (self.ledger.done_in_epoch(), self.pace.events());
        self.pace.learn(done, begun.elapsed());
        let (after, timeout) = (self.pace.events(), self.config.timeout);
        let what = format!("a transaction of {before} events at most was not done in time, {done} of them were");
        Error::new(Kind::BrokerUnavailable, what).at("transactions.timeout", humantime::format_duration(timeout)).remedy(
            if after < before && !self.ledger.is_torn() {
                format!("none needed: nothing of it is visible, and the next ones take {after} events")
            } else {
                "raise transactions.timeout, or lower source.snapshot_chunk_rows; nothing of it is visible".to_owned()
            },
        )
    }

    /// Writes records into the transaction, and waits until they are there.
    async fn write(&self, records: Vec<Record>) -> Result<()> {
        for (key, value) in records {
            let (value, heard) = (value.to_string(), Arc::new(Heard::default()));
            let ticket = Arc::new(self.ledger.admit_record(value.len(), Arc::clone(&heard) as _));
            ticket.expect(1);
            let (kafka, topic) = (Arc::clone(&self.kafka), self.topic.clone());
            // The queue may be full.
            let sent = tokio::task::spawn_blocking(move || kafka.record(&topic, &key, &value, &ticket));
            sent.await.or_kind(Kind::Internal, "writing a record failed")??;
            if !heard.settled().await {
                return Err(Error::new(Kind::BrokerUnavailable, "the record of a transaction was not written")
                    .at("topic", &self.topic)
                    .remedy("none needed: nothing of it is visible, and its events are read again"));
            }
        }
        Ok(())
    }
}

/// What became of a record.
#[derive(Default)]
struct Heard {
    done: AtomicBool,
    settled: Notify,
}

impl Heard {
    async fn settled(&self) -> bool {
        self.settled.notified().await;
        self.done.load(Ordering::Acquire)
    }
}

impl Watcher for Heard {
    fn settled(&self, done: bool) {
        self.done.store(done, Ordering::Release);
        self.settled.notify_one();
    }
}
