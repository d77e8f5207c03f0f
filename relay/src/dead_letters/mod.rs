//! Events that failed by themselves, and those of their keys that are held back behind
//! them: kept whole in a topic, a table or a file, listed, redriven in order, discarded.
//!
//! The [`Index`] is the pure core: which letters there are, which keys are held. The
//! lanes ask it before each event of a lane that has such keys, and write letters by
//! the sink, whose acknowledgement makes the event done. Nobody else may write: a
//! redrive is asked for at the [`Desk`] and carried out by the owner of the lanes.

mod desk;
mod index;
mod letter;
mod retries;
mod store;
mod table;

pub use desk::{Answer, Desk, Request, Wish};
pub use index::{Entry, Index, Plan, Turn};
pub use letter::{Filter, Letter, Reason, SourceKey, State, name, written};
pub use store::{Line, Store};
pub use table::{Table, Write};

use crate::checkpoint::{Ledger, Ticket, Watcher};
use crate::config::{DeadLetters, LANES};
use crate::crash::{self, Point};
use crate::error::{Context as _, Error, Kind, Result};
use crate::event::{Event, now};
use crate::metrics::{LETTERS, LETTERS_WRITTEN, PARKED_KEYS};
use crate::sink::Sink;
use retries::Retries;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// The letters of a session, as its lanes and its redrives share them.
pub struct Letters {
    config: DeadLetters,
    index: Mutex<Index>,
    /// Keys held in each lane, for a look without a lock.
    held: Vec<AtomicUsize>,
    /// Paused while there are too many.
    ledger: Arc<Ledger>,
    /// Letters of the transaction that is open, which no reader of the store sees.
    fresh: Mutex<HashMap<Arc<str>, Vec<u8>>>,
    /// Number of letters at which the next warning is due.
    warn_at: AtomicUsize,
    retries: Retries,
}

/// Why a letter is written.
pub struct Cause<'a> {
    /// What went wrong, if it is not only held back.
    pub error: Option<&'a Error>,
    /// Whether its key is held back from now on.
    pub holds: bool,
    /// The transforms it met.
    pub made_by: &'a str,
    /// Digest of their settings.
    pub settings: &'a str,
    /// The letter that it was before.
    pub before: Option<&'a Errand>,
}

impl Letters {
    /// What the store has.
    ///
    /// # Errors
    /// As [`Store::read`].
    pub async fn load(config: &DeadLetters, store: &Store, ledger: &Arc<Ledger>) -> Result<Self> {
        store.prepare().await?;
        let found = store.read(true, |_| true, |letter| Ok((letter.attempts, letter.order, letter.entry()?))).await?;
        let failed: Vec<_> = found.iter().map(|(attempts, _, entry)| (Arc::clone(&entry.id), *attempts, Arc::clone(&entry.code))).collect();
        let letters = Self::of(config, ledger, found.into_iter().map(|(_, order, entry)| (order, entry)));
        failed.iter().for_each(|(id, attempts, code)| letters.try_again(id, *attempts, code));
        let index = letters.index();
        if !index.is_empty() {
            tracing::warn!(letters = index.len(), held_keys = index.held(), place = store.place(), "there are dead letters");
        }
        drop(index);
        Ok(letters)
    }

    /// These, with their places in the order.
    #[must_use]
    pub fn of(config: &DeadLetters, ledger: &Arc<Ledger>, entries: impl IntoIterator<Item = (u64, Entry)>) -> Self {
        let mut index = Index::default();
        entries.into_iter().for_each(|(order, entry)| index.load(order, entry));
        let letters = Self {
            config: config.clone(),
            held: (0..LANES).map(|lane| AtomicUsize::new(index.held_in(lane))).collect(),
            index: Mutex::new(index),
            ledger: Arc::clone(ledger),
            fresh: Mutex::default(),
            warn_at: AtomicUsize::new(config.warn_events as usize),
            retries: Retries::default(),
        };
        letters.show(&letters.index());
        letters
    }

