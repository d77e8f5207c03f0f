//! The messages of one partition that are sent together: those that may join the batch
//! that librdkafka collects, and those that wait for the next. Pure; no producer here.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How much is sent together at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// How long a batch is collected: `linger.ms`.
    pub(super) linger: Duration,
    /// Bytes of a batch: `batch.size`.
    pub(super) bytes: usize,
    /// Messages of a batch: `batch.num.messages`.
    pub(super) messages: usize,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Wave<T> {
    bounds: Bounds,
    /// Until when messages join; librdkafka sends not before that.
    closes: Option<Instant>,
    bytes: usize,
    messages: usize,
    /// Handed over and not reported.
    under_way: usize,
    /// Whether those that waited are being handed over: nobody overtakes them.
    releasing: bool,
    waiting: VecDeque<(T, usize)>,
}

impl<T> Wave<T> {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { bounds, closes: None, bytes: 0, messages: 0, under_way: 0, releasing: false, waiting: VecDeque::new() }
    }

    fn begin(&mut self, now: Instant) {
        (self.closes, self.bytes, self.messages) = (now.checked_add(self.bounds.linger), 0, 0);
    }

    fn fits(&self, bytes: usize) -> bool {
        self.messages == 0 || (self.messages < self.bounds.messages && self.bytes.saturating_add(bytes) <= self.bounds.bytes)
    }

    fn count(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.messages += 1;
        self.under_way += 1;
    }

    /// Whether a message of that size is to be handed over now; it counts then.
    pub(super) fn joins(&mut self, now: Instant, bytes: usize) -> bool {
        if self.releasing || !self.waiting.is_empty() {
            return false;
        }
        if self.under_way == 0 {
            self.begin(now);
        }
        let joins = self.closes.is_some_and(|closes| now <= closes) && self.fits(bytes);
        if joins {
            self.count(bytes);
        }
        joins
    }

    /// One that counted was not handed over after all.
    pub(super) fn give_back(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
    }

    /// Keeps one for later, behind those that wait.
    pub(super) fn wait(&mut self, item: T, bytes: usize) {
        self.waiting.push_back((item, bytes));
    }

    /// One was reported; whether those that wait are to be released. Reports of messages
    /// that did not pass here do no harm: what waits goes a little earlier.
    pub(super) fn reported(&mut self) -> bool {
        self.under_way = self.under_way.saturating_sub(1);
        self.is_due()
    }

    /// Whether something waits, and for nothing.
    pub(super) fn is_due(&self) -> bool {
        self.under_way == 0 && !self.releasing && !self.waiting.is_empty()
    }

    /// Takes the next batch, all of which counts; to be followed by [`Wave::released`].
    pub(super) fn release(&mut self, now: Instant) -> VecDeque<(T, usize)> {
        self.begin(now);
        self.releasing = true;
        let mut batch = VecDeque::new();
        while let Some((_, bytes)) = self.waiting.front()
            && self.fits(*bytes)
        {
            self.count(*bytes);
            batch.extend(self.waiting.pop_front());
        }
        batch
    }

    /// A batch was handed over but for these, which wait again before all others.
    pub(super) fn released(&mut self, mut left: VecDeque<(T, usize)>) {
        self.releasing = false;
        self.under_way = self.under_way.saturating_sub(left.len());
        left.append(&mut self.waiting);
        self.waiting = left;
    }

    /// Gives up all that wait.
    pub(super) fn discard(&mut self) -> VecDeque<(T, usize)> {
        std::mem::take(&mut self.waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Step {
        Submit(usize),
        Report,
        Pass(u64),
        /// Release, of which so many are handed over.
        Release(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            (1usize..40).prop_map(Step::Submit),
            Just(Step::Report),
            (0u64..8).prop_map(Step::Pass),
            (0usize..12).prop_map(Step::Release)
        ];
        proptest::collection::vec(step, 0..200)
    }

    proptest! {
        /// Everything is handed over once and in order, in batches within the bounds, and
        /// nothing waits for nothing.
        #[test]
        fn in_order_in_bounds_and_never_stuck(steps in steps()) {
            let bounds = Bounds { linger: Duration::from_millis(5), bytes: 100, messages: 6 };
            let mut wave = Wave::new(bounds);
            let (mut now, mut next, mut sent, mut reported) = (Instant::now(), 0u32, Vec::new(), 0);
            let release = |wave: &mut Wave<u32>, now, most: usize, sent: &mut Vec<u32>| {
                let mut batch = wave.release(now);
                prop_assert!(!batch.is_empty() && batch.len() <= bounds.messages);
                prop_assert!(batch.len() == 1 || batch.iter().map(|(_, b)| b).sum::<usize>() <= bounds.bytes);
                let left = batch.split_off(most.min(batch.len()));
                sent.extend(batch.into_iter().map(|(n, _)| n));
                wave.released(left);
                Ok(())
            };
            for step in steps {
                match step {
                    Step::Submit(bytes) => {
                        if wave.joins(now, bytes) { sent.push(next) } else { wave.wait(next, bytes) }
                        next += 1;
                    }
                    Step::Report if reported < sent.len() => {
                        reported += 1;
                        let due = wave.reported();
                        prop_assert_eq!(due, reported == sent.len() && (sent.len() as u32) < next);
                    }
                    Step::Release(most) if wave.is_due() => release(&mut wave, now, most, &mut sent)?,
                    Step::Pass(millis) => now += Duration::from_millis(millis),
                    Step::Report | Step::Release(_) => {}
                }
                prop_assert_eq!(wave.under_way, sent.len() - reported);
            }
            while (sent.len() as u32) < next {
                while reported < sent.len() {
                    reported += 1;
                    wave.reported();
                }
                prop_assert!(wave.is_due(), "something waits, and for nothing");
                release(&mut wave, now, usize::MAX, &mut sent)?;
            }
            prop_assert_eq!(sent, (0..next).collect::<Vec<_>>());
        }
    }
}
