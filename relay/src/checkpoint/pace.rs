//! How many events one transaction takes: as many as may be, and fewer where transforms
//! are so slow that it would not be done in time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Share of the time that a transaction has, of which it aims to take less: the next one
/// may be slower.
const AIM: u32 = 4;

/// From this share on fewer than may be are given up on, and their number is doubled.
const EASY: u32 = 16;

/// See the module. One a pipeline, over all its sessions.
#[derive(Debug)]
pub struct Pace {
    most: usize,
    events: AtomicUsize,
    time: Duration,
}

impl Pace {
    /// At most so many events in so much time.
    #[must_use]
    pub fn new(most: usize, time: Duration) -> Self {
        Self { most: most.max(1), events: AtomicUsize::new(most.max(1)), time }
    }

    /// How many events the next transaction takes.
    #[must_use]
    pub fn events(&self) -> usize {
        self.events.load(Ordering::Acquire)
    }

    /// After this, one that is not done never will be: committing takes time too.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.time * 3 / 4
    }

    /// So many events of one were done in that time.
    pub fn learn(&self, done: usize, took: Duration) {
        let events = self.events();
        if took * AIM > self.time {
            let aimed = (self.time / AIM).as_secs_f64() / took.as_secs_f64() * done as f64;
            // Never more than before, however it was measured.
            self.events.store((aimed as usize).clamp(1, events), Ordering::Release);
            tracing::debug!(done, ?took, events = self.events(), "transactions take fewer events");
        } else if events < self.most && took * EASY < self.time {
            self.events.store(events.saturating_mul(2).min(self.most), Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_that_is_too_slow_is_followed_by_one_that_is_not() {
        let pace = Pace::new(10_000, Duration::from_secs(60));
        assert_eq!(pace.events(), 10_000);
        // 45 s passed, 450 of them were done: 10 events a second.
        pace.learn(450, pace.patience());
        assert_eq!(pace.events(), 150);
        pace.learn(150, Duration::from_secs(15));
        assert_eq!(pace.events(), 150, "within its aim");
        pace.learn(0, Duration::from_secs(45));
        assert_eq!(pace.events(), 1, "one at least");
    }

    #[test]
    fn it_grows_again_where_it_is_easy() {
        let pace = Pace::new(1000, Duration::from_secs(60));
        pace.learn(100, Duration::from_secs(60));
        assert_eq!(pace.events(), 25);
        (0..10).for_each(|_| pace.learn(10, Duration::from_millis(5)));
        assert_eq!(pace.events(), 1000);
        pace.learn(5000, Duration::from_secs(16));
        assert_eq!(pace.events(), 1000, "what belongs together may be more");
    }
}
