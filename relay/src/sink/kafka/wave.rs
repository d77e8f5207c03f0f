//! Which messages go to librdkafka at once, and which wait for those under way. Pure; no
//! producer here.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// So many messages of a partition librdkafka has under way before it waits for an answer
/// (source: librdkafka 2.12, `RD_KAFKA_IDEMP_MAX_INFLIGHT`). Fewer are no reason to wait.
pub(super) const FEW: usize = 5;

/// What becomes of a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Offer<T> {
    /// It is to be handed over now.
    Now(T),
    /// It is kept, behind those that wait.
    Waits,
    /// Too much waits.
    Full(T),
}

/// See the module.
#[derive(Debug)]
pub(super) struct Wave<T> {
    /// How long librdkafka collects a batch: `linger.ms`.
    linger: Duration,
    /// How long a message waits at most for those under way.
    hold: Duration,
    /// Bytes that may wait.
    budget: usize,
    /// Until when messages join; librdkafka sends not before that.
    closes: Instant,
    waiting: VecDeque<(T, usize)>,
    /// Of those that wait and of those being handed over.
    bytes: usize,
    /// Whether those that waited are being handed over: nobody overtakes them.
    releasing: bool,
}

impl<T> Wave<T> {
    pub(super) fn new(linger: Duration, hold: Duration, budget: usize) -> Self {
        let (closes, waiting) = (Instant::now(), VecDeque::new());
        Self { linger, hold, budget, closes, waiting, bytes: 0, releasing: false }
    }

    /// Takes a message, with so many under way.
    pub(super) fn offer(&mut self, now: Instant, under_way: usize, message: T, bytes: usize) -> Offer<T> {
        if !self.releasing && self.waiting.is_empty() && self.goes(now, under_way) {
            self.begin(now);
            return Offer::Now(message);
        }
        // One larger than all may wait, alone.
        if self.bytes > 0 && self.bytes.saturating_add(bytes) > self.budget {
            return Offer::Full(message);
        }
        self.bytes = self.bytes.saturating_add(bytes);
        self.waiting.push_back((message, bytes));
        Offer::Waits
    }

    fn goes(&self, now: Instant, under_way: usize) -> bool {
        under_way < FEW || now <= self.closes || self.hold.is_zero()
    }

    fn begin(&mut self, now: Instant) {
        if now > self.closes {
            self.closes = now + self.linger;
        }
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// How long until those that wait are to be handed over; `None` if none waits.
    pub(super) fn due_in(&self, now: Instant, under_way: usize) -> Option<Duration> {
        if self.waiting.is_empty() {
            return None;
        }
        Some(if self.goes(now, under_way) { Duration::ZERO } else { (self.closes + self.hold).saturating_duration_since(now) })
    }

    /// Takes all that wait, to be handed over in this order, followed by
    /// [`Wave::released`].
    pub(super) fn release(&mut self, now: Instant) -> VecDeque<(T, usize)> {
        self.begin(now);
        self.releasing = true;
        std::mem::take(&mut self.waiting)
    }

    /// Those taken, of so many bytes, are handed over.
    pub(super) fn released(&mut self, bytes: usize) {
        self.releasing = false;
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// Gives up all that wait.
    pub(super) fn give_up(&mut self) -> VecDeque<(T, usize)> {
        std::mem::take(&mut self.waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Step {
        Offer(usize),
        Report,
        Pass(u64),
        /// Begins to hand over, if it is time.
        Release,
        /// Ends it.
        Released,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (1usize..40).prop_map(Step::Offer),
            3 => Just(Step::Report),
            1 => (0u64..8).prop_map(Step::Pass),
            1 => Just(Step::Release),
            1 => Just(Step::Released),
        ];
        proptest::collection::vec(step, 0..300)
    }

    proptest! {
        /// Everything is handed over once and in order, what waits is bounded, and nothing
        /// waits for nothing or for ever.
        #[test]
        fn in_order_in_bounds_and_never_stuck(steps in steps()) {
            const BUDGET: usize = 100;
            let (linger, hold) = (Duration::from_millis(5), Duration::from_millis(20));
            let mut wave = Wave::new(linger, hold, BUDGET);
            let (mut now, mut next, mut sent, mut reported) = (Instant::now(), 0u32, Vec::new(), 0);
            let mut releasing: Option<VecDeque<(u32, usize)>> = None;
            let end = |wave: &mut Wave<u32>, batch: VecDeque<(u32, usize)>, sent: &mut Vec<u32>| {
                wave.released(batch.iter().map(|(_, bytes)| bytes).sum());
                sent.extend(batch.into_iter().map(|(n, _)| n));
            };
            for step in steps {
                let under_way = sent.len() - reported;
                match step {
                    Step::Offer(bytes) => {
                        match wave.offer(now, under_way, next, bytes) {
                            Offer::Now(n) => {
                                prop_assert!(releasing.is_none(), "{n} overtakes");
                                sent.push(n);
                            }
                            Offer::Waits => {}
                            Offer::Full(_) => continue,
                        }
                        next += 1;
                    }
                    Step::Report => reported += usize::from(under_way > 0),
                    Step::Pass(millis) => now += Duration::from_millis(millis),
                    Step::Release if releasing.is_none() && wave.due_in(now, under_way) == Some(Duration::ZERO) => {
                        releasing = Some(wave.release(now));
                    }
                    Step::Released => {
                        if let Some(batch) = releasing.take() {
                            end(&mut wave, batch, &mut sent);
                        }
                    }
                    Step::Release => {}
                }
                let under_way = sent.len() - reported;
                prop_assert!(wave.bytes <= BUDGET);
                prop_assert!(wave.due_in(now, under_way).is_none_or(|wait| wait <= linger + hold));
                prop_assert!(wave.waiting() == 0 || under_way >= FEW || wave.due_in(now, under_way) == Some(Duration::ZERO));
            }
            if let Some(batch) = releasing.take() {
                end(&mut wave, batch, &mut sent);
            }
            let rest = wave.release(now);
            end(&mut wave, rest, &mut sent);
            prop_assert_eq!(wave.bytes, 0);
            prop_assert_eq!(sent, (0..next).collect::<Vec<_>>());
        }
    }

    /// GIVEN one that waits, larger than all may be, THEN no other does; WHEN it is given up,
    /// THEN it is given back.
    #[test]
    fn too_large_and_alone() {
        let mut wave = Wave::new(Duration::ZERO, Duration::from_secs(1), 10);
        let now = Instant::now() + Duration::from_millis(1);
        assert_eq!(wave.offer(now, 0, 'a', 1), Offer::Now('a'));
        let later = now + Duration::from_millis(1);
        assert_eq!(wave.offer(later, FEW, 'b', 20), Offer::Waits, "larger than all, and alone");
        assert_eq!(wave.offer(later, FEW, 'c', 1), Offer::Full('c'));
        assert_eq!(wave.give_up(), [('b', 20)]);
    }
}
