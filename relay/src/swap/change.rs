//! A change from the request to the switch.

use super::gates::{Gates, Novelty, Proposal};
use super::history::{Entry, Finding, Gate, Outcome, Passage, Way};
use super::record::{self, StageRecord, Winner, winner};
use super::request::{Choices, Denied, Module, Report, Request};
use super::shadow::Demand;
use super::start::find;
use super::{Configured, Control, retire, show, stage_records};
use crate::config::{Config, LANES};
use crate::crash::{self, Point};
use crate::error::{Context as _, Error, Kind, Result};
use crate::event::now;
use crate::generation::{Generation, Plan, Probation};
use crate::metrics::SWAPS;
use crate::modules::{Library, local};
use crate::suite::on_lane_stack;
use crate::transform::{Chain, StageSpec, digest, read};
use bytes::Bytes;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// A change that is being made.
struct Change {
    way: Way,
    by: String,
    base: Arc<Generation>,
    configured: Vec<Configured>,
    specs: Vec<StageSpec>,
    novelties: Vec<Novelty>,
    choices: Choices,
    gates: Vec<Finding>,
}

/// Characters of a guest's own words in an answer.
const GUEST: usize = 4096;

const UNDER_WAY: &str = "another swap is under way; try again when it is done";
/// What a relay says that waits for the pipeline's lock or its database.
pub(super) const NOT_OURS: &str = "this relay does not hold the pipeline now; ask the one that does, or try again when it is ready";
const ON_TRIAL: &str =
    "the active generation is on probation; a canary beside it would end that: wait, roll it back, or swap without a canary";
const CANARY: &str = "a canary is under way; wait until it has all lanes, or roll it back";

impl Control {
    /// Swaps one stage's component.
    ///
    /// # Errors
    /// When the request cannot be looked at; a gate that is shut is a report.
    pub async fn swap(self: &Arc<Self>, request: Request, by: &str) -> Result<Report, Denied> {
        let _turn = self.turn.try_lock().map_err(|_| Denied::Busy(UNDER_WAY))?;
        self.exchange(request, Way::Swap, by).await
    }

    /// As [`Control::swap`], after the change that is under way.
    pub(super) async fn patiently(self: &Arc<Self>, request: Request, way: Way, by: &str) -> Result<Report, Denied> {
        let _turn = self.turn.lock().await;
        self.exchange(request, way, by).await
    }

    async fn exchange(self: &Arc<Self>, request: Request, way: Way, by: &str) -> Result<Report, Denied> {
        let Request { transform, module, digest: wanted, choices } = request;
        let mut change = self.begin(way, by, choices)?;
        let stage = change.specs.iter().position(|spec| spec.name == transform).ok_or(Denied::Unknown(transform))?;
        let cases = change.configured.iter().find(|c| c.spec.name == change.specs[stage].name).and_then(|c| c.cases.clone());
        let started = Instant::now();
        let fetched = self.fetch(module).await;
        let millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        match fetched {
            Ok(None) => return Err(Denied::Failed(Error::new(Kind::SwapRefused, "there is no module with this digest in the library"))),
            Ok(Some(bytes)) => change.novelties.push(Novelty { stage, bytes, digest: wanted, cases }),
            Err(error) => {
                change.gates.push(Finding { gate: Gate::Fetch, passage: Passage::Refused, detail: error.line(), millis });
                return Ok(self.refuse(change, &error).await);
            }
        }
        self.make(change).await
    }

