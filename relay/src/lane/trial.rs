//! Events that kill the relay. After relays that died one after the other, events are run
//! alone, each written down before; the one that was being run when the next relays died
//! is the one.

use crate::config::{DeadLetters, OnFailure};
use crate::dead_letters::name;
use crate::error::{Context as _, Error, Kind, Result};
use crate::event::Event;
use crate::state::{LIFE, Life, Store, is_of, read};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;

/// How long one record may take: a worker waits for it, and the end of a session for that.
const RECORD: Duration = Duration::from_secs(10);

/// How long the end of a session waits for its last record.
const FAREWELL: Duration = Duration::from_secs(3);

/// See the module. One a session.
pub struct Trial {
    store: Arc<Store>,
    runtime: Handle,
    life: Mutex<Life>,
    /// Held while an event is run alone.
    turn: Mutex<()>,
    /// Events still to be run alone.
    left: AtomicUsize,
    /// Deadly events by the names of their letters, and how many relays died of each.
    deadly: BTreeMap<String, u32>,
    follows: OnFailure,
}

impl Trial {
    /// Of a relay that begins to own the pipeline. What is in flight when a relay dies is
    /// at most `in_flight` events, and they are the first to come again: so many are run
    /// alone, if the relays before died.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn begin(store: Arc<Store>, relay: &str, config: &DeadLetters, in_flight: usize, follows: OnFailure) -> Result<Self> {
        let life = Life::begin(read(&store.load().await?, LIFE)?, relay);
        store.put(LIFE, &life).await?;
        let deadly: BTreeMap<_, _> = life.deadly(config.attempts).map(|(name, count)| (name.to_owned(), count)).collect();
        let careful = life.deaths() >= config.after_deaths;
        if careful {
            let deaths = life.deaths();
            tracing::warn!(
                deaths,
                events = in_flight,
                "relays died one after the other: events are run one at a time, to find one that kills"
            );
        }
        let left = AtomicUsize::new(if careful { in_flight } else { 0 });
        Ok(Self { store, runtime: Handle::current(), life: Mutex::new(life), turn: Mutex::default(), left, deadly, follows })
    }

    fn life(&self) -> MutexGuard<'_, Life> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether events are run alone.
    #[must_use]
    pub fn is_careful(&self) -> bool {
        self.left.load(Ordering::Acquire) > 0
    }

    /// What follows from a deadly event.
    #[must_use]
    pub const fn follows(&self) -> OnFailure {
        self.follows
    }

    /// The first of these that kills the relay.
    #[must_use]
    pub fn find(&self, events: &[Event]) -> Option<usize> {
        if self.deadly.is_empty() {
            return None;
        }
        events.iter().position(|event| self.deaths(event).is_some())
    }

    fn deaths(&self, event: &Event) -> Option<u32> {
        // The name costs a hash of the event.
        self.deadly.keys().any(|known| is_of(known, event)).then(|| self.deadly.get(&name(event)).copied())?
    }

    /// Why a deadly event is not run.
    #[must_use]
    pub fn verdict(&self, event: &Event) -> Error {
        let deaths = self.deaths(event).unwrap_or_default();
        event
            .locate(Error::new(Kind::Deadly, format!("{deaths} relays died while they ran this event, and nothing else")))
            .remedy("try it apart from the relay, with `relay replay`; a redrive runs it again, and may kill the relay again")
    }

    /// Writes down that this event is run alone from now on, until what is returned is
    /// dropped. Blocks; for threads that are not the runtime's.
    ///
    /// # Errors
    /// Those of the store; `BrokerUnavailable` if it does not answer.
    pub fn attempt(&self, event: &Event) -> Result<MutexGuard<'_, ()>> {
        let turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let life = {
            let mut life = self.life();
            life.attempt(name(event));
            life.clone()
        };
        self.runtime.block_on(self.put(&life, RECORD))?;
        let one_less = |left: usize| left.checked_sub(1);
        if self.left.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_less) == Ok(1) {
            tracing::info!("everything that was in flight when the relays died was run: events are run in batches again");
        }
        Ok(turn)
    }

    async fn put(&self, life: &Life, within: Duration) -> Result<()> {
        let put = tokio::time::timeout(within, self.store.put(LIFE, life)).await;
        put.or_kind(Kind::BrokerUnavailable, "the state does not answer")?.map_err(|e| e.at("state", self.store.place()))
    }

    /// Events need not be run alone any more.
    pub fn relax(&self) {
        self.left.store(0, Ordering::Release);
    }

    /// Nobody died for a while; `false` if that is not sure yet, for events are run alone.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn live_well(&self) -> Result<bool> {
        if self.is_careful() {
            return Ok(false);
        }
        let life = {
            let mut life = self.life();
            if life.deaths() == 0 {
                return Ok(true);
            }
            life.live_well();
            life.clone()
        };
        self.put(&life, RECORD).await.map(|()| true)
    }

    /// The session ends by itself.
    pub async fn end(&self, well: bool) {
        let life = {
            let mut life = self.life();
            life.end(well);
            life.clone()
        };
        if let Err(error) = self.put(&life, FAREWELL).await {
            tracing::debug!(%error, "the end was not recorded: the next start takes it for a death");
        }
    }
}
