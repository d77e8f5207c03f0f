//! Where events come from. A source hands events to the pipeline's [`Intake`]
//! and is told, in its own words, what became of them.

pub mod cdc;
pub mod file;
mod names;
pub mod outbox;
pub mod postgres;

pub use names::Names;

use crate::checkpoint::Ledger;
use crate::config::LANES;
use crate::error::Result;
use crate::event::{Event, TopicTemplate};
use crate::lane::{Task, Workers};
use std::sync::Arc;
use std::time::Duration;

/// FNV-1a, 64 bit, of the key, else of the entity (source: Fowler, Noll and Vo,
/// `draft-eastlake-fnv`). Frozen: changing it would move keys between lanes.
#[must_use]
pub fn lane_of(event: &Event) -> usize {
    let bytes = event.key.as_deref().unwrap_or(event.entity.as_bytes());
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3));
    usize::try_from(hash % LANES as u64).unwrap_or(0)
}

/// What a source hands its events to: admission within the budget, then the
/// event's lane.
pub struct Intake<'a> {
    ledger: &'a Arc<Ledger>,
    workers: &'a Workers,
    names: Names<'a>,
    /// Admitted, and not handed over yet.
    pending: Vec<(usize, Task)>,
    hand_over: usize,
}

impl<'a> Intake<'a> {
    /// An intake of one session, which hands over `hand_over` events at a time at most.
    pub fn new(ledger: &'a Arc<Ledger>, workers: &'a Workers, topic: &'a TopicTemplate, hand_over: usize) -> Self {
        Self { ledger, workers, names: Names::new(topic), pending: Vec::new(), hand_over }
    }

    /// The names that its events share.
    pub fn names(&mut self) -> &mut Names<'a> {
        &mut self.names
    }

    /// Takes the event if there is room, and gives it back otherwise.
    #[expect(clippy::result_large_err, reason = "the error is the event itself, moved back")]
    pub fn try_admit(&mut self, lane: usize, event: Event) -> Result<(), Event> {
        match self.ledger.try_admit(event.position, event.footprint(), &event.id) {
            Some(ticket) => {
                self.pending.push((lane, Task::Event(event, ticket)));
                if self.pending.len() >= self.hand_over {
                    self.hand_over();
                }
                Ok(())
            }
            None => Err(event),
        }
    }

    /// Whether something was admitted and not handed over.
    #[must_use]
    pub fn holds_back(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Hands over what was admitted. To be called whenever the source pauses:
    /// what is not handed over makes no progress.
    pub fn hand_over(&mut self) {
        if !self.pending.is_empty() {
            self.workers.push_all(&mut self.pending);
        }
    }

    /// Waits at most `patience` for room; `Err` gives the event back.
    pub async fn admit_within(&mut self, lane: usize, mut event: Event, patience: Duration) -> Result<(), Event> {
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            match self.try_admit(lane, event) {
                Ok(()) => return Ok(()),
                Err(back) => event = back,
            }
            // Room comes only from what is handed over.
            self.hand_over();
            if tokio::time::timeout_at(deadline, self.ledger.room()).await.is_err() {
                return self.try_admit(lane, event);
            }
        }
    }

    /// Waits for room as long as it takes.
    pub async fn admit(&mut self, lane: usize, mut event: Event) {
        while let Err(back) = self.try_admit(lane, event) {
            event = back;
            self.hand_over();
            self.ledger.room().await;
        }
    }

    /// Waits until there is room again.
    pub async fn room(&self) {
        self.ledger.room().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::read_line;

    #[test]
    fn the_hash_is_frozen() {
        let lanes: Vec<_> = ["a", "b", "customer-1", ""]
            .iter()
            .map(|key| lane_of(&read_line(&format!(r#"{{"entity":"x","key":"{key}"}}"#), 1).expect("reads")))
            .collect();
        assert_eq!(lanes, [12, 37, 23, 37]);
    }
}