    /// Makes the chain of another `relay.toml` active, where it says something else.
    ///
    /// # Errors
    /// As [`Control::swap`].
    pub async fn reload(self: &Arc<Self>, mut configured: Vec<Configured>, config: &Config, by: &str) -> Result<Report, Denied> {
        let _turn = self.turn.lock().await;
        find(&mut configured, config).await?;
        let mut change = self.begin(Way::Reload, by, Choices { accept_changes: true, ..Choices::default() })?;
        let known = self.state().stages.clone();
        let active = std::mem::take(&mut change.specs);
        for written in &mut configured {
            let Configured { spec, local, cases, digest: found, .. } = written;
            let stage = change.specs.len();
            let now = active.iter().find(|now| now.name == spec.name);
            let won = winner(&spec.name, &record::entry(spec, local), &record::shape(spec), &known);
            let path = match (won, now) {
                (Winner::Stored(_), Some(now)) => {
                    *found = read(local).map(|bytes| digest(&bytes)).unwrap_or_default();
                    now.path.clone()
                }
                _ => {
                    let bytes = Bytes::from(read(local).map_err(|e| e.at("transform", &spec.name))?);
                    *found = digest(&bytes);
                    let same = change.base.chain.stages().any(|(now, active)| now.name == spec.name && active == *found);
                    if !same {
                        change.novelties.push(Novelty { stage, bytes, digest: None, cases: cases.clone() });
                    }
                    local.clone()
                }
            };
            change.specs.push(StageSpec { path, ..spec.clone() });
        }
        change.configured = configured;
        self.make(change).await
    }

    fn begin(&self, way: Way, by: &str, choices: Choices) -> Result<Change, Denied> {
        if let Some(steps) = &choices.canary {
            crate::config::check_canary(steps)?;
        }
        if !self.owns() {
            return Err(Denied::Busy(NOT_OURS));
        }
        let state = self.state();
        if state.candidate.is_some() {
            return Err(Denied::Busy(CANARY));
        }
        let steps = choices.canary.as_ref().unwrap_or(&self.config.canary);
        if !steps.is_empty() && self.board.plan().probation.is_some() {
            return Err(Denied::Busy(ON_TRIAL));
        }
        let base = Arc::clone(&state.active);
        let specs = base.chain.stages().map(|(spec, _)| spec.clone()).collect();
        let configured = state.configured.clone();
        Ok(Change { way, by: by.to_owned(), base, configured, specs, novelties: Vec::new(), choices, gates: Vec::new() })
    }

    async fn fetch(&self, module: Module) -> Result<Option<Bytes>> {
        let path = match module {
            Module::Bytes(bytes) => return Ok(Some(bytes)),
            Module::Kept(digest) => self.library()?.get(digest.strip_prefix("sha256:").unwrap_or(&digest))?,
            Module::Remote(reference) => Some(local(Path::new(&reference), &self.library()?, self.max_component()).await?),
        };
        path.map(|path| read(&path).map(Bytes::from)).transpose()
    }

    async fn make(self: &Arc<Self>, mut change: Change) -> Result<Report, Denied> {
        let library = self.library()?;
        let demand = Demand { accept_changes: change.choices.accept_changes, expect_same: change.choices.expect_same };
        let fresh: Vec<usize> = change.novelties.iter().map(|n| n.stage).collect();
        let proposal = Proposal {
            specs: change.specs.clone(),
            novelties: std::mem::take(&mut change.novelties),
            old: Arc::clone(&change.base.chain),
            sample: self.board.recent.batches(),
            demand,
        };
        let (findings, chain) = self.examine(&change.base, proposal, fresh, library).await?;
        change.gates = findings;
        let chain = match chain {
            Ok(chain) => chain,
            Err(error) => return Ok(self.refuse(change, &error).await),
        };
        if same(&chain, &change.base.chain) {
            self.state().configured.clone_from(&change.configured);
            return Ok(self.report(&change, &chain, Outcome::Unchanged, None, None));
        }
        if change.choices.dry_run {
            let report = self.report(&change, &chain, Outcome::DryRun, None, None);
            self.note(&change, &report).await;
            return Ok(report);
        }
        self.switch(change, chain).await
    }

