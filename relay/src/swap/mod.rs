//! Hot swap: a new generation is checked before it gets an event, takes over
//! between two batches, is watched after, and goes by itself if it is worse.
//!
//! [`Control`] is the one mechanism behind the admin port, watched files and
//! SIGHUP. Gates run in the [`Workshop`] at low priority; the switch is one write
//! to the lanes' [`Board`]; what is active is remembered in the pipeline's state,
//! and the components in its library.

mod change;
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
pub use workshop::Workshop;

use crate::config::{Config, Flow, Modules, Swap};
use crate::error::{Error, Kind, Result};
use crate::generation::{Board, Generation, Totals};
use crate::metrics::GENERATION;
use crate::modules::Library;
use crate::state::Store;
use crate::transform::StageSpec;
use record::{Record, StageRecord};
use serde::Serialize;
use std::collections::HashSet;
use std::path::PathBuf;
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

    /// What is to be remembered of the state as it is.
    fn record(state: &mut State, probation: bool) -> Record {
        state.revision += 1;
        Record {
            revision: state.revision,
            generation: state.active.number,
            newest: state.newest,
            stages: state.stages.clone(),
            since: state.since.clone(),
            probation,
            previous: state.previous.as_ref().map(|(_, stages)| stages.clone()).unwrap_or_default(),
        }
    }

    async fn put(&self, key: &str, value: &impl Serialize) -> Result<()> {
        let Some(store) = &self.store else { return Ok(()) };
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
    async fn remember(&self, probation: bool) {
        let (record, history, keep) = {
            let mut state = self.state();
            let record = Self::record(&mut state, probation);
            let keep: HashSet<String> = record.stages.iter().chain(&record.previous).map(|stage| stage.digest.clone()).collect();
            (record, state.history.clone(), keep)
        };
        for put in [self.put(record::ACTIVE, &record).await, self.put(record::HISTORY, &history).await] {
            if let Err(error) = put {
                tracing::warn!("{error}");
            }
        }
        let Ok(library) = self.library() else { return };
        match tokio::task::spawn_blocking(move || library.collect(&keep)).await {
            Ok(Ok(0)) | Err(_) => {}
            Ok(Ok(gone)) => tracing::info!(modules = gone, "modules not used for longest were removed, by modules.max_bytes"),
            Ok(Err(error)) => tracing::warn!("{error}"),
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
fn stage_records(generation: &Generation, configured: &[Configured]) -> Vec<StageRecord> {
    let stages = generation.chain.stages();
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
