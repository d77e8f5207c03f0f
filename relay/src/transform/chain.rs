//! A generation: the whole ordered chain, immutable, and a lane's working copy.

use super::engine::{Engine, digest};
use super::stage::{LaneStage, Stage, Strain, Verdict};
use crate::config::{Flow, Limits, OnFailure, Transform, When};
use crate::error::{Error, Kind, Result};
use crate::event::Event;
use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

/// What a stage is made of.
#[derive(Clone, Debug)]
pub struct StageSpec {
    /// Name in headers and errors.
    pub name: String,
    /// The component.
    pub path: PathBuf,
    /// Settings as JSON text.
    pub settings: String,
    /// Bounds.
    pub limits: Limits,
    /// Which events it sees.
    pub when: When,
    /// Topics it may name.
    pub topics: Vec<String>,
    /// What follows from an event that fails in it.
    pub on_poison: OnFailure,
}

impl StageSpec {
    /// From the configuration; `topics` are those the sink allows, and `otherwise` is what
    /// follows from a failure where the transform does not say.
    #[must_use]
    pub fn new(transform: &Transform, topics: &[String], otherwise: OnFailure) -> Self {
        Self {
            name: transform.name.clone(),
            path: transform.path.clone(),
            settings: serde_json::Value::Object(transform.settings.clone()).to_string(),
            limits: transform.limits.clone(),
            when: transform.when.clone(),
            topics: topics.iter().chain(&transform.topics).cloned().collect(),
            on_poison: transform.on_poison.unwrap_or(otherwise),
        }
    }
}

/// See the module.
pub struct Chain {
    engine: Engine,
    stages: Vec<Stage>,
    specs: Vec<StageSpec>,
    provenance: String,
    /// Digest of all settings.
    settings: String,
    batch_events: usize,
    batch_bytes: usize,
}

impl Chain {
    /// Loads and checks every component and tries it with its settings.
    ///
    /// # Errors
    /// `Component`, naming the transform, the file and the remedy.
    pub fn load(specs: &[StageSpec], flow: &Flow) -> Result<Arc<Self>> {
        let chain = Self::compile(specs, flow)?;
        chain.trial()?;
        for stage in &chain.stages {
            let module = &stage.module;
            tracing::info!(transform = stage.name, digest = module.short_digest(), bytes = module.size(), "component ready");
        }
        Ok(chain)
    }

    /// Loads, checks and compiles every component; [`Chain::trial`] is still to come.
    ///
    /// # Errors
    /// As [`Chain::load`].
    pub fn compile(specs: &[StageSpec], flow: &Flow) -> Result<Arc<Self>> {
        let limits: Vec<_> = specs.iter().map(|s| s.limits.clone()).collect();
        let engine = Engine::new(&limits)?;
        let mut stages = Vec::new();
        for spec in specs {
            let located = |e: Error| e.at("transform", &spec.name).at("file", spec.path.display());
            let module = engine.load(&spec.path).map_err(located)?;
            stages.push(Stage::new(spec, module));
        }
        let provenance = stages.iter().map(|s| format!("{}@{}", s.name, s.module.short_digest())).collect::<Vec<_>>().join(",");
        let batch_bytes = usize::try_from(flow.batch_bytes.as_u64()).unwrap_or(usize::MAX);
        let specs = specs.to_vec();
        let settings = digest(specs.iter().map(|spec| format!("{}\n", spec.settings)).collect::<String>().as_bytes());
        Ok(Arc::new(Self { engine, stages, specs, provenance, settings, batch_events: flow.batch_events, batch_bytes }))
    }

    /// Makes an instance of each component with its settings: the proof that it
    /// works, for types alone accept a component whose enum lacks a case.
    ///
    /// # Errors
    /// As [`Chain::load`].
    pub fn trial(&self) -> Result<()> {
        for (stage, spec) in self.stages.iter().zip(&self.specs) {
            stage.instance(&self.engine).map_err(|e| e.at("transform", &spec.name).at("file", spec.path.display()))?;
        }
        Ok(())
    }

    /// What it is made of, with the digest of each component.
    pub fn stages(&self) -> impl Iterator<Item = (&StageSpec, &str)> {
        self.specs.iter().zip(self.stages.iter().map(|stage| stage.module.digest()))
    }

