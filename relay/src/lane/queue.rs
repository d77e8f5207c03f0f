//! Which lane a worker serves next and how much of it. Pure; no threads here.

use super::LANES;
use std::collections::VecDeque;

/// Queues of the lanes of one worker. Within a lane first in is first out;
/// among lanes round robin, so that a busy key starves no other.
#[derive(Debug)]
pub struct LaneQueue<T> {
    lanes: Vec<VecDeque<(T, usize)>>,
    /// Lanes that hold something, each once.
    ready: VecDeque<usize>,
}

impl<T> Default for LaneQueue<T> {
    fn default() -> Self {
        Self { lanes: (0..LANES).map(|_| VecDeque::new()).collect(), ready: VecDeque::new() }
    }
}

impl<T> LaneQueue<T> {
    /// Appends an item of `bytes` to a lane below [`LANES`].
    pub fn push(&mut self, lane: usize, item: T, bytes: usize) {
        let lane = lane % LANES;
        if self.lanes[lane].is_empty() {
            self.ready.push_back(lane);
        }
        self.lanes[lane].push_back((item, bytes));
    }

    /// Takes from the lane that waited longest, what is there, up to the
    /// bounds; the first item is always taken, however large.
    pub fn pop(&mut self, max_items: usize, max_bytes: usize, out: &mut Vec<T>) -> Option<usize> {
        let lane = self.ready.pop_front()?;
        let queue = &mut self.lanes[lane];
        let mut bytes = 0;
        while let Some((_, size)) = queue.front() {
            bytes += size;
            if !out.is_empty() && (out.len() >= max_items || bytes > max_bytes) {
                break;
            }
            out.extend(queue.pop_front().map(|(item, _)| item));
        }
        if !queue.is_empty() {
            self.ready.push_back(lane);
        }
        Some(lane)
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }

    /// Drops all that waits.
    pub fn clear(&mut self) {
        self.ready.clear();
        self.lanes.iter_mut().for_each(VecDeque::clear);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Everything comes out once, in order within its lane, within the
        /// bounds, and no lane waits longer than one round of the others.
        #[test]
        fn order_bounds_and_fairness(
            pushes in proptest::collection::vec((0usize..LANES, 0usize..50), 0..300),
            max_items in 1usize..10, max_bytes in 1usize..120,
        ) {
            let mut queue = LaneQueue::default();
            for (n, (lane, bytes)) in pushes.iter().enumerate() {
                queue.push(*lane, (n, *lane, *bytes), *bytes);
            }
            let mut seen: Vec<Vec<usize>> = vec![Vec::new(); LANES];
            let mut waiting: Vec<usize> = vec![0; LANES];
            loop {
                let mut out = Vec::new();
                let Some(lane) = queue.pop(max_items, max_bytes, &mut out) else { break };
                prop_assert!(!out.is_empty() && out.len() <= max_items);
                prop_assert!(out.len() == 1 || out.iter().map(|(_, _, b)| b).sum::<usize>() <= max_bytes);
                prop_assert!(out.iter().all(|(_, l, _)| *l == lane));
                seen[lane].extend(out.iter().map(|(n, _, _)| *n));
                waiting.iter_mut().for_each(|w| *w += 1);
                prop_assert!(waiting[lane] <= LANES + 1 || seen[lane].len() == out.len());
                waiting[lane] = 0;
            }
            prop_assert!(queue.is_empty());
            for (lane, got) in seen.iter().enumerate() {
                let want: Vec<_> = pushes.iter().enumerate().filter(|(_, (l, _))| *l == lane).map(|(n, _)| n).collect();
                prop_assert_eq!(got, &want);
            }
        }
    }
}
