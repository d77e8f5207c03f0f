//! One component of the chain at work on one lane: batches, and the search for
//! the one guilty event when a batch fails.

use super::answer::Answer;
use super::bindings::Outcome;
use super::chain::StageSpec;
use super::convert::{Lists, Topics};
use super::engine::{Engine, Module};
use super::fault::Fault;
use super::instance::Instance;
use crate::config::{Limits, OnFailure, When};
use crate::error::{Error, Kind, Result};
use crate::event::Event;

/// A stage of a generation: everything a lane needs to make instances of it.
pub struct Stage {
    pub(super) name: String,
    pub(super) module: Module,
    pub(super) settings: String,
    pub(super) limits: Limits,
    pub(super) when: When,
    pub(super) topics: Vec<String>,
    pub(super) on_poison: OnFailure,
}

impl Stage {
    /// Whether this stage sees the event.
    pub(super) fn sees(&self, event: &Event) -> bool {
        let holds = |list: &[String], value: &str| list.is_empty() || list.iter().any(|v| v == value);
        let when = &self.when;
        holds(&when.entity, &event.entity)
            && holds(&when.event_type, &event.event_type)
            && (when.operation.is_empty() || when.operation.contains(&event.operation))
    }

    /// From what it is made of and its compiled component.
    pub(super) fn new(spec: &StageSpec, module: Module) -> Self {
        let StageSpec { name, settings, limits, when, topics, on_poison, .. } = spec.clone();
        Self { name, module, settings, limits, when, topics, on_poison }
    }

    /// An instance created with the settings.
    pub(super) fn instance(&self, engine: &Engine) -> Result<Instance> {
        Instance::new(engine, &self.module, &self.name, &self.settings, &self.limits)
    }

    fn locate(&self, error: Error) -> Error {
        error.at("transform", &self.name).at("digest", self.module.short_digest())
    }
}

/// What one event became in one stage.
pub(super) type Verdict = Result<Vec<Event>>;

/// What went wrong in a lane, whether or not an event failed of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Strain {
    /// Calls that trapped, overran a limit or broke the contract. A trap that a
    /// fresh instance does not repeat fails no event, and is one here.
    pub faults: u32,
    /// Code of the last of them.
    pub fault: Option<&'static str>,
    /// Instances replaced because their memory passed the watermark.
    pub outgrown: u32,
}

impl Strain {
    /// Adds another.
    pub fn add(&mut self, other: Self) {
        self.faults += other.faults;
        self.fault = other.fault.or(self.fault);
        self.outgrown += other.outgrown;
    }
}

/// One lane's instance of a stage.
pub(super) struct LaneStage {
    instance: Option<Instance>,
    topics: Topics,
    strain: Strain,
}

impl LaneStage {
    pub(super) fn new(stage: &Stage) -> Self {
        Self { instance: None, topics: Topics::new(&stage.topics), strain: Strain::default() }
    }

    /// What went wrong since this was last asked.
    pub(super) fn take_strain(&mut self) -> Strain {
        std::mem::take(&mut self.strain)
    }

    /// Runs consecutive events in order: a verdict each, up to and including
    /// the first failure. What stands behind it is not looked at, because the
    /// lane may not go on before that failure is dealt with. Returns whether
    /// all passed.
    pub(super) fn run(&mut self, engine: &Engine, stage: &Stage, events: &[&Event], out: &mut Vec<Verdict>) -> bool {
        match self.call(engine, stage, events) {
            Ok(outcomes) => events.iter().zip(outcomes).all(|(event, outcome)| {
                out.push(self.verdict(stage, event, outcome).map_err(|e| stage.locate(event.locate(e))));
                out.last().is_some_and(Result::is_ok)
            }),
            // The module cannot even be instantiated any more.
            Err(Failed::Instance(error)) => {
                out.push(Err(error));
                false
            }
            Err(Failed::Call(fault)) => match events {
                [event] => self.second_chance(engine, stage, event, &fault, out),
                _ => {
                    tracing::debug!(
                        transform = stage.name,
                        events = events.len(),
                        code = fault.code,
                        "batch failed; searching the guilty event"
                    );
                    let (left, right) = events.split_at(events.len() / 2);
                    self.run(engine, stage, left, out) && self.run(engine, stage, right, out)
                }
            },
        }
    }

    /// An event is guilty only if it fails alone on a fresh instance too.
    fn second_chance(&mut self, engine: &Engine, stage: &Stage, event: &Event, first: &Fault, out: &mut Vec<Verdict>) -> bool {
        let locate = |e: Error| stage.locate(event.locate(e));
        out.push(match self.call(engine, stage, &[event]) {
            Ok(mut outcomes) => match outcomes.pop() {
                Some(outcome) => {
                    tracing::warn!(
                        transform = stage.name,
                        id = &*event.id,
                        %first,
                        "an event failed once and passed on a fresh instance: the transform keeps state or is nondeterministic"
                    );
                    self.verdict(stage, event, outcome).map_err(locate)
                }
                None => Err(locate(Error::new(Kind::Internal, "no outcome for one event"))),
            },
            Err(Failed::Instance(error)) => Err(error),
            Err(Failed::Call(second)) => Err(locate(second.into_error())),
        });
        out.last().is_some_and(Result::is_ok)
    }

    fn call(&mut self, engine: &Engine, stage: &Stage, events: &[&Event]) -> Result<Vec<Outcome>, Failed> {
        let mut instance = match self.instance.take() {
            Some(instance) => instance,
            None => stage.instance(engine).map_err(Failed::Instance)?,
        };
        // A fault drops the whole store by not putting the instance back.
        let outcomes = call(&mut instance, events, &stage.limits).map_err(|fault| {
            self.strain.add(Strain { faults: 1, fault: Some(fault.code), outgrown: 0 });
            Failed::Call(fault)
        })?;
        self.strain.outgrown += u32::from(instance.is_outgrown(&stage.limits));
        if !instance.is_spent(&stage.limits) {
            self.instance = Some(instance);
        }
        Ok(outcomes)
    }

    fn verdict(&mut self, stage: &Stage, event: &Event, outcome: Outcome) -> Verdict {
        match Answer::read(event, outcome, &mut self.topics, &stage.limits) {
            Answer::Pass => Ok(vec![event.clone()]),
            Answer::Drop(_) => Ok(Vec::new()),
            Answer::Emit(made) => Ok(made),
            Answer::Fail(failure) => Err(failure.into_error()),
            Answer::Fault(fault) => Err(fault.into_error()),
        }
    }
}

/// One call of `process` with these events.
pub(super) fn call(instance: &mut Instance, events: &[&Event], limits: &Limits) -> Result<Vec<Outcome>, Fault> {
    let unused = instance.unused();
    let lists = Lists::new(events, unused);
    instance.process(&lists.events(events, unused), events.iter().map(|e| e.id.clone()), limits)
}

enum Failed {
    Instance(Error),
    Call(Fault),
}
