//! What waits for messages under way, as in the accumulator of Kafka's own producer. An
//! idempotent librdkafka has one batch of a partition under way, and while another message
//! of it is older than `linger.ms`, its thread looks for the answer without a pause
//! (source: librdkafka 2.12, `rd_kafka_toppar_producer_serve`); that was a quarter of the
//! relay's time. So what comes while a batch is under way waits here: fewer batches, and
//! larger ones. A thread of its own hands them over, for librdkafka has room for what was
//! reported only when the one that hears the reports is back from it.

use super::handover::Outgoing;
use super::wave::{FEW, Offer, Wave};
use rdkafka::ClientConfig;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// librdkafka's default, where the configuration does not say (source: its
/// CONFIGURATION.md).
const LINGER_MS: f64 = 5.0;

/// Messages that waited, with their sizes.
type Batch = VecDeque<(Outgoing, usize)>;

/// See the module.
pub(super) struct Accumulator {
    wave: Mutex<Wave<Outgoing>>,
    /// Handed to librdkafka, or about to be, and not reported.
    under_way: AtomicUsize,
    /// Something is due, or the sink closes.
    due: Condvar,
    closing: Arc<AtomicBool>,
    /// Whether a message failed: nothing is to follow it.
    given_up: AtomicBool,
    /// Held while those that waited are handed over.
    turn: Mutex<()>,
}

impl Accumulator {
    /// For a producer with this configuration: messages wait for `hold` at most, and at
    /// most `budget` bytes of them.
    pub(super) fn new(client: &ClientConfig, hold: Duration, budget: usize, closing: Arc<AtomicBool>) -> Self {
        let linger = ["linger.ms", "queue.buffering.max.ms"].iter().find_map(|name| client.get(name)?.parse().ok());
        let linger = Duration::try_from_secs_f64(linger.unwrap_or(LINGER_MS) / 1000.0).unwrap_or_default();
        Self {
            wave: Mutex::new(Wave::new(linger, hold, budget)),
            under_way: AtomicUsize::new(0),
            due: Condvar::new(),
            closing,
            given_up: AtomicBool::new(false),
            turn: Mutex::default(),
        }
    }

    fn wave(&self) -> MutexGuard<'_, Wave<Outgoing>> {
        self.wave.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a message of that size; one that is to go now counts as under way.
    pub(super) fn offer(&self, message: Outgoing, bytes: usize) -> Offer<Outgoing> {
        let mut wave = self.wave();
        let offer = wave.offer(Instant::now(), self.under_way.load(Ordering::Acquire), message, bytes);
        match offer {
            Offer::Now(_) => _ = self.under_way.fetch_add(1, Ordering::AcqRel),
            // Whoever hands over has not counted the time yet.
            Offer::Waits if wave.waiting() == 1 => self.due.notify_one(),
            _ => {}
        }
        offer
    }

    /// A message goes without being asked for; it counts as under way.
    pub(super) fn joined(&self) {
        self.under_way.fetch_add(1, Ordering::AcqRel);
    }

    /// A message was reported, or was not handed over after all.
    pub(super) fn reported(&self) {
        let left = self.under_way.fetch_sub(1, Ordering::AcqRel).saturating_sub(1);
        // A message that waits because of this one is seen: it was put there under the lock.
        if left < FEW && self.wave().waiting() > 0 {
            self.due.notify_one();
        }
    }

    /// Waits until those that wait are to be handed over; they count as under way. The guard
    /// is to be held until then. `None` when the sink closes.
    pub(super) fn next(&self) -> Option<(Batch, MutexGuard<'_, ()>)> {
        let mut wave = self.wave();
        loop {
            if self.is_closing() {
                return None;
            }
            let now = Instant::now();
            wave = match wave.due_in(now, self.under_way.load(Ordering::Acquire)) {
                Some(Duration::ZERO) => {
                    let batch = wave.release(now);
                    self.under_way.fetch_add(batch.len(), Ordering::AcqRel);
                    return Some((batch, self.turn()));
                }
                Some(wait) => self.due.wait_timeout(wave, wait).unwrap_or_else(PoisonError::into_inner).0,
                None => self.due.wait(wave).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Those of [`Accumulator::next`] are handed over.
    pub(super) fn released(&self, bytes: usize) {
        self.wave().released(bytes);
    }

    // Nobody who has it waits for the wave, but for the one who has the wave now.
    fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// After `closing` was set: nothing is handed over any more.
    pub(super) fn stop(&self) {
        // Whoever looks at `closing` has the lock until it waits.
        drop(self.wave());
        self.due.notify_all();
        drop(self.turn());
    }

    /// Those that wait are given up with their tickets, and nothing is handed over any more.
    pub(super) fn give_up(&self) {
        // First, so that whoever finds nobody waiting knows.
        self.given_up.store(true, Ordering::Release);
        let given_up = self.wave().give_up();
        // Their tickets have locks of their own.
        drop(given_up);
    }

    /// Whether nothing is to be handed over any more: a message failed, or the sink closes.
    pub(super) fn is_over(&self) -> bool {
        self.given_up.load(Ordering::Acquire) || self.is_closing()
    }

    /// Whether messages are given up because we say so.
    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }
}
