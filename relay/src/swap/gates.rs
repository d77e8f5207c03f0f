//! What a new generation has to pass before any event reaches it.

use super::compiler::Compiler;
use super::history::{Finding, Gate, Passage};
use super::shadow::{Demand, shadow};
use crate::config::{Flow, Swap};
use crate::crash::{self, Point};
use crate::error::{Context as _, Error, Kind, Result};
use crate::event::Event;
use crate::modules::Library;
use crate::suite::{Case, Suite, find};
use crate::transform::{Chain, StageSpec, check_contract, digest};
use bytes::Bytes;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// A generation as it is to be.
pub struct Proposal {
    /// Its stages, in order.
    pub specs: Vec<StageSpec>,
    /// The stages whose components are new.
    pub novelties: Vec<Novelty>,
    /// The generation it is to replace.
    pub old: Arc<Chain>,
    /// Events to try it on.
    pub sample: Vec<Vec<Event>>,
    /// What the shadow may let pass.
    pub demand: Demand,
}

/// A component that was not there before.
pub struct Novelty {
    /// Which stage it is of.
    pub stage: usize,
    /// The component.
    pub bytes: Bytes,
    /// What its digest must be.
    pub digest: Option<String>,
    /// Cases it must pass.
    pub cases: Option<PathBuf>,
}

/// Looks at one proposal; keeps what each gate said. In two halves: compiling is
/// done at low priority, but a guest runs at that of the lanes, for its deadlines are
/// of the clock on the wall, and a thread that is starved would miss them.
pub struct Gates {
    config: Swap,
    flow: Flow,
    library: Library,
    compiler: Compiler,
    /// So far.
    pub findings: Vec<Finding>,
}

/// What is compiled, and not tried yet.
pub struct Compiled {
    chain: Arc<Chain>,
    /// Of each novelty that has cases.
    suites: Vec<Option<(PathBuf, Result<Suite>)>>,
}

/// What an open gate says; `None` where there was nothing to look at.
type Word = Option<String>;

impl Gates {
    /// Before the first gate. Of the runtime it is made in.
    #[must_use]
    pub fn new(config: Swap, flow: Flow, library: Library) -> Self {
        Self { compiler: Compiler::new(config.clone()), config, flow, library, findings: Vec::new() }
    }

    /// Passes one, or not.
    fn pass<T>(&mut self, gate: Gate, look: impl FnOnce() -> Result<(T, Word)>) -> Result<T> {
        let started = Instant::now();
        let looked = look();
        let millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (passage, detail) = match &looked {
            Ok((_, Some(word))) => (Passage::Passed, word.clone()),
            Ok((_, None)) => (Passage::Skipped, String::new()),
            Err(error) => (Passage::Refused, error.line()),
        };
        self.findings.push(Finding { gate, passage, detail, millis });
        looked.map(|(value, _)| value)
    }

    /// The first half, up to the first gate that is shut. Blocks for as long as
    /// compiling takes.
    ///
    /// # Errors
    /// That gate's.
    pub fn compile(&mut self, proposal: &mut Proposal) -> Result<Compiled> {
        let (library, flow, limit) = (self.library.clone(), self.flow.clone(), self.config.max_component.as_u64());
        for novelty in &proposal.novelties {
            self.pass(Gate::Digest, || same_digest(novelty))?;
            self.pass(Gate::Size, || fits(novelty, limit))?;
            self.pass(Gate::Imports, || check_contract(&novelty.bytes).map(|()| ((), Some("imports only the host's log".to_owned()))))?;
            let path = self.pass(Gate::Keep, || library.put(&novelty.bytes).map(|path| (path, Some(digest(&novelty.bytes)))))?;
            proposal.specs[novelty.stage].path = path;
            crash::point(Point::SwapKept);
        }
        let specs = &proposal.specs;
        let (compiler, novelties) = (self.compiler.clone(), &proposal.novelties);
        let chain = self.pass(Gate::Compile, || {
            let mut apart = 0;
            for novelty in novelties {
                apart += usize::from(compiler.compile(&specs[novelty.stage].path)?);
            }
            let chain = Chain::compile(specs, &flow)?;
            Ok((chain, Some(format!("{} stages, {apart} compiled in a process of its own", specs.len()))))
        })?;
        crash::point(Point::SwapCompiled);
        let suite = |n: &Novelty| n.cases.clone().map(|place| (place.clone(), golden(&specs[n.stage], &place)));
        Ok(Compiled { chain, suites: proposal.novelties.iter().map(suite).collect() })
    }

    /// The second half. Needs the stack of a lane.
    ///
    /// # Errors
    /// That of the gate that is shut.
    pub fn try_out(&mut self, proposal: &Proposal, compiled: Compiled) -> Result<Arc<Chain>> {
        let Compiled { chain, suites } = compiled;
        self.pass(Gate::Trial, || chain.trial().map(|()| ((), Some("created with its settings".to_owned()))))?;
        for suite in suites {
            self.pass(Gate::Cases, || suite.map_or(Ok(((), None)), |(place, suite)| pass_cases(&suite?, &place)))?;
        }
        let Proposal { old, sample, demand, .. } = proposal;
        let config = self.config.clone();
        self.pass(Gate::Shadow, || match shadow(old, &chain, sample, &config, *demand) {
            _ if sample.is_empty() => Ok(((), None)),
            Ok(text) => Ok(((), Some(text))),
            Err(text) => Err(Error::new(Kind::SwapRefused, text).remedy(
                "correct the component; or, if it is meant to be so, swap with --accept-changes (topics, keys, numbers of messages)",
            )),
        })?;
        crash::point(Point::SwapTried);
        Ok(chain)
    }
}

fn same_digest(novelty: &Novelty) -> Result<((), Word)> {
    let Some(wanted) = &novelty.digest else { return Ok(((), None)) };
    let found = digest(&novelty.bytes);
    if wanted.strip_prefix("sha256:").unwrap_or(wanted).eq_ignore_ascii_case(&found) {
        return Ok(((), Some(found)));
    }
    Err(Error::new(Kind::SwapRefused, format!("this is sha256:{found}, not {wanted}")).remedy("is it the file that was meant?"))
}

fn fits(novelty: &Novelty, limit: u64) -> Result<((), Word)> {
    let size = novelty.bytes.len() as u64;
    if size <= limit {
        return Ok(((), Some(format!("{size} bytes"))));
    }
    Err(Error::new(Kind::SwapRefused, format!("the component has {size} bytes, the limit is {limit}"))
        .remedy("raise swap.max_component, or make the component smaller"))
}

/// The module's own cases, on the engine that production has.
fn golden(spec: &StageSpec, place: &Path) -> Result<Suite> {
    let cases = find(place)?.iter().map(|file| Case::load(file)).collect::<Result<Vec<_>>>()?;
    Suite::unmetered(&spec.path, cases)
}

fn pass_cases(suite: &Suite, place: &Path) -> Result<((), Word)> {
    let mut failed = Vec::new();
    for case in suite.cases() {
        let report = suite.run(case).or_kind(Kind::SwapRefused, format!("the case `{}` cannot be run", case.name))?;
        if !report.passed() {
            failed.push(format!("`{}`", report.name));
        }
    }
    match failed.as_slice() {
        [] => Ok(((), Some(format!("{} cases pass", suite.cases().len())))),
        some => Err(Error::new(Kind::SwapRefused, format!("{} of {} cases fail: {}", some.len(), suite.cases().len(), some.join(", ")))
            .at("cases", place.display())
            .remedy("`relay test` with this component shows what differs")),
    }
}
