//! Epochs: under exactly-once, what is published in one transaction. The source's events
//! up to a point are in it and none beyond; they count as done once it is committed.

use super::Pace;
use super::ledger::{Ledger, State, Ticket, Watcher};
use super::window::Head;
use crate::event::{Position, Shared};
use std::sync::{Arc, MutexGuard};
use tokio::sync::{Notify, watch};

/// What one transaction may hold, and who waits for it.
#[derive(Debug)]
pub struct Gate {
    pace: Arc<Pace>,
    max_bytes: usize,
    /// Something was entered.
    begun: Notify,
    /// More would have been entered.
    full: Notify,
    open: watch::Sender<bool>,
    /// Epochs that were committed.
    commits: watch::Sender<u64>,
}

impl Gate {
    /// For so much a transaction; one event larger than that has one of its own.
    #[must_use]
    pub fn new(pace: Arc<Pace>, max_bytes: usize) -> Self {
        Self { pace, max_bytes, begun: Notify::new(), full: Notify::new(), open: watch::Sender::new(true), commits: watch::Sender::new(0) }
    }
}

/// The epoch that is open, and what the ones before it left.
#[derive(Debug, Default)]
pub(super) struct Epoch {
    /// No event of the source is entered.
    closed: bool,
    /// Nor anything else: it is being committed.
    sealed: bool,
    /// What is entered now belongs together.
    together: bool,
    /// Something was not entered because it is full.
    refused: bool,
    events: usize,
    bytes: usize,
    /// Published in it.
    pub(super) done: Vec<(Position, Shared)>,
    /// Committed, and not taken yet.
    released: Vec<Position>,
    head: Option<Head>,
}

impl Epoch {
    /// Enters an event, if it may.
    pub(super) fn enter(&mut self, gate: &Gate, bytes: usize) -> bool {
        let full = self.events >= gate.pace.events() || (self.bytes + bytes > gate.max_bytes && self.events > 0);
        if full && !self.closed {
            self.refused = true;
            gate.full.notify_one();
        }
        // What belongs together may still enter one that is closed, and nothing one that is sealed.
        if self.sealed || ((self.closed || full) && !self.together) {
            return false;
        }
        self.events += 1;
        self.bytes += bytes;
        gate.begun.notify_one();
        true
    }

    /// It was not entered after all.
    pub(super) fn leave(&mut self, bytes: usize) {
        self.events = self.events.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    pub(super) fn released(&mut self) -> (Vec<Position>, Option<Head>) {
        (std::mem::take(&mut self.released), self.head)
    }
}

/// What a closed epoch published, for the record in its transaction.
#[derive(Clone, Debug, Default)]
pub struct Closed {
    /// Each event of the source, and its id.
    pub done: Vec<(Position, Shared)>,
    /// How far, in source order, everything is done.
    pub head: Option<Head>,
}

impl Ledger {
    /// Waits until something belongs to the open epoch.
    pub async fn begun(&self) {
        if let Some(gate) = &self.gate {
            while self.state().epoch.events == 0 {
                gate.begun.notified().await;
            }
        }
    }

    /// Waits until more would belong to it than may.
    pub async fn full(&self) {
        let Some(gate) = &self.gate else { return std::future::pending().await };
        while !self.state().epoch.refused {
            gate.full.notified().await;
        }
    }

    /// Has what is entered from now on be of one epoch, however full that is, until this is
    /// taken back: what is remembered of it is remembered as a whole.
    pub fn keep_together(&self, together: bool) {
        if self.gate.is_some() {
            self.state().epoch.together = together;
            self.settled.notify_one();
        }
    }

    /// Whether something was not entered as a whole.
    #[must_use]
    pub fn is_torn(&self) -> bool {
        self.state().epoch.together
    }

    /// Lets no event in until [`Ledger::open`]; what is under way may still need something
    /// that is none.
    pub fn close(&self) {
        self.state().epoch.closed = true;
    }

    /// Waits until nothing of the closed epoch is in flight; from then on nothing is.
    /// What it published. For ever, if an event of it failed or was given up: then some of
    /// what is behind that may be published, which no record can say.
    pub async fn seal(&self) -> Closed {
        loop {
            if let Some(closed) = self.try_seal() {
                return closed;
            }
            self.settled.notified().await;
        }
    }

    fn try_seal(&self) -> Option<Closed> {
        let mut state = self.state();
        if !state.is_whole() || state.epoch.together {
            return None;
        }
        state.epoch.sealed = true;
        self.say_open(false);
        Some(Closed { done: std::mem::take(&mut state.epoch.done), head: state.window.head() })
    }

    fn say_open(&self, open: bool) {
        if let Some(gate) = &self.gate {
            gate.open.send_replace(open);
        }
    }

    /// Whether there are epochs.
    #[must_use]
    pub fn is_gated(&self) -> bool {
        self.gate.is_some()
    }

    /// How many were committed.
    pub fn commits(&self) -> Option<watch::Receiver<u64>> {
        self.gate.as_ref().map(|gate| gate.commits.subscribe())
    }

    /// Whether something belongs to the open epoch.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.state().epoch.events > 0
    }

    /// Events of the source that are done in the epoch so far.
    #[must_use]
    pub fn done_in_epoch(&self) -> usize {
        self.state().epoch.done.len()
    }

