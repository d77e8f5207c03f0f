//! The window: events in flight in source order, and the contiguous completed
//! head that may be checkpointed. Pure; no I/O, no clock. Its memory is that of
//! the events in flight, however many completed behind one that is stuck.

use crate::event::Position;
use std::collections::BTreeMap;

/// An event's place in the window, given on admission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot(u64);

/// How far everything is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Head {
    /// Where that is.
    pub position: Position,
    /// Whether the event there is done too, or only what comes before. The end
    /// of a transaction may be where the next one's commit record starts, so
    /// that the position alone would not tell.
    pub event: bool,
}

/// Admission in source order, completion in any order, a head that only grows.
#[derive(Debug, Default)]
pub struct Window {
    /// Events in flight, each with what is done when all before it is.
    open: BTreeMap<Slot, Option<Head>>,
    admitted: u64,
    newest: Option<Head>,
}

impl Window {
    /// Enters the next event of the source.
    pub fn admit(&mut self, position: Position) -> Slot {
        let slot = Slot(self.admitted);
        self.admitted += 1;
        self.open.insert(slot, self.newest.replace(Head { position, event: true }));
        slot
    }

    /// Enters a position without an event.
    pub fn pass(&mut self, position: Position) {
        self.newest = Some(Head { position, event: false });
    }

    /// Marks an event as done with all its messages. A slot completed before
    /// is ignored, so that nothing can be acknowledged twice.
    pub fn complete(&mut self, slot: Slot) {
        self.open.remove(&slot);
    }

    /// How far, in source order, everything is done.
    #[must_use]
    pub fn head(&self) -> Option<Head> {
        self.open.first_key_value().map_or(self.newest, |(_, before)| *before)
    }

    /// Events in flight.
    #[must_use]
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether nothing is in flight.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(n: u64) -> Position {
        Position { commit: n, index: 0 }
    }

    proptest! {
        /// Against the obvious model: the head is the last of the longest
        /// completed prefix, whatever the order of completion, and never falls.
        #[test]
        fn head_is_the_completed_prefix(order in proptest::collection::vec(0usize..40, 0..120), n in 1usize..40) {
            let mut window = Window::default();
            let slots: Vec<_> = (0..n).map(|i| window.admit(at(i as u64 + 1))).collect();
            let mut done = vec![false; n];
            let mut last = None;
            for i in order.into_iter().map(|i| i % n) {
                window.complete(slots[i]);
                done[i] = true;
                let prefix = done.iter().take_while(|d| **d).count();
                prop_assert_eq!(window.head(), (prefix > 0).then(|| Head { position: at(prefix as u64), event: true }));
                prop_assert_eq!(window.len(), done.iter().filter(|d| !**d).count());
                prop_assert!(window.head() >= last);
                last = window.head();
            }
        }
    }
}
