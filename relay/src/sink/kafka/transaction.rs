//! Transactions: what is published in one is seen by a reader of committed messages as a
//! whole, or not at all (source: KIP-98).

use super::{Kafka, context};
use crate::checkpoint::Ticket;
use crate::error::{Error, Kind, Result};
use crate::event::Shared;
use rdkafka::error::KafkaError;
use rdkafka::producer::Producer as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// For what somebody else does if it does not succeed.
const PATIENCE: Duration = Duration::from_secs(2);

/// Between two tries of a request that may be tried again.
const AGAIN: Duration = Duration::from_millis(20);

/// The transactions of one owner.
#[derive(Clone, Debug)]
pub struct Transactional {
    /// Whoever begins with this id fences the one before.
    pub id: String,
    /// How long one may take.
    pub timeout: Duration,
}

impl Kafka {
    /// Fences whoever used the id before, and finishes what it left open. Blocks.
    ///
    /// # Errors
    /// `BrokerUnavailable`, `BrokerUnusable`.
    pub(super) fn fence(&self, timeout: Duration) -> Result<()> {
        let fenced = self.retry(timeout, || self.producer.init_transactions(timeout));
        fenced.map_err(|e| e.at("doing", "fencing the relay before"))
    }

    /// Begins one; what is published from now on belongs to it.
    ///
    /// # Errors
    /// As [`Kafka::commit`].
    pub fn begin(&self) -> Result<()> {
        self.producer.begin_transaction().map_err(|e| self.failed(&e))
    }

    /// Writes a record beside the messages, acknowledged by its ticket.
    ///
    /// # Errors
    /// As [`crate::sink::Sink::publish`].
    pub fn record(&self, topic: &str, key: &str, value: &str, ticket: &Arc<Ticket>) -> Result<()> {
        self.put(&Shared::from(topic), key.as_bytes(), Some(value.as_bytes()), ticket)
    }

    /// Commits it; to be called when nothing is in flight. Blocks.
    ///
    /// # Errors
    /// `BrokerUnavailable` if it was given up, or another relay is the owner by now: its
    /// events come again.
    pub fn commit(&self, timeout: Duration) -> Result<()> {
        self.retry(timeout, || self.producer.commit_transaction(timeout))
    }

    /// Gives it up: nobody sees anything of it. Blocks, not long.
    pub fn abort(&self) {
        if let Err(error) = self.retry(PATIENCE, || self.producer.abort_transaction(PATIENCE)) {
            // The next owner, or the broker's timeout, does it.
            tracing::debug!(%error, "the transaction was not given up in order");
        }
    }

    fn retry(&self, timeout: Duration, mut call: impl FnMut() -> Result<(), KafkaError>) -> Result<()> {
        let deadline = Instant::now() + timeout;
        loop {
            // Delivery reports would hold it up; the poll thread may have ended.
            self.producer.poll(Duration::ZERO);
            match call() {
                Ok(()) => return Ok(()),
                Err(KafkaError::Transaction(error)) if error.is_retriable() && Instant::now() < deadline => {
                    tracing::debug!(error = error.string(), "a transaction's request is tried again");
                    std::thread::park_timeout(AGAIN);
                }
                Err(error) => return Err(self.failed(&error)),
            }
        }
    }

    fn failed(&self, error: &KafkaError) -> Error {
        if let Some(cause) = self.producer.context().cause() {
            return context::refusal(&cause, "", -1).at("doing", "a transaction");
        }
        let what = match error {
            KafkaError::Transaction(error) => format!("the transaction failed: {}", error.string()),
            other => format!("the transaction failed: {other}"),
        };
        let denied = matches!(error, KafkaError::Transaction(e) if e.name().contains("AUTHORIZATION"));
        let kind = if denied { Kind::BrokerUnusable } else { Kind::BrokerUnavailable };
        Error::new(kind, what).remedy(if denied {
            "grant this user WRITE and DESCRIBE on the transactional id"
        } else {
            "none needed: nothing of it is visible, and its events are read again"
        })
    }
}
