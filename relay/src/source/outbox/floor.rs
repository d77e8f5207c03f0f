//! The floor of a polled outbox: the sequence number below which every row that
//! can ever exist has been read. Pure; the SQL that observes is in `poll.rs`.
//!
//! Sequence numbers become visible out of order, so a cursor loses events. The
//! rule (DESIGN, "Sources", fuzzed there with 24 writers): remember the highest
//! sequence number seen together with the next transaction id at that moment;
//! once every transaction below that id has finished, no row at or below that
//! number can appear any more. It holds because a row takes its transaction id
//! before its sequence number.

use std::collections::VecDeque;

/// Barriers remembered at most. Dropping the newest in favour of a still newer
/// one only raises the floor later, never wrongly.
const MAX_BARRIERS: usize = 1024;

/// One look at the table and the transaction ids, in one statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observation {
    /// `max(seq)` in the snapshot, 0 for an empty table.
    pub max_seq: i64,
    /// `pg_snapshot_xmin`: every transaction below has finished.
    pub xmin: i64,
    /// The next transaction id to be given out.
    pub xnext: i64,
}

/// How far a SELECT read, in order of `seq`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadThrough {
    /// It was cut off after this row.
    Seq(i64),
    /// It returned all that was visible.
    All,
}

#[derive(Clone, Copy, Debug)]
struct Barrier {
    xnext: i64,
    max_seq: i64,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Floor {
    floor: i64,
    safe: i64,
    barriers: VecDeque<Barrier>,
}

impl Floor {
    /// A floor known from a checkpoint; 0 for none.
    #[must_use]
    pub fn at(floor: i64) -> Self {
        Self { floor, safe: floor, barriers: VecDeque::new() }
    }

    /// Takes in an observation made *before* the SELECT that [`Floor::read`]
    /// will report.
    pub fn observe(&mut self, seen: Observation) {
        let newest = self.barriers.back().map_or(self.safe, |b| b.max_seq);
        if seen.max_seq > newest {
            if self.barriers.len() == MAX_BARRIERS {
                self.barriers.pop_back();
            }
            self.barriers.push_back(Barrier { xnext: seen.xnext, max_seq: seen.max_seq });
        }
        while let Some(barrier) = self.barriers.front().copied().filter(|b| b.xnext <= seen.xmin) {
            self.safe = barrier.max_seq;
            self.barriers.pop_front();
        }
    }

    /// Takes in how far a SELECT that began after the last observation read;
    /// returns the new floor. It never falls.
    pub fn read(&mut self, through: ReadThrough) -> i64 {
        let read = match through {
            ReadThrough::Seq(seq) => seq,
            ReadThrough::All => i64::MAX,
        };
        self.floor = self.floor.max(self.safe.min(read));
        self.floor
    }

    /// Rows at or below are read and need not be looked for again.
    #[must_use]
    pub fn floor(&self) -> i64 {
        self.floor
    }

    /// Below or at, nothing new can appear.
    #[must_use]
    pub fn safe(&self) -> i64 {
        self.safe
    }

    /// Whether an unfinished transaction holds the floor below what was seen.
    #[must_use]
    pub fn is_held(&self) -> bool {
        !self.barriers.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// A model of the database: transactions take an id, then sequence numbers,
    /// then finish, in any interleaving; a reader polls in between. No row may
    /// be read twice, and none may be left when all is done.
    #[derive(Default)]
    struct Database {
        next_xid: i64,
        next_seq: i64,
        open: Vec<(i64, Vec<i64>)>,
        visible: BTreeSet<i64>,
    }

    impl Database {
        fn observe(&self) -> Observation {
            Observation {
                max_seq: self.visible.last().copied().unwrap_or(0),
                xmin: self.open.iter().map(|t| t.0).min().unwrap_or(self.next_xid),
                xnext: self.next_xid,
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]
        #[test]
        fn nothing_is_lost_and_nothing_read_twice(steps in proptest::collection::vec((0u8..8, any::<u16>()), 1..200), limit in 1usize..6) {
            let mut db = Database { next_xid: 3, next_seq: 1, ..Database::default() };
            let mut floor = Floor::default();
            let mut read = BTreeSet::new();
            let mut committed = BTreeSet::new();
            let mut poll = |db: &Database, read: &mut BTreeSet<i64>| {
                floor.observe(db.observe());
                let found: Vec<_> = db.visible.range(floor.floor() + 1..).filter(|s| !read.contains(s)).take(limit).copied().collect();
                for seq in &found {
                    assert!(read.insert(*seq), "{seq} read twice");
                }
                let cut = found.last().filter(|_| found.len() == limit);
                floor.read(cut.map_or(ReadThrough::All, |s| ReadThrough::Seq(*s)));
                found.len() == limit
            };
            for (step, pick) in steps {
                match step {
                    0 | 1 => { db.open.push((db.next_xid, Vec::new())); db.next_xid += 1; }
                    2..=4 if !db.open.is_empty() => {
                        let i = pick as usize % db.open.len();
                        db.open[i].1.push(db.next_seq);
                        db.next_seq += 1;
                    }
                    5 if !db.open.is_empty() => {
                        let (_, rows) = db.open.swap_remove(pick as usize % db.open.len());
                        committed.extend(&rows);
                        db.visible.extend(rows);
                    }
                    6 if !db.open.is_empty() => { db.open.swap_remove(pick as usize % db.open.len()); }
                    _ => { poll(&db, &mut read); }
                }
            }
            for (_, rows) in std::mem::take(&mut db.open) {
                committed.extend(&rows);
                db.visible.extend(rows);
            }
            while poll(&db, &mut read) {}
            prop_assert_eq!(read, committed);
            // Liveness: with nothing open the floor reaches the top.
            poll(&db, &mut BTreeSet::from_iter(db.visible.iter().copied()));
            prop_assert_eq!(floor.floor(), db.visible.last().copied().unwrap_or(0));
        }
    }
}
