//! The window: events in flight in source order, and the contiguous completed
//! head that may be checkpointed. Pure; no I/O, no clock. Its memory is that of
//! the events in flight, however many completed behind one that is stuck.

use crate::event::Position;

/// An event's place in the window, given on admission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    place: usize,
    /// Of the admission, for places are used again.
    number: u64,
}

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

/// No place.
const NONE: usize = usize::MAX;

/// An event in flight.
#[derive(Debug)]
struct Open {
    number: u64,
    /// What is done when all before it is.
    before: Option<Head>,
    older: usize,
    /// Of a free place, the next free one.
    newer: usize,
}

/// Admission in source order, completion in any order, a head that only grows. A list
/// with two ends in places that are used again: each step is a few stores, where taking
/// each event out of a tree alone was a fiftieth of the relay's time.
#[derive(Debug)]
pub struct Window {
    places: Vec<Open>,
    free: usize,
    oldest: usize,
    latest: usize,
    count: usize,
    admitted: u64,
    newest: Option<Head>,
}

impl Default for Window {
    fn default() -> Self {
        Self { places: Vec::new(), free: NONE, oldest: NONE, latest: NONE, count: 0, admitted: 0, newest: None }
    }
}

impl Window {
    /// Enters the next event of the source.
    pub fn admit(&mut self, position: Position) -> Slot {
        self.admitted += 1;
        let before = self.newest.replace(Head { position, event: true });
        let open = Open { number: self.admitted, before, older: self.latest, newer: NONE };
        let place = match self.places.get_mut(self.free) {
            Some(free) => {
                let place = std::mem::replace(&mut self.free, free.newer);
                *free = open;
                place
            }
            None => {
                self.places.push(open);
                self.places.len() - 1
            }
        };
        match self.places.get_mut(self.latest) {
            Some(latest) => latest.newer = place,
            None => self.oldest = place,
        }
        self.latest = place;
        self.count += 1;
        Slot { place, number: self.admitted }
    }

    /// Enters a position without an event.
    pub fn pass(&mut self, position: Position) {
        self.newest = Some(Head { position, event: false });
    }

    /// Marks an event as done with all its messages. A slot completed before
    /// is ignored, so that nothing can be acknowledged twice.
    pub fn complete(&mut self, slot: Slot) {
        let Some(done) = self.places.get_mut(slot.place).filter(|open| open.number == slot.number) else { return };
        let (older, newer) = (done.older, std::mem::replace(&mut done.newer, self.free));
        done.number = 0;
        self.free = slot.place;
        self.count -= 1;
        match self.places.get_mut(older) {
            Some(older) => older.newer = newer,
            None => self.oldest = newer,
        }
        match self.places.get_mut(newer) {
            Some(newer) => newer.older = older,
            None => self.latest = older,
        }
    }

    /// How far, in source order, everything is done.
    #[must_use]
    pub fn head(&self) -> Option<Head> {
        self.places.get(self.oldest).map_or(self.newest, |oldest| oldest.before)
    }

    /// Events in flight.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether nothing is in flight.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
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
        fn head_is_the_completed_prefix(order in proptest::collection::vec((0usize..40, any::<bool>(), any::<bool>()), 0..120), n in 1usize..40) {
            let mut window = Window::default();
            let mut slots: Vec<_> = (0..n).map(|i| window.admit(at(i as u64 + 1))).collect();
            let mut done = vec![false; n];
            let mut last = None;
            for (i, more, passes) in order {
                let i = i % slots.len();
                window.complete(slots[i]);
                done[i] = true;
                if more {
                    // In a place that is free again, now and then.
                    slots.push(window.admit(at(slots.len() as u64 + 1)));
                    done.push(false);
                }
                let prefix = done.iter().take_while(|d| **d).count();
                prop_assert_eq!(window.head(), (prefix > 0).then(|| Head { position: at(prefix as u64), event: true }));
                prop_assert_eq!(window.len(), done.iter().filter(|d| !**d).count());
                prop_assert!(window.head() >= last);
                last = window.head();
                if passes && window.is_empty() {
                    // As at the end of a commit: the head moves at once, for nothing is before it.
                    let end = Head { position: at(slots.len() as u64), event: false };
                    window.pass(end.position);
                    window.complete(slots[i]);
                    prop_assert_eq!(window.head(), Some(end));
                    return Ok(());
                }
            }
        }
    }
}