    /// What there is.
    pub fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&self, index: &Index) {
        self.ledger.pause(index.len() >= self.config.max_events as usize);
        metrics::gauge!(LETTERS, "state" => "parked").set(index.parked() as f64);
        metrics::gauge!(LETTERS, "state" => "dead").set((index.len() - index.parked()) as f64);
        metrics::gauge!(PARKED_KEYS).set(index.held() as f64);
        let due = self.warn_at.load(Ordering::Relaxed);
        if index.len() >= due {
            self.warn_at.store(index.len().saturating_mul(2), Ordering::Relaxed);
            let (letters, limit) = (index.len(), self.config.max_events);
            tracing::warn!(letters, limit, held_keys = index.held(), "dead letters pile up; the source is paused at the limit");
        }
    }

    fn changed(&self, index: &Index, lane: usize) {
        self.held[lane % LANES].store(index.held_in(lane), Ordering::Release);
        self.show(index);
    }

    /// Whether any key of the lane is held back.
    #[must_use]
    pub fn hold_in(&self, lane: usize) -> bool {
        self.held[lane % LANES].load(Ordering::Acquire) > 0
    }

    /// Writes a letter by the sink; the ticket is done when it is durable.
    ///
    /// # Errors
    /// Those of [`Sink::keep`].
    pub fn write(&self, sink: &dyn Sink, lane: usize, event: &Event, ticket: &Arc<Ticket>, cause: &Cause<'_>) -> Result<()> {
        let id = name(event);
        let reason = cause.error.map(Reason::of);
        let entry = Entry {
            id: Arc::from(&*id),
            lane,
            key: SourceKey::of(event),
            state: if reason.is_some() { State::Dead } else { State::Parked },
            holds: cause.holds,
            bytes: event.footprint(),
            code: Arc::from(reason.as_ref().map_or("", |reason| &*reason.code)),
            transform: Arc::from(reason.as_ref().map_or("", Reason::transform)),
        };
        let mut index = self.index();
        if reason.is_none() && index.knows(&id) {
            // It came again after a crash, and is durable already.
            ticket.expect(0);
            return Ok(());
        }
        let state = entry.state;
        let order = index.add(entry);
        self.changed(&index, lane);
        drop(index);
        let (now, before) = (now(), cause.before);
        let letter = Letter {
            id,
            order,
            state,
            holds: cause.holds,
            lane,
            error: reason,
            made_by: cause.made_by.to_owned(),
            settings: cause.settings.to_owned(),
            attempts: before.map_or(0, |before| before.attempts) + u32::from(state == State::Dead),
            first: before.map_or_else(|| now.clone(), |before| before.first.clone()),
            last: now,
            event: written(event)?,
        };
        let bytes = serde_json::to_vec(&letter).or_kind(Kind::Internal, "cannot write a letter as JSON")?;
        ticket.expect(1);
        sink.keep(&letter.id, Some(&bytes), ticket)?;
        if self.ledger.is_gated() {
            self.fresh.lock().unwrap_or_else(PoisonError::into_inner).insert(Arc::from(&*letter.id), bytes);
        }
        crash::point(Point::LetterWritten);
        let (label, code) = (if state == State::Dead { "dead" } else { "parked" }, letter.error.map_or(String::new(), |error| error.code));
        self.try_again(&Arc::from(&*letter.id), letter.attempts, &code);
        metrics::counter!(LETTERS_WRITTEN, "state" => label, "code" => code).increment(1);
        Ok(())
    }

    /// A letter failed so often, with that kind of error; it is tried again if that is
    /// configured. One that kills relays is for people.
    fn try_again(&self, id: &Arc<str>, attempts: u32, code: &str) {
        if code != Kind::Deadly.code() {
            self.retries.plan(&self.config, id, attempts);
        }
    }

    /// Waits for the next letters to be tried again by themselves; for one task.
    pub async fn due(&self) -> Vec<Arc<str>> {
        loop {
            let mut ids = self.retries.next().await;
            let index = self.index();
            ids.retain(|id| index.knows(id));
            if !ids.is_empty() {
                return ids;
            }
        }
    }

    /// A letter that was written since the last commit, as it is in the store afterwards.
    #[must_use]
    pub fn fresh(&self, id: &str) -> Option<Letter> {
        serde_json::from_slice(self.fresh.lock().unwrap_or_else(PoisonError::into_inner).get(id)?).ok()
    }

    /// What was written is in the store.
    pub fn committed(&self) {
        self.fresh.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// A letter's event was sent; whether its key is free now.
    pub fn sent(&self, lane: usize, id: &str) -> bool {
        let mut index = self.index();
        let freed = index.sent(id);
        self.changed(&index, lane);
        freed
    }

    /// A letter is gone from the store.
    pub fn gone(&self, id: &str) {
        let mut index = self.index();
        if let Some(lane) = index.remove(id) {
            self.changed(&index, lane);
        }
    }
}

/// What became of each letter of a round.
#[derive(Debug, Default)]
pub struct Round {
    outcomes: Mutex<Vec<(usize, bool)>>,
    changed: Notify,
}

impl Round {
    fn outcomes(&self) -> MutexGuard<'_, Vec<(usize, bool)>> {
        self.outcomes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// So many, if they are there.
    #[must_use]
    pub fn try_all(&self, count: usize) -> Option<Vec<(usize, bool)>> {
        let mut outcomes = self.outcomes();
        (outcomes.len() >= count).then(|| std::mem::take(&mut *outcomes))
    }

    /// Waits for so many; each with its place in the round and whether it is done.
    pub async fn all(&self, count: usize) -> Vec<(usize, bool)> {
        loop {
            if let Some(outcomes) = self.try_all(count) {
                return outcomes;
            }
            self.changed.notified().await;
        }
    }
}

/// A letter on its way through the lanes once more.
#[derive(Debug)]
pub struct Errand {
    /// Its name.
    pub id: Arc<str>,
    /// How often it was tried.
    pub attempts: u32,
    /// When it came here.
    pub first: String,
    /// Whether its key is held back behind it.
    pub holds: bool,
    /// Whether nobody asked for it.
    pub by_itself: bool,
    failed: AtomicBool,
    at: usize,
    round: Arc<Round>,
}

impl Errand {
    /// The letter at this place of a round.
    #[must_use]
    pub fn new(letter: &Letter, at: usize, by_itself: bool, round: &Arc<Round>) -> Self {
        Self {
            id: Arc::from(&*letter.id),
            attempts: letter.attempts,
            first: letter.first.clone(),
            holds: letter.holds,
            by_itself,
            failed: AtomicBool::new(false),
            at,
            round: Arc::clone(round),
        }
    }

    /// Something of this round that is no event: that a letter is gone.
    #[must_use]
    pub fn notice(id: &Arc<str>, at: usize, round: &Arc<Round>) -> Self {
        let (first, round) = (String::new(), Arc::clone(round));
        Self { id: Arc::clone(id), attempts: 0, first, holds: false, by_itself: true, failed: AtomicBool::new(false), at, round }
    }

    /// It failed again, and stays.
    pub fn fail(&self) {
        self.failed.store(true, Ordering::Release);
    }
}

impl Watcher for Errand {
    fn settled(&self, done: bool) {
        self.round.outcomes().push((self.at, done && !self.failed.load(Ordering::Acquire)));
        self.round.changed.notify_one();
    }
}
