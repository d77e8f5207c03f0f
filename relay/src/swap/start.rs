//! The first generation, and what an earlier relay left active.

use super::history::{Entry, Outcome, Way};
use super::record::{self, PreviousRecord, Record, Winner, winner};
use super::{Configured, Control, History, State, Workshop, named, show, stage_records};
use crate::config::Config;
use crate::error::{Context as _, Error, Kind, Result};
use crate::event::now;
use crate::generation::{Board, Generation, Plan, Probation, Recent};
use crate::modules::{Library, is_remote, local};
use crate::state::Store;
use crate::transform::{Chain, StageSpec, check_contract, digest, read};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

impl Control {
    /// Loads the chain of the configuration, and keeps its components.
    ///
    /// # Errors
    /// `Component` and `SettingsRefused` as [`Chain::load`].
    pub async fn start(config: &Config, mut configured: Vec<Configured>, store: Option<Arc<Store>>) -> Result<Arc<Self>> {
        find(&mut configured, config).await?;
        let specs: Vec<_> = configured.iter().map(|c| StageSpec { path: c.local.clone(), ..c.spec.clone() }).collect();
        let (flow, library) = (config.flow.clone(), Library::find(&config.modules, &config.name).ok());
        let keeps = store.is_some() || configured.iter().any(|c| c.watch);
        let chain = tokio::task::spawn_blocking(move || -> Result<Arc<Chain>> {
            let chain = Chain::load(&specs, &flow)?;
            if let (Some(library), true) = (library, keeps) {
                keep(&chain, &library);
            }
            Ok(chain)
        });
        let chain = chain.await.or_kind(Kind::Internal, "loading the chain failed")??;
        for (written, (_, digest)) in configured.iter_mut().zip(chain.stages()) {
            digest.clone_into(&mut written.digest);
        }
        let generation = Generation::new(1, chain);
        show(&generation);
        let budget = usize::try_from(config.swap.shadow_bytes.as_u64()).unwrap_or(usize::MAX);
        let board = Board::new(Arc::clone(&generation), Recent::new(budget));
        let stages = stage_records(&generation.chain, &configured);
        let state = State {
            configured,
            active: generation,
            stages,
            previous: None,
            candidate: None,
            supervisor: None,
            newest: 1,
            revision: 0,
            since: now(),
            history: History::default(),
        };
        Ok(Arc::new(Self {
            pipeline: config.name.clone(),
            flow: config.flow.clone(),
            config: config.swap.clone(),
            modules: config.modules.clone(),
            board,
            store,
            made: tokio::sync::OnceCell::new(),
            owned: AtomicBool::new(false),
            writer: uuid::Uuid::new_v4().to_string(),
            writing: tokio::sync::Mutex::default(),
            workshop: Workshop::open(&config.swap)?,
            turn: tokio::sync::Mutex::default(),
            state: Mutex::new(state),
        }))
    }

    /// Takes up what is remembered: to be called when the pipeline is ours, for
    /// until then another relay may swap. Swaps are possible while the answer lives.
    ///
    /// # Errors
    /// Those of the state; `Component` if a component that was swapped in is not in
    /// the library of this machine.
    pub async fn recall(self: &Arc<Self>) -> Result<Owned> {
        let owned = Owned(Arc::clone(self));
        if let Some(store) = &self.store {
            let records = store.peek().await?;
            let found = record::read(&records)?.filter(|found| !self.knows(found));
            let history: Option<History> = crate::state::read(&records, record::HISTORY)?;
            // Who does not hold the pipeline begins no swap; one may be on its way.
            let _turn = self.turn.lock().await;
            if let Some(mut history) = history
                && (found.is_some() || self.state().history.is_empty())
            {
                history.close();
                let mut state = self.state();
                state.newest = state.newest.max(history.newest());
                state.history = history;
            }
            if let Some(found) = found {
                self.adopt(found).await?;
            }
        }
        self.owned.store(true, Ordering::Release);
        Ok(owned)
    }

