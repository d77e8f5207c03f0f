//! One component of the chain at work on one lane: batches, and the search for
//! the one guilty event when a batch fails.

use super::bindings::{FailureKind, Outcome};
use super::convert::{Lists, Topics, apply};
use super::engine::{Engine, Module};
use super::fault::Fault;
use super::instance::Instance;
use crate::config::{Limits, When};
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

    fn locate(&self, error: Error) -> Error {
        error.at("transform", &self.name).at("digest", self.module.short_digest())
    }
}

/// What one event became in one stage.
pub(super) type Verdict = Result<Vec<Event>>;

/// Longest code of a failure that is taken from a guest; it is a label.
const CODE_CHARS: usize = 64;

/// Longest detail of a failure that is taken from a guest.
const DETAIL_CHARS: usize = 4096;

/// One lane's instance of a stage.
pub(super) struct LaneStage {
    instance: Option<Instance>,
    topics: Topics,
}

impl LaneStage {
    pub(super) fn new(stage: &Stage) -> Self {
        Self { instance: None, topics: Topics::new(&stage.topics) }
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
            None => Instance::new(engine, &stage.module, &stage.name, &stage.settings, &stage.limits).map_err(Failed::Instance)?,
        };
        let lists = Lists::new(events, instance.unused());
        let guest_events = lists.events(events, instance.unused());
        // A fault drops the whole store by not putting the instance back.
        let outcomes = instance.process(&guest_events, events.iter().map(|e| e.id.clone()), &stage.limits).map_err(Failed::Call)?;
        if !instance.is_spent(&stage.limits) {
            self.instance = Some(instance);
        }
        Ok(outcomes)
    }

    fn verdict(&mut self, stage: &Stage, event: &Event, outcome: Outcome) -> Verdict {
        let mut made = Vec::new();
        match outcome {
            Outcome::Pass => made.push(event.clone()),
            Outcome::Drop(_) => {}
            Outcome::Emit(messages) => {
                made.reserve_exact(messages.len().min(stage.limits.messages as usize));
                apply(event, messages, &mut self.topics, &stage.limits, &mut made).map_err(Fault::into_error)?;
            }
            Outcome::Fail(failure) => {
                let (kind, remedy) = match failure.kind {
                    FailureKind::Poison => (Kind::Poison, "correct the event in the source or the transform, then start again"),
                    FailureKind::Halt => (Kind::TransformHalt, "the transform declared itself unusable; see its documentation"),
                };
                let code: String = failure.code.chars().take(CODE_CHARS).collect();
                let detail: String = failure.detail.chars().take(DETAIL_CHARS).collect();
                let error = Error::new(kind, format!("the transform failed the event: {code}")).at("code", code);
                let error = if detail.is_empty() { error } else { error.guest(detail) };
                return Err(error.remedy(remedy));
            }
        }
        Ok(made)
    }
}

enum Failed {
    Instance(Error),
    Call(Fault),
}
