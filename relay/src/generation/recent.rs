//! The last batches of real events, for a new generation to be tried on.

use crate::event::Event;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Between two batches that are kept. A hundred batches a second of 256 events
/// are as good a sample as all of them, and cost the lanes nothing.
const INTERVAL: Duration = Duration::from_millis(10);

/// Bounded by bytes, which the events share with those in flight while these are.
#[derive(Debug)]
pub struct Recent {
    budget: usize,
    started: Instant,
    /// Milliseconds from the start at which the next batch is taken.
    due: AtomicU64,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    batches: VecDeque<Vec<Event>>,
    bytes: usize,
}

impl Recent {
    /// Keeps at most `budget` bytes, and none if that is 0.
    #[must_use]
    pub fn new(budget: usize) -> Self {
        Self { budget, started: Instant::now(), due: AtomicU64::new(0), kept: Mutex::default() }
    }

    /// Keeps a batch if one is due; the oldest make room.
    pub fn offer(&self, batch: &[Event]) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let due = self.due.load(Ordering::Relaxed);
        let next = now.saturating_add(u64::try_from(INTERVAL.as_millis()).unwrap_or(u64::MAX));
        if now < due || self.due.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return;
        }
        let bytes = footprint(batch);
        if bytes > self.budget {
            return;
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        while kept.bytes + bytes > self.budget {
            let Some(oldest) = kept.batches.pop_front() else { break };
            kept.bytes -= footprint(&oldest);
        }
        kept.bytes += bytes;
        kept.batches.push_back(batch.to_vec());
    }

    /// What is kept, the oldest batch first.
    #[must_use]
    pub fn batches(&self) -> Vec<Vec<Event>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).batches.iter().cloned().collect()
    }
}

fn footprint(batch: &[Event]) -> usize {
    batch.iter().map(Event::footprint).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::fixture::event;

    #[test]
    fn the_newest_within_the_budget() {
        let one = event(1).footprint();
        let recent = Recent::new(3 * one);
        for n in 0..5 {
            recent.due.store(0, Ordering::Relaxed);
            recent.offer(&[event(n)]);
        }
        let kept: Vec<_> = recent.batches().into_iter().flatten().map(|e| e.position.commit).collect();
        assert_eq!(kept, [2, 3, 4]);
        // Not due, and too large for the budget.
        recent.offer(&[event(9)]);
        recent.due.store(0, Ordering::Relaxed);
        recent.offer(&[event(6), event(7), event(8), event(9)]);
        assert_eq!(recent.batches().len(), 3);
    }
}
