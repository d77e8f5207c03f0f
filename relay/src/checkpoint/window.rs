//! The window: events in flight in source order, and the contiguous completed
//! head that may be checkpointed. Pure; no I/O, no clock.

use crate::event::Position;
use std::collections::VecDeque;

/// An event's place in the window, given on admission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot(u64);

#[derive(Debug)]
struct Entry {
    position: Position,
    complete: bool,
}

/// Admission in source order, completion in any order, a head that only grows.
#[derive(Debug, Default)]
pub struct Window {
    entries: VecDeque<Entry>,
    /// Slot number of the front entry.
    base: u64,
    head: Option<Position>,
}

impl Window {
    /// Enters the next event of the source.
    pub fn admit(&mut self, position: Position) -> Slot {
        let slot = Slot(self.base + self.entries.len() as u64);
        self.entries.push_back(Entry { position, complete: false });
        slot
    }

    /// Marks an event as done with all its messages. A slot completed before
    /// is ignored, so that nothing can be acknowledged twice.
    pub fn complete(&mut self, slot: Slot) {
        let Some(index) = slot.0.checked_sub(self.base) else { return };
        if let Some(entry) = usize::try_from(index).ok().and_then(|i| self.entries.get_mut(i)) {
            entry.complete = true;
        }
        while self.entries.front().is_some_and(|e| e.complete) {
            if let Some(entry) = self.entries.pop_front() {
                self.base += 1;
                self.head = Some(entry.position);
            }
        }
    }

    /// Position up to which, in source order, everything is done.
    #[must_use]
    pub fn head(&self) -> Option<Position> {
        self.head
    }

    /// Position of the oldest event that is not done.
    #[must_use]
    pub fn oldest(&self) -> Option<Position> {
        self.entries.front().map(|e| e.position)
    }

    /// Events between the head and the newest, done or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is in flight.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
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
                prop_assert_eq!(window.head(), (prefix > 0).then(|| at(prefix as u64)));
                prop_assert_eq!(window.len(), n - prefix);
                prop_assert_eq!(window.oldest(), (prefix < n).then(|| at(prefix as u64 + 1)));
                prop_assert!(window.head() >= last);
                last = window.head();
            }
        }
    }
}
