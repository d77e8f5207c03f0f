//! A polled outbox table. `table` knows its shape, `audit` what polling relies
//! on, `ddl` how to make it so; `poll` reads, `acknowledge` deletes or
//! checkpoints, `floor` decides below which number nothing new can appear.

mod acknowledge;
mod audit;
mod capture;
mod ddl;
mod floor;
mod poll;
pub mod published;
mod queries;
mod row;
mod table;

pub use acknowledge::Acknowledger;
pub(crate) use audit::refuse;
pub use audit::{Finding, audit};
pub use capture::capture;
pub use ddl::statements;
pub use poll::{Backlog, Reader};
pub use table::Table;

use rangemap::RangeInclusiveSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What reader and acknowledger share.
#[derive(Default)]
struct Sets {
    /// Sequence numbers above the floor that a poll must leave out: in flight,
    /// or acknowledged and still in the table.
    leave_out: RangeInclusiveSet<i64>,
    /// All that are in flight.
    in_flight: RangeInclusiveSet<i64>,
    /// The reader's floor.
    floor: i64,
}

/// See [`Sets`].
#[derive(Clone, Default)]
pub struct Unfinished(Arc<Mutex<Sets>>);

impl Unfinished {
    fn lock(&self) -> MutexGuard<'_, Sets> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn insert(&self, seq: i64) {
        let mut sets = self.lock();
        sets.leave_out.insert(seq..=seq);
        sets.in_flight.insert(seq..=seq);
    }

    /// Rows that are gone from the table, or were not taken after all.
    fn remove(&self, seqs: &[i64]) {
        let mut sets = self.lock();
        for seq in seqs {
            sets.leave_out.remove(*seq..=*seq);
            sets.in_flight.remove(*seq..=*seq);
        }
    }

    /// Rows that are published and stay in the table; returns the number below
    /// which, with these, every row is published.
    fn settle(&self, seqs: &[i64]) -> i64 {
        let mut sets = self.lock();
        for seq in seqs {
            sets.in_flight.remove(*seq..=*seq);
        }
        let oldest = sets.in_flight.first().map_or(i64::MAX, |r| *r.start());
        sets.floor.min(oldest.saturating_sub(1))
    }

    fn restore(&self, checkpoint: &acknowledge::Checkpoint) {
        let mut sets = self.lock();
        sets.leave_out = checkpoint.acknowledged.clone();
        sets.floor = checkpoint.floor;
    }

    /// No poll looks at or below the floor any more.
    fn forget_through(&self, floor: i64) {
        let mut sets = self.lock();
        sets.floor = floor;
        sets.leave_out.remove(i64::MIN..=floor);
    }

    /// As text of an `int8multirange`.
    fn multirange(&self) -> String {
        multirange(&self.lock().leave_out)
    }
}

fn multirange(set: &RangeInclusiveSet<i64>) -> String {
    let ranges: Vec<_> = set.iter().map(|r| format!("[{},{}]", r.start(), r.end())).collect();
    format!("{{{}}}", ranges.join(","))
}