    /// Whether this process wrote it, and perhaps more since.
    fn knows(&self, found: &Record) -> bool {
        found.writer == self.writer && found.revision <= self.state().revision
    }

    async fn adopt(self: &Arc<Self>, found: Record) -> Result<()> {
        let (configured, active) = {
            let state = self.state();
            (state.configured.clone(), Arc::clone(&state.active))
        };
        let (library, flow) = (self.library(), self.flow.clone());
        let (remembered, config) = (found.clone(), configured.clone());
        let load = move || -> Result<(Arc<Chain>, bool, Option<Arc<Chain>>)> {
            let (specs, stored) = resolve(&config, &remembered, library.as_ref().ok())?;
            // By what is in the files now: they may have changed since this relay started.
            let now = |spec: &StageSpec| read(&spec.path).map(|bytes| digest(&bytes)).unwrap_or_default();
            let same = |chain: &Chain| {
                let loaded = chain.stages().map(|(spec, found)| (spec.name.clone(), record::shape(spec), found.to_owned()));
                loaded.eq(specs.iter().map(|spec| (spec.name.clone(), record::shape(spec), now(spec))))
            };
            let chain = if same(&active.chain) { Arc::clone(&active.chain) } else { Chain::load(&specs, &flow)? };
            let previous =
                library.ok().filter(|_| remembered.probation).and_then(|l| revive(&config, remembered.previous.as_ref()?, &l, &flow));
            Ok((chain, stored, previous))
        };
        let (chain, stored, previous) = self.workshop.run(load).await?;
        let (generation, previous) = self.take_up(found, chain, stored, previous, &configured);
        match previous {
            // It was on trial when the last relay ended; perhaps because it did.
            Some(old) => {
                let probation = Probation::new(Arc::clone(&generation), Arc::clone(&old), self.config.tolerate.clone());
                self.board.switch(Plan { probation: Some(Arc::clone(&probation)), ..Plan::steady(Arc::clone(&generation), Some(old)) });
                self.supervise(generation, probation, Vec::new());
            }
            None => {
                self.board.switch(Plan::steady(Arc::clone(&generation), None));
                self.state().history.conclude(generation.number, Outcome::Active, None);
            }
        }
        self.owned.store(true, Ordering::Release);
        if !stored {
            self.remember().await;
        }
        Ok(())
    }

    /// The generation as it was remembered, or with what `relay.toml` changed; and the
    /// one before, if it is still on trial.
    fn take_up(
        &self,
        found: Record,
        chain: Arc<Chain>,
        stored: bool,
        previous: Option<Arc<Chain>>,
        configured: &[Configured],
    ) -> (Arc<Generation>, Option<Arc<Generation>>) {
        let stages = stage_records(&chain, configured);
        let mut state = self.state();
        // Of the time before another relay had the pipeline.
        if let Some(task) = state.supervisor.take() {
            task.abort();
        }
        state.candidate = None;
        state.revision = found.revision;
        // A canary that never was active had a number too.
        state.newest = found.newest.max(found.generation).max(state.history.newest()) + u64::from(!stored);
        let number = if stored { found.generation } else { state.newest };
        let generation = Generation::new(number, chain);
        state.stages = stages;
        state.since = if stored { found.since } else { now() };
        state.active = Arc::clone(&generation);
        show(&generation);
        let previous = previous.zip(found.previous).map(|(chain, record)| (Generation::new(record.generation, chain), record.stages));
        state.previous.clone_from(&previous);
        let previous = previous.map(|(generation, _)| generation);
        if !stored {
            let stages = named(&state.stages);
            state.history.add(
                Entry {
                    at: now(),
                    by: "relay.toml".into(),
                    way: Way::Start,
                    generation: Some(number),
                    stages,
                    outcome: Outcome::Active,
                    reason: None,
                    gates: Vec::new(),
                },
                self.config.history,
            );
        }
        (generation, previous)
    }
}

