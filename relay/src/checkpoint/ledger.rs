//! The ledger of one session: admits events within a byte budget, hands out
//! tickets, and collects what they say in the end.

use super::epoch::{Epoch, Gate};
use super::window::{Head, Slot, Window};
use crate::error::{Error, Kind, Policy};
use crate::event::{Position, Shared};
use crate::metrics::{EVENTS, IN_FLIGHT, MESSAGES};
use metrics::{Counter, Gauge, counter, gauge};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// A source that waits for room goes on when this part of the budget is free.
const ROOM: usize = 8;

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) window: Window,
    /// Done since the last `take_done`.
    done: Vec<Position>,
    /// Under exactly-once, what belongs to the transaction that is open.
    pub(super) epoch: Epoch,
    events: usize,
    bytes: usize,
    completed: u64,
    messages: u64,
    abandoned: u64,
    failure: Option<Error>,
    /// Whether the source is to wait, although there is room.
    paused: bool,
}

impl State {
    /// Whether nothing is in flight, and everything that was is done.
    pub(super) fn is_whole(&self) -> bool {
        self.events == 0 && self.abandoned == 0 && self.failure.is_none()
    }
}

/// See the module. One a session; never reused after a failure.
#[derive(Debug)]
pub struct Ledger {
    state: Mutex<State>,
    /// Under exactly-once, how much one transaction may hold.
    pub(super) gate: Option<Gate>,
    max_events: usize,
    max_bytes: usize,
    /// One permit each; a single task waits on each.
    pub(super) done: Notify,
    pub(super) room: Notify,
    idle: Notify,
    /// As `idle`, for the one who commits.
    pub(super) settled: Notify,
    failed: Notify,
    meters: Meters,
}

/// The numbers that outlive the session.
struct Meters {
    events: Counter,
    messages: Counter,
    in_flight: Gauge,
}

impl std::fmt::Debug for Meters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Meters")
    }
}

/// A look at the numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// Events admitted and not settled.
    pub in_flight: usize,
    /// Their bytes.
    pub bytes: usize,
    /// Events done.
    pub completed: u64,
    /// Messages acknowledged by the sink.
    pub messages: u64,
    /// Events given up; they come again.
    pub abandoned: u64,
}

impl Ledger {
    /// A ledger that admits at most this much at a time.
    #[must_use]
    pub fn new(max_events: usize, max_bytes: usize) -> Arc<Self> {
        Self::with_gate(max_events, max_bytes, None)
    }