    /// All gates; the inner error is that of one that is shut.
    async fn examine(
        &self,
        base: &Arc<Generation>,
        mut proposal: Proposal,
        fresh: Vec<usize>,
        library: Library,
    ) -> Result<(Vec<Finding>, Result<Arc<Chain>>)> {
        let mut gates = Gates::new(self.config.clone(), self.flow.clone(), library.clone());
        let base = Arc::clone(base);
        let compiling = move || {
            // The file of another stage may be another by now.
            pin(&base, &mut proposal.specs, &fresh, &library)?;
            let compiled = gates.compile(&mut proposal);
            Ok((gates, proposal, compiled))
        };
        let (mut gates, proposal, compiled) = self.workshop.run(compiling).await?;
        let compiled = match compiled {
            Ok(compiled) => compiled,
            Err(error) => return Ok((gates.findings, Err(error))),
        };
        let trying = tokio::task::spawn_blocking(move || {
            let chain = on_lane_stack(|| gates.try_out(&proposal, compiled))?;
            Ok((gates.findings, chain))
        });
        trying.await.or_kind(Kind::Internal, "trying the new generation failed")?
    }

    /// Every gate is open.
    async fn switch(self: &Arc<Self>, mut change: Change, chain: Arc<Chain>) -> Result<Report, Denied> {
        let generation = {
            let mut state = self.state();
            state.newest += 1;
            Generation::new(state.newest, Arc::clone(&chain))
        };
        let shares = change.choices.canary.as_ref().unwrap_or(&self.config.canary);
        let mut steps: Vec<usize> = shares.iter().map(|share| lanes_of(*share)).collect();
        steps.dedup();
        steps.push(LANES);
        let canary = steps.len() > 1;
        let watched = canary || !self.config.probation.is_zero();
        let stages = self.records(&generation, &change.configured).await;
        // Nobody else may remember the old generation behind this.
        let _writing = self.writing.lock().await;
        if !self.owns() {
            return Err(Denied::Busy(NOT_OURS));
        }
        if !canary {
            let record = self.record_of(&generation, &stages, watched);
            // Before the lanes: after a kill, what was remembered is what is active.
            if let Err(error) = self.put(record::ACTIVE, &record).await {
                change.gates.push(Finding { gate: Gate::Remember, passage: Passage::Refused, detail: error.line(), millis: 0 });
                self.write().await;
                return Ok(self.refuse(change, &error).await);
            }
            crash::point(Point::SwapRemembered);
        }
        let outcome = if canary {
            Outcome::Canary
        } else if watched {
            Outcome::Probation
        } else {
            Outcome::Active
        };
        let lanes = steps.remove(0);
        let probation = watched.then(|| Probation::new(Arc::clone(&generation), Arc::clone(&change.base), self.config.tolerate.clone()));
        if !self.hand_over(&change, &generation, stages, lanes, probation.clone()) {
            self.write().await;
            return Err(Denied::Busy("the active generation was rolled back meanwhile; try again"));
        }
        crash::point(Point::SwapSwitched);
        let report = self.report(&change, &chain, outcome, Some(generation.number), None);
        tracing::info!(
            generation = generation.number,
            made_by = chain.provenance(),
            by = change.by,
            outcome = outcome.label(),
            lanes,
            "swapped"
        );
        self.note(&change, &report).await;
        crash::point(Point::SwapNoted);
        if let Some(probation) = probation {
            self.supervise(generation, probation, steps);
        }
        Ok(report)
    }

    /// Gives the lanes to the new generation, unless its base is not active any more.
    fn hand_over(
        &self,
        change: &Change,
        generation: &Arc<Generation>,
        stages: Vec<StageRecord>,
        lanes: usize,
        probation: Option<Arc<Probation>>,
    ) -> bool {
        let mut state = self.state();
        if !Arc::ptr_eq(&state.active, &change.base) || self.board.plan().probation.as_ref().is_some_and(|p| p.is_condemned()) {
            return false;
        }
        if let Some(task) = state.supervisor.take() {
            task.abort();
        }
        let base = Arc::clone(&change.base);
        if self.board.plan().probation.is_some() {
            state.history.conclude(base.number, Outcome::Superseded, None);
        }
        state.configured.clone_from(&change.configured);
        if lanes < LANES {
            state.candidate = Some(Arc::clone(generation));
        } else {
            let before = std::mem::replace(&mut state.stages, stages);
            state.active = Arc::clone(generation);
            state.since = now();
            let gone = state.previous.replace((Arc::clone(&base), before));
            retire(gone.map(|(generation, _)| generation));
            show(generation);
        }
        self.board.switch(Plan { new: Arc::clone(generation), old: Some(base), lanes, probation });
        true
    }

