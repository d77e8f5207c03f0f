//! The broker of the simulation: what was handed over, in order, until it is acknowledged,
//! and in a transaction until that is committed.

use crate::checkpoint::Ticket;
use crate::error::{Error, Kind, Result};
use crate::event::Event;
use crate::sink::Sink;
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

pub(super) enum Record {
    /// Key and version.
    Message(u64, u64),
    Letter(String, Option<Vec<u8>>),
}

#[derive(Default)]
pub(super) struct Broker {
    pub(super) transactional: bool,
    /// Handed over.
    pub(super) pending: VecDeque<(Record, Arc<Ticket>)>,
    /// Acknowledged, in a transaction that is not committed.
    pub(super) uncommitted: Vec<Record>,
    pub(super) visible: Vec<(u64, u64)>,
    pub(super) letters: BTreeMap<String, Vec<u8>>,
    /// Key and version.
    pub(super) poison: HashSet<(u64, u64)>,
    /// Owners so far; only the newest one's producer is not fenced.
    pub(super) owners: u64,
}

impl Broker {
    pub(super) fn apply(&mut self, record: Record) {
        match record {
            Record::Message(key, version) => self.visible.push((key, version)),
            Record::Letter(id, Some(letter)) => drop(self.letters.insert(id, letter)),
            Record::Letter(id, None) => drop(self.letters.remove(&id)),
        }
    }

    /// Acknowledges so many; their tickets, to be dropped without the lock.
    pub(super) fn acknowledge(&mut self, count: usize) -> Vec<Arc<Ticket>> {
        let mut tickets = Vec::new();
        for _ in 0..count {
            let Some((record, ticket)) = self.pending.pop_front() else { break };
            ticket.acknowledge();
            tickets.push(ticket);
            if self.transactional { self.uncommitted.push(record) } else { self.apply(record) }
        }
        tickets
    }

    pub(super) fn commit(&mut self) {
        for record in std::mem::take(&mut self.uncommitted) {
            self.apply(record);
        }
    }
}

/// The producer of an owner.
pub(super) struct Simulated {
    broker: Arc<Mutex<Broker>>,
    owner: u64,
}

impl Simulated {
    /// The next owner, who in transactions fences the one before and ends what it left open.
    pub(super) fn next(broker: &Arc<Mutex<Broker>>) -> Self {
        let mut state = broker.lock().expect("nobody panicked");
        state.owners += 1;
        let owner = state.owners;
        let fenced = if state.transactional { std::mem::take(&mut state.pending) } else { VecDeque::new() };
        state.uncommitted.clear();
        drop(state);
        // Without the lock, for dropping settles.
        drop(fenced);
        Self { broker: Arc::clone(broker), owner }
    }

    pub(super) fn broker(&self) -> MutexGuard<'_, Broker> {
        self.broker.lock().expect("nobody panicked")
    }

    pub(super) fn shared(&self) -> &Arc<Mutex<Broker>> {
        &self.broker
    }

    pub(super) fn is_fenced(&self) -> bool {
        self.broker().owners != self.owner
    }

    /// What a fenced producer hands over is refused later, and never acknowledged.
    fn hand_over(&self, record: Record, ticket: &Arc<Ticket>) {
        if !self.is_fenced() {
            self.broker().pending.push_back((record, Arc::clone(ticket)));
        }
    }
}

fn parts(event: &Event) -> (u64, u64) {
    let text = std::str::from_utf8(event.payload.as_deref().expect("a payload")).expect("text");
    let (key, version) = text.split_once('/').expect("two numbers");
    (key.parse().expect("a key"), version.parse().expect("a version"))
}

impl Sink for Simulated {
    fn publish(&self, message: &Event, _: &str, ticket: &Arc<Ticket>) -> Result<()> {
        self.check(message)?;
        let (key, version) = parts(message);
        self.hand_over(Record::Message(key, version), ticket);
        Ok(())
    }

    fn check(&self, message: &Event) -> Result<()> {
        let refused = self.broker().poison.contains(&parts(message));
        if refused { Err(Error::new(Kind::MessageRefused, "poison")) } else { Ok(()) }
    }

    fn keep(&self, id: &str, letter: Option<&[u8]>, ticket: &Arc<Ticket>) -> Result<()> {
        self.hand_over(Record::Letter(id.to_owned(), letter.map(<[u8]>::to_vec)), ticket);
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }

    fn close(&self) {}

    fn purge(&self) {}
}
