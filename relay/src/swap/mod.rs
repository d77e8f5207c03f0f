//! Hot swap: a new generation is checked before it gets an event, takes over
//! between two batches, is watched after, and goes by itself if it is worse.
//!
//! [`Control`] is the one mechanism behind the admin port, watched files and
//! SIGHUP. A new component is compiled by the [`compiler`], gates run in the
//! [`Workshop`], both at low priority; the switch is one write
//! to the lanes' [`Board`]; what is active is remembered in the pipeline's state,
//! and the components in its library.

mod change;
pub mod compiler;
mod gates;
mod history;
mod record;
mod request;
mod shadow;
mod start;
mod supervise;
mod watch;
mod workshop;

pub use history::{Entry, Finding, Gate, History, Outcome, Passage, Way};
pub use request::{Choices, Denied, Module, Report, Request};
pub use start::Owned;
pub use workshop::Workshop;

use crate::config::{Config, Flow, Modules, Swap};
use crate::error::{Error, Kind, Result};
use crate::event::now;
use crate::generation::{Board, Generation, Totals};
use crate::metrics::GENERATION;
use crate::modules::Library;
use crate::state::Store;
use crate::transform::{Chain, StageSpec};
use record::{PreviousRecord, Record, StageRecord};
use serde::Serialize;
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::task::AbortHandle;

/// A state that takes longer to take note is as good as away.
const REMEMBER: Duration = Duration::from_secs(10);

/// How long a generation that nobody needs is held for the lanes to let go of it:
/// whoever lets go last gives its memory back, and that takes milliseconds.
const LINGER: Duration = Duration::from_secs(2);

/// Reads `relay.toml` again.
pub type Reread = Arc<dyn Fn() -> Result<Config> + Send + Sync>;

/// One transform as `relay.toml` has it.
#[derive(Clone, Debug)]
pub struct Configured {
    /// The stage; its path as written.
    pub spec: StageSpec,
    /// The component's file, fetched from a registry or not.
    pub local: PathBuf,
    /// Digest of the component as it was when it was loaded from there.
    pub digest: String,
    /// Cases a new component must pass.
    pub cases: Option<PathBuf>,
    /// Whether to look for changes of the file.
    pub watch: bool,
}

