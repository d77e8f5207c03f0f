//! Which letters there are, and which keys are held back behind them. Pure; no I/O,
//! no clock, no threads.

use super::letter::{SourceKey, State};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// What is known of a letter without its event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name, which is that of its event and place.
    pub id: Arc<str>,
    /// The lane of its key.
    pub lane: usize,
    /// Whom it belongs to.
    pub key: SourceKey,
    /// Why it is here.
    pub state: State,
    /// Whether later events of its key are held back behind it.
    pub holds: bool,
    /// Bytes of it in the store.
    pub bytes: usize,
    /// Kind of the error.
    pub code: Arc<str>,
    /// Transform in which it failed.
    pub transform: Arc<str>,
}

/// What is to become of an event of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It goes on.
    Free,
    /// It is held back, as a letter.
    Park,
    /// It waits, for the letters before it are being redriven to the last.
    Wait,
}

#[derive(Debug, Default)]
struct Held {
    /// Letters that were not sent yet, in order.
    letters: BTreeMap<u64, Arc<str>>,
    /// Whether the last of them are on their way.
    closing: bool,
}

/// A key in its lane.
type Place = (usize, SourceKey);

/// See the module.
#[derive(Debug, Default)]
pub struct Index {
    letters: HashMap<Arc<str>, (u64, Entry)>,
    held: HashMap<Place, Held>,
    /// Keys of each lane that are held.
    lanes: HashMap<usize, usize>,
    parked: usize,
    newest: u64,
}

impl Index {
    /// Enters a letter that the store has.
    pub fn load(&mut self, order: u64, entry: Entry) {
        self.newest = self.newest.max(order);
        self.enter(order, entry);
    }

    /// Enters a letter; its place in the order. One that is there keeps its place.
    pub fn add(&mut self, entry: Entry) -> u64 {
        let order = self.letters.get(&entry.id).map_or(self.newest + 1, |(order, _)| *order);
        self.newest = self.newest.max(order);
        self.enter(order, entry);
        order
    }

    fn enter(&mut self, order: u64, entry: Entry) {
        if entry.holds {
            let held = self.held.entry((entry.lane, entry.key.clone())).or_insert_with(|| {
                *self.lanes.entry(entry.lane).or_default() += 1;
                Held::default()
            });
            held.letters.insert(order, Arc::clone(&entry.id));
        }
        self.parked += usize::from(entry.state == State::Parked);
        let before = self.letters.insert(Arc::clone(&entry.id), (order, entry));
        self.parked -= usize::from(before.is_some_and(|(_, before)| before.state == State::Parked));
    }

    /// Whether there is such a letter.
    #[must_use]
    pub fn knows(&self, id: &str) -> bool {
        self.letters.contains_key(id)
    }

    /// What is to become of an event of this key.
    #[must_use]
    pub fn turn(&self, lane: usize, key: &SourceKey) -> Turn {
        match self.held.get(&(lane, key.clone())) {
            None => Turn::Free,
            Some(held) if held.closing => Turn::Wait,
            Some(_) => Turn::Park,
        }
    }

    /// Whether nothing of its key stands before this letter.
    #[must_use]
    pub fn is_next(&self, id: &str) -> bool {
        let Some((order, entry)) = self.letters.get(id) else { return false };
        !entry.holds || self.first(entry) == Some(*order)
    }

    fn first(&self, entry: &Entry) -> Option<u64> {
        let held = self.held.get(&(entry.lane, entry.key.clone()))?;
        held.letters.first_key_value().map(|(order, _)| *order)
    }

    /// A letter's event was sent: what comes after it may follow. Whether its key is
    /// free now.
    pub fn sent(&mut self, id: &str) -> bool {
        let Some((order, entry)) = self.letters.get(id) else { return false };
        let place = (entry.lane, entry.key.clone());
        let Some(held) = self.held.get_mut(&place) else { return false };
        held.letters.remove(order);
        let free = held.letters.is_empty();
        if free {
            *self.lanes.entry(place.0).or_default() -= 1;
            self.held.remove(&place);
        }
        free
    }

    /// A letter is gone from the store; the lane it was of.
    pub fn remove(&mut self, id: &str) -> Option<usize> {
        self.sent(id);
        let (_, gone) = self.letters.remove(id)?;
        self.parked -= usize::from(gone.state == State::Parked);
        Some(gone.lane)
    }

    /// The letters of a key are on their way, or not any more.
    pub fn close(&mut self, lane: usize, key: &SourceKey, closing: bool) {
        if let Some(held) = self.held.get_mut(&(lane, key.clone())) {
            held.closing = closing;
        }
    }

    /// Letters that a redrive takes next, in order: those wanted, and of keys that are
    /// held all from the first on, up to `budget` bytes and one at least; with the keys
    /// of which they are all. `tried` are those that it took before.
    #[must_use]
    pub fn plan(&self, wanted: impl Fn(&Entry) -> bool, tried: impl Fn(&str) -> bool, budget: usize) -> Plan {
        let mut orders = BTreeMap::new();
        for (order, entry) in self.letters.values().filter(|(_, entry)| !tried(&entry.id) && wanted(entry)) {
            match self.held.get(&(entry.lane, entry.key.clone())).filter(|_| entry.holds) {
                None => drop(orders.insert(*order, Arc::clone(&entry.id))),
                // What failed before fails again, and nothing of its key may overtake it.
                Some(held) if held.letters.values().any(|id| tried(id)) => {}
                Some(held) => orders.extend(held.letters.iter().map(|(order, id)| (*order, Arc::clone(id)))),
            }
        }
        let (mut plan, mut bytes) = (Plan::default(), 0);
        let mut whole: HashMap<Place, usize> = HashMap::new();
        for (order, id) in orders {
            let Some((_, entry)) = self.letters.get(&id) else { continue };
            bytes += entry.bytes;
            if bytes > budget && !plan.letters.is_empty() {
                break;
            }
            if entry.holds {
                *whole.entry((entry.lane, entry.key.clone())).or_default() += 1;
            }
            plan.letters.push((order, entry.clone()));
        }
        let all = |(place, count): (Place, usize)| self.held.get(&place).is_some_and(|held| held.letters.len() == count).then_some(place);
        plan.whole = whole.into_iter().filter_map(all).collect();
        plan
    }

    /// The letters that are wanted, in order.
    #[must_use]
    pub fn select(&self, wanted: impl Fn(&Entry) -> bool) -> Vec<Arc<str>> {
        let found = self.letters.values().filter(|(_, entry)| wanted(entry));
        found.map(|(order, entry)| (*order, Arc::clone(&entry.id))).collect::<BTreeMap<_, _>>().into_values().collect()
    }

    /// Letters.
    #[must_use]
    pub fn len(&self) -> usize {
        self.letters.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.letters.is_empty()
    }

    /// Letters that were parked behind another.
    #[must_use]
    pub fn parked(&self) -> usize {
        self.parked
    }

    /// Keys that are held back, of a lane.
    #[must_use]
    pub fn held_in(&self, lane: usize) -> usize {
        self.lanes.get(&lane).copied().unwrap_or_default()
    }

    /// Keys that are held back.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.len()
    }
}

/// A round of a redrive.
#[derive(Debug, Default)]
pub struct Plan {
    /// The letters, in order.
    pub letters: Vec<(u64, Entry)>,
    /// Keys of which nothing is left behind these.
    pub whole: Vec<(usize, SourceKey)>,
}
