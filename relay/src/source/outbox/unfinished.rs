//! The rows that a poll leaves out, shared by the half that reads and the half that
//! acknowledges.

use super::acknowledge::Checkpoint;
use rangemap::RangeInclusiveSet;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Sequence numbers as ranges. A sweep reads them in order, and what is done goes in
/// batches: both change a range, not a number at a time.
#[derive(Debug, Default)]
struct Runs {
    set: RangeInclusiveSet<i64>,
    /// The run that grows, not in the set yet.
    growing: Option<RangeInclusive<i64>>,
}

impl Runs {
    fn insert(&mut self, seq: i64) {
        match &self.growing {
            Some(run) if run.end().checked_add(1) == Some(seq) => self.growing = Some(*run.start()..=seq),
            _ => {
                self.whole();
                self.growing = Some(seq..=seq);
            }
        }
    }

    /// `seqs` in ascending order.
    fn remove(&mut self, seqs: &[i64]) {
        self.whole();
        for run in seqs.chunk_by(|one, next| one.checked_add(1) == Some(*next)) {
            if let [first, ..] = run {
                self.set.remove(*first..=first.saturating_add(run.len() as i64 - 1));
            }
        }
    }

    /// All of them.
    fn whole(&mut self) -> &mut RangeInclusiveSet<i64> {
        if let Some(run) = self.growing.take() {
            self.set.insert(run);
        }
        &mut self.set
    }
}

#[derive(Default)]
struct Sets {
    /// Sequence numbers above the floor that a poll must leave out: in flight,
    /// or acknowledged and still in the table.
    leave_out: Runs,
    /// All that are in flight, where rows are retained.
    in_flight: Option<Runs>,
    /// The reader's floor.
    floor: i64,
}

/// See the module.
#[derive(Clone, Default)]
pub struct Unfinished(Arc<Mutex<Sets>>);

impl Unfinished {
    fn lock(&self) -> MutexGuard<'_, Sets> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn insert(&self, seq: i64) {
        let mut sets = self.lock();
        sets.leave_out.insert(seq);
        sets.in_flight.iter_mut().for_each(|runs| runs.insert(seq));
    }

    /// Rows that are gone from the table, or were not taken after all.
    pub(super) fn remove(&self, seqs: &[i64]) {
        let sorted = sorted(seqs);
        let mut sets = self.lock();
        sets.leave_out.remove(&sorted);
        sets.in_flight.iter_mut().for_each(|runs| runs.remove(&sorted));
    }

    /// Rows that are published and stay in the table; returns the number below
    /// which, with these, every row is published.
    pub(super) fn settle(&self, seqs: &[i64]) -> i64 {
        let sorted = sorted(seqs);
        let mut sets = self.lock();
        let floor = sets.floor;
        let Some(in_flight) = &mut sets.in_flight else { return floor };
        in_flight.remove(&sorted);
        let oldest = in_flight.whole().first().map_or(i64::MAX, |run| *run.start());
        floor.min(oldest.saturating_sub(1))
    }

    /// Rows are retained, and this was recorded of them.
    pub(super) fn restore(&self, checkpoint: &Checkpoint) {
        let mut sets = self.lock();
        sets.leave_out = Runs { set: checkpoint.acknowledged.clone(), growing: None };
        sets.in_flight = Some(Runs::default());
        sets.floor = checkpoint.floor;
    }

    /// No poll looks at or below the floor any more.
    pub(super) fn forget_through(&self, floor: i64) {
        let mut sets = self.lock();
        sets.floor = floor;
        sets.leave_out.whole().remove(i64::MIN..=floor);
    }

    /// As text of an `int8multirange`.
    pub(super) fn multirange(&self) -> String {
        multirange(self.lock().leave_out.whole())
    }
}

fn sorted(seqs: &[i64]) -> Vec<i64> {
    let mut sorted = seqs.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    sorted
}

/// As text of an `int8multirange`.
pub(super) fn multirange(set: &RangeInclusiveSet<i64>) -> String {
    let ranges: Vec<_> = set.iter().map(|r| format!("[{},{}]", r.start(), r.end())).collect();
    format!("{{{}}}", ranges.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        /// Against a set of numbers, whatever the order of what comes and goes.
        #[test]
        fn runs_are_a_set(steps in proptest::collection::vec((any::<bool>(), 0i64..60, 1i64..8), 0..80)) {
            let (unfinished, mut left_out, mut in_flight) = (Unfinished::default(), BTreeSet::new(), BTreeSet::new());
            unfinished.restore(&Checkpoint { floor: 100, ..Checkpoint::default() });
            for (comes, first, count) in steps {
                let mut seqs: Vec<i64> = (first..first + count).collect();
                if comes {
                    seqs.iter().for_each(|seq| unfinished.insert(*seq));
                    left_out.extend(&seqs);
                    in_flight.extend(&seqs);
                } else {
                    seqs.reverse();
                    if first % 2 == 0 {
                        unfinished.remove(&seqs);
                        seqs.iter().for_each(|seq| _ = left_out.remove(seq));
                    }
                    seqs.iter().for_each(|seq| _ = in_flight.remove(seq));
                    let oldest = in_flight.first().copied().unwrap_or(i64::MAX);
                    prop_assert_eq!(unfinished.settle(&seqs), oldest.saturating_sub(1).min(100));
                }
                let mut known = RangeInclusiveSet::new();
                left_out.iter().for_each(|seq| known.insert(*seq..=*seq));
                prop_assert_eq!(unfinished.multirange(), multirange(&known));
            }
        }
    }
}