/// See the module. One a pipeline.
pub struct Control {
    pipeline: String,
    flow: Flow,
    config: Swap,
    modules: Modules,
    board: Arc<Board>,
    store: Option<Arc<Store>>,
    /// Whether the store is there.
    made: tokio::sync::OnceCell<()>,
    /// Whether this relay holds the pipeline; set by [`Control::recall`].
    owned: AtomicBool,
    /// This process, in records.
    writer: String,
    /// One record at a time is made and written.
    writing: tokio::sync::Mutex<()>,
    workshop: Workshop,
    /// One change at a time.
    turn: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

struct State {
    configured: Vec<Configured>,
    active: Arc<Generation>,
    /// As last remembered.
    stages: Vec<StageRecord>,
    previous: Option<(Arc<Generation>, Vec<StageRecord>)>,
    /// It has some lanes.
    candidate: Option<Arc<Generation>>,
    supervisor: Option<AbortHandle>,
    newest: u64,
    revision: u64,
    since: String,
    history: History,
}

/// What is at work, for people and machines.
#[derive(Debug, Serialize)]
pub struct View {
    active: GenerationView,
    since: String,
    /// It has some of the lanes.
    candidate: Option<GenerationView>,
    /// It is warm, and `relay rollback` goes back to it.
    previous: Option<GenerationView>,
    /// How many lanes the newest has.
    lanes: usize,
    /// Whether it is watched beside the old one.
    probation: bool,
    /// Where all this is remembered.
    state: String,
    history: History,
}

#[derive(Debug, Serialize)]
struct GenerationView {
    number: u64,
    stages: Vec<StageView>,
    totals: Totals,
}

#[derive(Debug, Serialize)]
struct StageView {
    name: String,
    digest: String,
    /// Who says so: `relay.toml` or `swap`.
    from: &'static str,
}

impl Control {
    /// The board that the lanes go by.
    #[must_use]
    pub fn board(&self) -> &Arc<Board> {
        &self.board
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn library(&self) -> Result<Library> {
        Library::find(&self.modules, &self.pipeline)
    }

    /// Whether there is a transform of that name.
    #[must_use]
    pub fn has(&self, transform: &str) -> bool {
        self.state().active.chain.stages().any(|(spec, _)| spec.name == transform)
    }

    /// The largest component that is looked at, in bytes.
    #[must_use]
    pub fn max_component(&self) -> u64 {
        self.config.max_component.as_u64()
    }

    /// What is at work now.
    #[must_use]
    pub fn view(&self) -> View {
        let plan = self.board.plan();
        let state = self.state();
        let stage = |(spec, digest): (&StageSpec, &str)| {
            let written = state.configured.iter().find(|c| c.spec.name == spec.name);
            let from = if written.is_some_and(|c| c.digest == digest) { "relay.toml" } else { "swap" };
            StageView { name: spec.name.clone(), digest: digest.to_owned(), from }
        };
        let view = |generation: &Arc<Generation>| GenerationView {
            number: generation.number,
            stages: generation.chain.stages().map(stage).collect(),
            totals: generation.meter.totals(),
        };
        View {
            active: view(&state.active),
            since: state.since.clone(),
            candidate: state.candidate.as_ref().map(view),
            previous: state.previous.as_ref().map(|(previous, _)| view(previous)),
            lanes: plan.lanes,
            probation: plan.probation.as_ref().is_some_and(|p| !p.is_condemned()),
            state: self.store.as_ref().map_or_else(|| "nowhere".to_owned(), |store| store.place()),
            history: state.history.clone(),
        }
    }

    /// Whether this relay holds the pipeline. Without a state nobody else can.
    fn owns(&self) -> bool {
        self.store.is_none() || self.owned.load(Ordering::Acquire)
    }

    /// What is to be remembered of a generation that is to replace the active one.
    fn record_of(&self, generation: &Generation, stages: &[StageRecord], probation: bool) -> Record {
        let mut state = self.state();
        state.revision += 1;
        let previous = PreviousRecord { generation: state.active.number, stages: state.stages.clone() };
        Record {
            revision: state.revision,
            writer: self.writer.clone(),
            generation: generation.number,
            newest: state.newest,
            stages: stages.to_vec(),
            since: now(),
            probation,
            previous: Some(previous),
        }
    }

    /// What is to be remembered of the state as it is; and the components in use.
    fn record(&self) -> (Record, HashSet<String>) {
        let plan = self.board.plan();
        let mut state = self.state();
        state.revision += 1;
        let probation = state.candidate.is_none() && plan.probation.as_ref().is_some_and(|p| !p.is_condemned());
        let previous = state.previous.as_ref();
        let previous = previous.map(|(old, stages)| PreviousRecord { generation: old.number, stages: stages.clone() });
        let used = [Some(&state.active), state.previous.as_ref().map(|(old, _)| old), state.candidate.as_ref()];
        let digests = used.into_iter().flatten().flat_map(|g| g.chain.stages().map(|(_, digest)| digest.to_owned())).collect();
        let record = Record {
            revision: state.revision,
            writer: self.writer.clone(),
            generation: state.active.number,
            newest: state.newest,
            stages: state.stages.clone(),
            since: state.since.clone(),
            probation,
            previous,
        };
        (record, digests)
    }

    async fn put(&self, key: &str, value: &impl Serialize) -> Result<()> {
        // What another relay has remembered since must stay.
        let Some(store) = self.store.as_ref().filter(|_| self.owns()) else { return Ok(()) };
        let put = async {
            // Makes the topic.
            self.made.get_or_try_init(async || store.load().await.map(drop)).await?;
            store.put(key, value).await
        };
        tokio::time::timeout(REMEMBER, put).await.unwrap_or_else(|_| {
            Err(Error::new(Kind::BrokerUnavailable, format!("the pipeline's state did not take note within {REMEMBER:?}"))
                .remedy("is the broker up? nothing was changed"))
        })
    }

    /// Remembers what is active, and the history; a failure is only said, for the
    /// change is made.
    async fn remember(&self) {
        let _writing = self.writing.lock().await;
        self.write().await;
    }

    /// As [`Control::remember`], for whoever holds the pen.
    async fn write(&self) {
        let (record, used) = self.record();
        let history = self.state().history.clone();
        for put in [self.put(record::ACTIVE, &record).await, self.put(record::HISTORY, &history).await] {
            if let Err(error) = put {
                tracing::warn!("{error}");
            }
        }
        // A swap under way keeps a component that nobody uses yet.
        if let (Ok(_turn), Ok(library)) = (self.turn.try_lock(), self.library()) {
            match tokio::task::spawn_blocking(move || library.collect(&used)).await {
                Ok(Ok(0)) | Err(_) => {}
                Ok(Ok(gone)) => tracing::info!(modules = gone, "modules not used for longest were removed, by modules.max_bytes"),
                Ok(Err(error)) => tracing::warn!("{error}"),
            }
        }
    }

    async fn remember_history(&self) {
        let history = self.state().history.clone();
        if let Err(error) = self.put(record::HISTORY, &history).await {
            tracing::warn!("{error}");
        }
    }
}

/// Holds a generation for the lanes to let go of it first.
fn retire(generation: Option<Arc<Generation>>) {
    let Some(generation) = generation else { return };
    tokio::spawn(async move {
        tokio::time::sleep(LINGER).await;
        drop(tokio::task::spawn_blocking(move || drop(generation)).await);
    });
}

/// The stages of a generation as the record has them. Reads the files that
/// `relay.toml` names.
fn stage_records(chain: &Chain, configured: &[Configured]) -> Vec<StageRecord> {
    let stages = chain.stages();
    let record = |(spec, digest): (&StageSpec, &str)| {
        let written = configured.iter().find(|c| c.spec.name == spec.name);
        StageRecord {
            name: spec.name.clone(),
            digest: digest.to_owned(),
            shape: record::shape(spec),
            entry: written.map(|c| record::entry(&c.spec, &c.local)).unwrap_or_default(),
        }
    };
    stages.map(record).collect()
}

/// `name@digest` of each stage.
fn named(stages: &[StageRecord]) -> Vec<String> {
    stages.iter().map(|stage| format!("{}@{}", stage.name, stage.digest.get(..12).unwrap_or(&stage.digest))).collect()
}

/// The metric that says which generation has the lanes.
#[expect(clippy::cast_precision_loss, reason = "a gauge is a float; generations are few")]
fn show(generation: &Generation) {
    metrics::gauge!(GENERATION).set(generation.number as f64);
}