    async fn refuse(&self, change: Change, error: &Error) -> Report {
        let stages = change.specs.iter().map(|spec| spec.name.clone()).collect();
        let report = Report {
            outcome: Outcome::Refused,
            generation: None,
            stages,
            reason: Some(error.line()),
            remedy: error.advice().map(str::to_owned),
            guest: error.said().map(|said| said.chars().take(GUEST).collect()),
            gates: change.gates.clone(),
        };
        let gate = change.gates.last().map(|finding| finding.gate.to_string());
        tracing::error!(gate, by = change.by, "the new generation is refused, the old one goes on: {}", error.line());
        self.note(&change, &report).await;
        report
    }

    fn report(&self, change: &Change, chain: &Chain, outcome: Outcome, generation: Option<u64>, reason: Option<String>) -> Report {
        let stages = chain.stages().map(|(spec, digest)| format!("{}@{}", spec.name, &digest[..12])).collect();
        Report { outcome, generation, stages, reason, remedy: None, guest: None, gates: change.gates.clone() }
    }

    async fn note(&self, change: &Change, report: &Report) {
        metrics::counter!(SWAPS, "outcome" => report.outcome.label()).increment(1);
        self.state().history.add(
            Entry {
                at: now(),
                by: change.by.clone(),
                way: change.way,
                generation: report.generation,
                stages: report.stages.clone(),
                outcome: report.outcome,
                reason: report.reason.clone(),
                gates: report.gates.clone(),
            },
            self.config.history,
        );
        self.remember_history().await;
    }

    /// The records of a generation's stages, by what `relay.toml` says now.
    pub(super) async fn stages_of(&self, generation: &Arc<Generation>) -> Vec<StageRecord> {
        let configured = self.state().configured.clone();
        self.records(generation, &configured).await
    }

    async fn records(&self, generation: &Arc<Generation>, configured: &[Configured]) -> Vec<StageRecord> {
        let (generation, configured) = (Arc::clone(generation), configured.to_vec());
        let read = tokio::task::spawn_blocking(move || stage_records(&generation.chain, &configured)).await;
        read.unwrap_or_default()
    }
}

/// Lanes of a share; at least one, and not all.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share of 64 lanes is a small number"
)]
fn lanes_of(share: f64) -> usize {
    ((LANES as f64 * share).round() as usize).clamp(1, LANES - 1)
}

fn same(a: &Chain, b: &Chain) -> bool {
    let identity = |chain: &Chain| {
        chain.stages().map(|(spec, digest)| (spec.name.clone(), digest.to_owned(), record::shape(spec))).collect::<Vec<_>>()
    };
    identity(a) == identity(b)
}

/// Has the stages that stay be loaded from what they are now.
fn pin(base: &Generation, specs: &mut [StageSpec], fresh: &[usize], library: &Library) -> Result<()> {
    for (_, spec) in specs.iter_mut().enumerate().filter(|(at, _)| !fresh.contains(at)) {
        let Some((_, wanted)) = base.chain.stages().find(|(now, _)| now.name == spec.name) else { continue };
        spec.path = pinned(&spec.path, wanted, library).map_err(|e| e.at("transform", &spec.name))?;
    }
    Ok(())
}

fn pinned(path: &Path, wanted: &str, library: &Library) -> Result<PathBuf> {
    if let Some(kept) = library.get(wanted)? {
        return Ok(kept);
    }
    if read(path).is_ok_and(|bytes| digest(&bytes) == wanted) {
        return Ok(path.to_owned());
    }
    Err(Error::new(Kind::SwapRefused, "the file of another transform of the chain changed since it was loaded, and is not kept")
        .at("file", path.display())
        .remedy("reload the whole configuration with SIGHUP, or set watch for it"))
}