/// Fetches what is at a registry.
pub(super) async fn find(configured: &mut [Configured], config: &Config) -> Result<()> {
    let remote = configured.iter().any(|c| is_remote(&c.spec.path));
    if remote {
        let library = Library::find(&config.modules, &config.name)?;
        for entry in configured.iter_mut() {
            let at = |e: Error| e.at("file", entry.spec.path.display()).at("transform", &entry.spec.name);
            entry.local = local(&entry.spec.path, &library, config.swap.max_component.as_u64()).await.map_err(at)?;
            if is_remote(&entry.spec.path) {
                // Later it would be called by its place in the library.
                let bytes = tokio::fs::read(&entry.local).await.or_kind(Kind::Io, "cannot read what was fetched");
                bytes.and_then(|bytes| check_contract(&bytes)).map_err(at)?;
            }
        }
    }
    Ok(())
}

/// Keeps the components of a chain, so that one can go back to them when their
/// files are others. Without them only that is not possible.
fn keep(chain: &Chain, library: &Library) {
    for (spec, wanted) in chain.stages() {
        let kept = read(&spec.path).and_then(|bytes| if digest(&bytes) == wanted { library.put(&bytes).map(drop) } else { Ok(()) });
        if let Err(error) = kept {
            tracing::warn!(transform = spec.name, "this component is not kept, one cannot go back to it after a restart: {error}");
        }
    }
}

/// The stages to run, and whether all are as they were remembered.
fn resolve(configured: &[Configured], record: &Record, library: Option<&Library>) -> Result<(Vec<StageSpec>, bool)> {
    let mut all = record.stages.len() == configured.len();
    let mut specs = Vec::new();
    for (at, Configured { spec, local, .. }) in configured.iter().enumerate() {
        let won = winner(&spec.name, &record::entry(spec, local), &record::shape(spec), &record.stages);
        all &= record.stages.get(at).is_some_and(|stage| stage.name == spec.name);
        let path = match won {
            Winner::Stored(wanted) if read(local).is_ok_and(|bytes| digest(&bytes) == wanted) => local.clone(),
            Winner::Stored(wanted) => {
                tracing::info!(transform = spec.name, digest = wanted.get(..12), "as it was swapped in: relay.toml did not change since");
                kept(&wanted, library)?.ok_or_else(|| missing(&spec.name, &wanted))?
            }
            Winner::File(why) => {
                tracing::info!(transform = spec.name, why, "relay.toml wins over what was swapped in");
                all = false;
                local.clone()
            }
        };
        specs.push(StageSpec { path, ..spec.clone() });
    }
    Ok((specs, all))
}

fn kept(digest: &str, library: Option<&Library>) -> Result<Option<PathBuf>> {
    library.map_or(Ok(None), |library| library.get(digest))
}

fn missing(transform: &str, digest: &str) -> Error {
    Error::new(Kind::Component, "the component that was swapped in is not on this machine").at("transform", transform).at("digest", digest).remedy(
        "copy it into modules.directory as <digest>.wasm, share that directory between the relays, or name it in relay.toml, which then wins",
    )
}

/// The generation before one on probation, if all of it is still there.
fn revive(configured: &[Configured], previous: &PreviousRecord, library: &Library, flow: &crate::config::Flow) -> Option<Arc<Chain>> {
    let mut specs = Vec::new();
    for stage in &previous.stages {
        let written = configured.iter().find(|c| c.spec.name == stage.name && record::shape(&c.spec) == stage.shape)?;
        specs.push(StageSpec { path: library.get(&stage.digest).ok()??, ..written.spec.clone() });
    }
    if specs.is_empty() {
        return None;
    }
    Chain::load(&specs, flow).ok()
}

/// A relay holds the pipeline while this lives: it may be swapped, and remember.
pub struct Owned(Arc<Control>);

impl Drop for Owned {
    fn drop(&mut self) {
        self.0.owned.store(false, Ordering::Release);
    }
}