    /// With a gate, nothing counts as done before [`Ledger::open`] says so.
    #[must_use]
    pub fn with_gate(max_events: usize, max_bytes: usize, gate: Option<Gate>) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            gate,
            max_events,
            max_bytes,
            done: Notify::new(),
            room: Notify::new(),
            idle: Notify::new(),
            settled: Notify::new(),
            failed: Notify::new(),
            meters: Meters { events: counter!(EVENTS), messages: counter!(MESSAGES), in_flight: gauge!(IN_FLIGHT) },
        })
    }

    // A panic elsewhere leaves plain numbers behind, so a poisoned lock is usable.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters an event if there is room. One larger than the whole budget is
    /// let in alone, so that it cannot deadlock.
    pub fn try_admit(self: &Arc<Self>, position: Position, bytes: usize, id: &Shared) -> Option<Ticket> {
        let mut state = self.state();
        if state.paused {
            return None;
        }
        if let Some(gate) = &self.gate
            && !state.epoch.enter(gate, bytes)
        {
            return None;
        }
        let fits = state.events < self.max_events && state.bytes + bytes <= self.max_bytes;
        if !fits && state.events > 0 {
            state.epoch.leave(bytes);
            return None;
        }
        state.events += 1;
        state.bytes += bytes;
        let slot = state.window.admit(position);
        drop(state);
        let id = self.gate.as_ref().map(|_| Arc::clone(id));
        Some(self.ticket(Origin::Source(slot, id), position, bytes))
    }

    /// Enters what is no event of the source, whether or not there is room and the gate
    /// is open; `watcher` hears what became of it.
    pub(super) fn enter_aside(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, State>,
        position: Position,
        bytes: usize,
        watcher: Arc<dyn Watcher>,
    ) -> Ticket {
        state.events += 1;
        state.bytes += bytes;
        drop(state);
        self.ticket(Origin::Aside(watcher), position, bytes)
    }

    fn ticket(self: &Arc<Self>, origin: Origin, position: Position, bytes: usize) -> Ticket {
        self.meters.in_flight.increment(1);
        Ticket { ledger: Arc::clone(self), origin, position, bytes, expected: AtomicU32::new(u32::MAX), acked: AtomicU32::new(0) }
    }

    /// Enters a position that is done as soon as everything before it is: the
    /// end of a transaction, or of a stretch of log without events.
    pub fn pass(&self, position: Position) {
        self.state().window.pass(position);
    }

    /// Has the source wait, or go on.
    pub fn pause(&self, paused: bool) {
        let before = std::mem::replace(&mut self.state().paused, paused);
        if before && !paused {
            self.room.notify_one();
        }
    }

    /// Waits until there is room again: an eighth of the budget, or nothing in flight.
    pub async fn room(&self) {
        self.room.notified().await;
    }

    /// Waits until something is done or the ledger failed.
    pub async fn done(&self) {
        self.done.notified().await;
    }

    /// Takes the positions done since the last call and the window's head.
    pub fn take_done(&self) -> (Vec<Position>, Option<Head>) {
        let mut state = self.state();
        if self.gate.is_some() {
            return state.epoch.released();
        }
        let done = std::mem::take(&mut state.done);
        (done, state.window.head())
    }

    /// Waits until every admitted event is done or given up.
    pub async fn idle(&self) {
        while self.state().events > 0 {
            self.idle.notified().await;
        }
    }

    /// Records the failure that ends the session. The first one wins, but one
    /// that halts the relay wins over one that passes by itself: after a fatal
    /// error of the producer, the cause may be reported after its consequences.
    pub fn fail(&self, error: Error) {
        let halts = |e: &Error| e.kind().policy().1 != Policy::Retry;
        let mut state = self.state();
        if state.failure.as_ref().is_none_or(|known| halts(&error) && !halts(known)) {
            state.failure = Some(error);
        }
        drop(state);
        self.failed.notify_one();
    }

    /// Waits for a failure.
    pub async fn failed(&self) {
        while !self.has_failed() {
            self.failed.notified().await;
        }
    }

    /// Whether a failure was recorded.
    pub fn has_failed(&self) -> bool {
        self.state().failure.is_some()
    }

    /// Takes the failure.
    pub fn take_failure(&self) -> Option<Error> {
        self.state().failure.take()
    }

    /// The numbers now.
    pub fn progress(&self) -> Progress {
        let s = self.state();
        Progress { in_flight: s.events, bytes: s.bytes, completed: s.completed, messages: s.messages, abandoned: s.abandoned }
    }

    fn settle(&self, ticket: &Ticket, messages: Option<u32>) {
        let mut state = self.state();
        state.events -= 1;
        state.bytes -= ticket.bytes;
        let idle = state.events == 0;
        // A source that waits is woken for many events, not for each.
        let room =
            idle || (state.events <= self.max_events - self.max_events / ROOM && state.bytes <= self.max_bytes - self.max_bytes / ROOM);
        match (&ticket.origin, messages) {
            (Origin::Source(slot, id), Some(n)) => {
                state.window.complete(*slot);
                match id {
                    Some(id) => state.epoch.done.push((ticket.position, Arc::clone(id))),
                    None => state.done.push(ticket.position),
                }
                state.completed += 1;
                state.messages += u64::from(n);
            }
            (Origin::Source(..), None) => state.abandoned += 1,
            (Origin::Aside(_), _) => {}
        }
        drop(state);
        if let Origin::Aside(watcher) = &ticket.origin {
            watcher.settled(messages.is_some());
        }
        self.meters.in_flight.decrement(1);
        if let (Origin::Source(..), Some(n)) = (&ticket.origin, messages) {
            self.meters.events.increment(1);
            self.meters.messages.increment(u64::from(n));
        }
        self.done.notify_one();
        if room {
            self.room.notify_one();
        }
        if idle {
            self.settled.notify_one();
            self.idle.notify_one();
        }
    }
}