    /// sha256 of the settings of all stages.
    #[must_use]
    pub fn settings(&self) -> &str {
        &self.settings
    }

    /// `name@digest` of each stage, for the header `relay-transform`; empty for
    /// an empty chain.
    #[must_use]
    pub fn provenance(&self) -> &str {
        &self.provenance
    }
}

/// What a batch became: the messages of all events before the first that
/// failed, in order, each with the index of the event it came from.
#[derive(Debug, Default)]
pub struct Produced {
    /// `(index of the event, message)`, ascending.
    pub messages: Vec<(usize, Event)>,
    /// The first event that failed, and why. It has no messages, and the events
    /// behind it were not dealt with.
    pub failure: Option<(usize, Error)>,
    /// What is to follow from it.
    pub follows: Option<OnFailure>,
    /// What went wrong on the way.
    pub strain: Strain,
}

/// An event between two stages, and the index of the one it came from.
type Item<'a> = (usize, Cow<'a, Event>);

/// One lane's instances of a chain.
pub struct LaneChain {
    chain: Arc<Chain>,
    stages: Vec<LaneStage>,
}

impl LaneChain {
    /// Makes no instance yet; the first event does.
    #[must_use]
    pub fn new(chain: Arc<Chain>) -> Self {
        let stages = chain.stages.iter().map(LaneStage::new).collect();
        Self { chain, stages }
    }

    /// Runs consecutive events of the lane through the whole chain.
    pub fn run(&mut self, events: &[Event]) -> Produced {
        let mut items: Vec<Item<'_>> = events.iter().map(Cow::Borrowed).enumerate().collect();
        let (mut failure, mut follows, mut strain) = (None, None, Strain::default());
        for (stage, lane) in self.chain.stages.iter().zip(&mut self.stages) {
            let seen: Vec<&Event> = items.iter().map(|(_, e)| &**e).filter(|e| stage.sees(e)).collect();
            if seen.is_empty() {
                continue;
            }
            let mut verdicts: Vec<Verdict> = Vec::with_capacity(seen.len());
            for batch in batches(&seen, self.chain.batch_events, self.chain.batch_bytes) {
                if !lane.run(&self.chain.engine, stage, batch, &mut verdicts) {
                    break;
                }
            }
            strain.add(lane.take_strain());
            let failed;
            (items, failed) = merge(stage, items, verdicts);
            // Later stages see only what stands before it, so theirs comes first.
            if failed.is_some() {
                (failure, follows) = (failed, Some(stage.on_poison));
            }
        }
        let messages = items.into_iter().map(|(origin, event)| (origin, event.into_owned())).collect();
        Produced { messages, failure, follows, strain }
    }
}

/// Cuts a slice into batches within both bounds; an item over the bound of
/// bytes goes alone.
fn batches<'a, 'e>(events: &'a [&'e Event], max_events: usize, max_bytes: usize) -> Vec<&'a [&'e Event]> {
    let mut out = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (i, event) in events.iter().enumerate() {
        let size = event.size();
        if i > start && (i - start >= max_events || bytes + size > max_bytes) {
            out.push(&events[start..i]);
            (start, bytes) = (i, 0);
        }
        bytes += size;
    }
    out.push(&events[start..]);
    out
}

/// Puts a stage's verdicts in the place of the events it saw, up to the first
/// failure. An event that failed loses its siblings too: all of it is
/// published, or nothing.
fn merge<'a>(stage: &Stage, items: Vec<Item<'a>>, verdicts: Vec<Verdict>) -> (Vec<Item<'a>>, Option<(usize, Error)>) {
    let mut verdicts = verdicts.into_iter();
    let mut out: Vec<Item<'a>> = Vec::with_capacity(items.len());
    for (origin, event) in items {
        if !stage.sees(&event) {
            out.push((origin, event));
            continue;
        }
        let error = match verdicts.next() {
            Some(Ok(made)) => {
                out.extend(made.into_iter().map(|e| (origin, Cow::Owned(e))));
                continue;
            }
            Some(Err(error)) => error,
            None => Error::new(Kind::Internal, "an event without a verdict"),
        };
        out.retain(|(o, _)| *o < origin);
        return (out, Some((origin, error)));
    }
    (out, None)
}