    /// It is committed: its events are done, and the next epoch begins.
    pub fn open(&self, committed: Closed) {
        let mut state = self.state();
        state.epoch.released.extend(committed.done.into_iter().map(|(position, _)| position));
        state.epoch.head = committed.head;
        let Epoch { released, head, together, .. } = std::mem::take(&mut state.epoch);
        state.epoch = Epoch { released, head, together, ..Epoch::default() };
        drop(state);
        if let Some(gate) = &self.gate {
            gate.commits.send_modify(|commits| *commits += 1);
        }
        self.say_open(true);
        self.done.notify_one();
        self.room.notify_one();
    }

    /// Whether the source was passed beyond what was committed last, without an event.
    #[must_use]
    pub fn has_passed(&self) -> bool {
        let state = self.state();
        state.epoch.events == 0 && state.window.head() > state.epoch.head
    }

    /// Enters what is no event of the source, whether or not there is room, once nothing
    /// is being committed; `watcher` hears what became of it.
    pub async fn admit_aside(self: &Arc<Self>, position: Position, bytes: usize, watcher: Arc<dyn Watcher>) -> Ticket {
        loop {
            if let Some(state) = self.state_if_open(bytes) {
                return self.enter_aside(state, position, bytes, watcher);
            }
            if let Some(gate) = &self.gate {
                // It lives as long as this ledger.
                drop(gate.open.subscribe().wait_for(|open| *open).await);
            }
        }
    }

    fn state_if_open(&self, bytes: usize) -> Option<MutexGuard<'_, State>> {
        let mut state = self.state();
        if let Some(gate) = &self.gate {
            if state.epoch.sealed {
                return None;
            }
            state.epoch.events += 1;
            state.epoch.bytes += bytes;
            gate.begun.notify_one();
        }
        Some(state)
    }

    /// Enters the record of an epoch that is being committed.
    pub fn admit_record(self: &Arc<Self>, bytes: usize, watcher: Arc<dyn Watcher>) -> Ticket {
        self.enter_aside(self.state(), Position::default(), bytes, watcher)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(n: u64) -> Position {
        Position { commit: n, index: 0 }
    }

    fn gate(events: usize, bytes: usize) -> Gate {
        Gate::new(Arc::new(Pace::new(events, Duration::from_secs(60))), bytes)
    }

    fn publish(ledger: &Arc<Ledger>, n: u64) -> bool {
        let Some(ticket) = ledger.try_admit(at(n), 10, &"id".into()) else { return false };
        ticket.expect(0);
        true
    }

    #[tokio::test]
    async fn nothing_is_done_before_it_is_committed() {
        let ledger = Ledger::with_gate(100, 1000, Some(gate(2, 1000)));
        assert!(publish(&ledger, 1) && publish(&ledger, 2));
        assert!(!publish(&ledger, 3), "it is full");
        assert_eq!(ledger.take_done(), (vec![], None));
        ledger.close();
        let closed = ledger.seal().await;
        assert_eq!(closed.done.len(), 2);
        assert!(!publish(&ledger, 3), "it is closed");
        ledger.open(closed);
        assert_eq!(ledger.take_done(), (vec![at(1), at(2)], Some(Head { position: at(2), event: true })));
        assert!(publish(&ledger, 3));
        assert_eq!(ledger.take_done().0, vec![]);
    }

    #[test]
    fn a_large_event_has_an_epoch_of_its_own() {
        let ledger = Ledger::with_gate(100, 1000, Some(gate(10, 5)));
        assert!(publish(&ledger, 1) && !publish(&ledger, 2));
    }

    #[tokio::test]
    async fn what_is_only_passed_is_told_once_it_is_recorded() {
        let ledger = Ledger::with_gate(100, 1000, Some(gate(10, 1000)));
        assert!(!ledger.has_passed());
        ledger.pass(at(7));
        assert!(ledger.has_passed() && ledger.take_done().1.is_none());
        ledger.close();
        let closed = ledger.seal().await;
        ledger.open(closed);
        assert_eq!(ledger.take_done().1, Some(Head { position: at(7), event: false }));
        assert!(!ledger.has_passed());
    }

    #[tokio::test]
    async fn what_belongs_together_is_of_one_epoch() {
        let ledger = Ledger::with_gate(100, 1000, Some(gate(2, 1000)));
        ledger.keep_together(true);
        assert!((1..=5).all(|n| publish(&ledger, n)), "more than it may hold");
        ledger.close();
        assert!(publish(&ledger, 6));
        assert!(futures_util::FutureExt::now_or_never(ledger.seal()).is_none(), "it is torn");
        ledger.keep_together(false);
        let closed = ledger.seal().await;
        assert_eq!(closed.done.len(), 6);
        // The next begins while this one is committed.
        ledger.keep_together(true);
        assert!(!publish(&ledger, 7), "nothing enters what is sealed");
        ledger.open(closed);
        assert!((7..=12).all(|n| publish(&ledger, n)));
        assert!(ledger.is_torn());
    }

    #[tokio::test]
    async fn an_epoch_with_an_event_that_failed_is_never_committed() {
        let ledger = Ledger::with_gate(100, 1000, Some(gate(10, 1000)));
        let given_up = ledger.try_admit(at(1), 10, &"id".into()).expect("room");
        assert!(publish(&ledger, 2));
        drop(given_up);
        ledger.close();
        assert!(futures_util::FutureExt::now_or_never(ledger.seal()).is_none());
    }
}