/// Hears what became of something that is no event of the source.
pub trait Watcher: Send + Sync + 'static {
    /// It is durable, or was given up.
    fn settled(&self, done: bool);
}

/// Where a ticket's event came from.
enum Origin {
    /// Its id too, where it is recorded.
    Source(Slot, Option<Shared>),
    Aside(Arc<dyn Watcher>),
}

impl std::fmt::Debug for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if matches!(self, Self::Source(..)) { "Source" } else { "Aside" })
    }
}

/// One admitted event on its way. Shared by all its messages; when the last
/// holder drops it, the event is done if every message was acknowledged, and
/// otherwise given up: a forgotten ticket is a failure, never a success.
#[derive(Debug)]
pub struct Ticket {
    ledger: Arc<Ledger>,
    origin: Origin,
    position: Position,
    bytes: usize,
    expected: AtomicU32,
    acked: AtomicU32,
}

impl Ticket {
    /// Says how many acknowledgements make the event done; to be called once,
    /// before the first message is handed over. 0 is an event that is done
    /// without a message.
    pub fn expect(&self, messages: u32) {
        self.expected.store(messages, Ordering::Release);
    }

    /// One message of the event is durable.
    pub fn acknowledge(&self) {
        self.acked.fetch_add(1, Ordering::AcqRel);
    }

    /// The event cannot be done, for this reason; ends the session.
    pub fn fail(&self, error: Error) {
        self.ledger.fail(error);
    }

    /// Place of the event in its source.
    #[must_use]
    pub fn position(&self) -> Position {
        self.position
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let (expected, acked) = (*self.expected.get_mut(), *self.acked.get_mut());
        if std::thread::panicking() {
            self.ledger.fail(Error::new(Kind::Internal, "a worker panicked").at("position", self.position));
        }
        if acked > expected {
            self.ledger.fail(Error::new(Kind::Internal, "more acknowledgements than messages").at("position", self.position));
        }
        self.ledger.settle(self, (acked == expected).then_some(acked));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(n: u64) -> Position {
        Position { commit: n, index: 0 }
    }

    fn admit(ledger: &Arc<Ledger>, n: u64, bytes: usize) -> Option<Ticket> {
        ledger.try_admit(at(n), bytes, &"id".into())
    }

    #[test]
    fn a_dropped_ticket_is_never_a_success() {
        let ledger = Ledger::new(10, 1000);
        let forgotten = admit(&ledger, 1, 10).expect("room");
        let half = admit(&ledger, 2, 10).expect("room");
        half.expect(2);
        half.acknowledge();
        let none = admit(&ledger, 3, 10).expect("room");
        none.expect(0);
        drop((forgotten, half, none));
        let (done, head) = ledger.take_done();
        assert_eq!((done, head), (vec![at(3)], None));
        assert_eq!(ledger.progress().abandoned, 2);
    }

    #[test]
    fn the_budget_is_in_bytes_and_clamps_an_oversized_event() {
        let ledger = Ledger::new(10, 100);
        let big = admit(&ledger, 1, 5000).expect("alone it passes");
        assert!(admit(&ledger, 2, 1).is_none());
        big.expect(0);
        drop(big);
        let _a = admit(&ledger, 2, 60).expect("room");
        assert!(admit(&ledger, 3, 60).is_none());
        let _b = admit(&ledger, 3, 40).expect("room");
    }

    #[test]
    fn the_number_of_events_is_bounded_too() {
        let ledger = Ledger::new(1, 1000);
        let _a = admit(&ledger, 1, 1).expect("room");
        assert!(admit(&ledger, 2, 1).is_none());
    }
}
