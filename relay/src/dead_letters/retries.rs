//! When letters that failed are tried again by themselves: a bounded number of times, with
//! a backoff of their own, while their keys are held back and all others flow.

use crate::config::DeadLetters;
use backon::{BackoffBuilder as _, ExponentialBuilder};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use uuid::Uuid;

/// See the module. Which letter is due when.
#[derive(Debug, Default)]
pub(super) struct Retries {
    due: Mutex<BTreeSet<(Instant, Arc<str>)>>,
    earlier: Notify,
}

impl Retries {
    fn due(&self) -> MutexGuard<'_, BTreeSet<(Instant, Arc<str>)>> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A letter failed for so many times.
    pub(super) fn plan(&self, config: &DeadLetters, id: &Arc<str>, attempts: u32) {
        if let Some(delay) = delay(config, attempts) {
            self.due().insert((Instant::now() + delay, Arc::clone(id)));
            self.earlier.notify_one();
        }
    }

    /// Waits for the next ones, for they are read together; for one task. They are not due
    /// any more then.
    pub(super) async fn next(&self) -> Vec<Arc<str>> {
        loop {
            let first = self.due().first().map(|(at, _)| *at);
            let Some(at) = first else {
                self.earlier.notified().await;
                continue;
            };
            tokio::select! {
                () = tokio::time::sleep_until(at) => {}
                () = self.earlier.notified() => continue,
            }
            let (mut due, now) = (self.due(), Instant::now());
            let later = due.split_off(&(now, Arc::from("")));
            return std::mem::replace(&mut *due, later).into_iter().map(|(_, id)| id).collect();
        }
    }
}

/// How long after so many attempts the next one follows, if one does.
fn delay(config: &DeadLetters, attempts: u32) -> Option<Duration> {
    if attempts == 0 || attempts > config.retries {
        return None;
    }
    let backoff = ExponentialBuilder::new()
        .with_min_delay(config.retry_min)
        .with_max_delay(config.retry_max)
        .with_jitter()
        // Its own seed is a constant: letters of one moment would be tried in step.
        .with_jitter_seed(Uuid::new_v4().as_u64_pair().0)
        .without_max_times();
    backoff.build().nth(attempts as usize - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_are_bounded_and_slow_down() {
        let (retry_min, retry_max) = (Duration::from_secs(1), Duration::from_secs(5));
        let config = DeadLetters { retries: 4, retry_min, retry_max, ..DeadLetters::default() };
        let delays: Vec<_> = (0..=5).map(|attempts| delay(&config, attempts)).collect();
        assert_eq!((delays[0], delays[5]), (None, None));
        let secs: Vec<f64> = delays[1..5].iter().map(|delay| delay.expect("a retry").as_secs_f64()).collect();
        // The jitter adds up to the delay itself.
        for (delay, least) in secs.iter().zip([1.0, 2.0, 4.0, 5.0]) {
            assert!((least..=2.0 * least).contains(delay), "{secs:?}");
        }
        assert_eq!(delay(&DeadLetters::default(), 1), None, "unless it is asked for");
    }

    #[tokio::test]
    async fn the_first_that_is_due_comes_first() {
        let config = DeadLetters { retries: 9, retry_min: Duration::from_millis(20), ..DeadLetters::default() };
        let retries = Arc::new(Retries::default());
        retries.plan(&config, &Arc::from("late"), 5);
        let waiting = tokio::spawn({
            let retries = Arc::clone(&retries);
            async move { (retries.next().await, retries.next().await) }
        });
        tokio::task::yield_now().await;
        retries.plan(&config, &Arc::from("soon"), 1);
        let (first, second) = waiting.await.expect("both");
        assert_eq!((first, second), (vec![Arc::from("soon")], vec![Arc::from("late")]));
    }
}
