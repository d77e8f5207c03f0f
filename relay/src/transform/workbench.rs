//! One component on the production engine under the production limits, with no
//! pipeline around it: what tests and trials work on.

use super::answer::Answer;
use super::chain::StageSpec;
use super::convert::Topics;
use super::engine::{Engine, Module};
use super::fault::Fault;
use super::instance::{Instance, Unused};
use super::stage::{Stage, call};
use crate::error::Result;
use crate::event::Event;

/// See the module.
pub struct Workbench {
    engine: Engine,
    stage: Stage,
    topics: Topics,
    instance: Option<Instance>,
    fuel: u64,
    memory: usize,
}

impl Workbench {
    /// A component with these settings and limits; nothing is instantiated yet.
    #[must_use]
    pub fn new(engine: &Engine, module: &Module, spec: &StageSpec) -> Self {
        let stage = Stage::new(spec, module.clone());
        let topics = Topics::new(&spec.topics);
        Self { engine: engine.clone(), stage, topics, instance: None, fuel: 0, memory: 0 }
    }

    /// Whether the component sees the event, by its `when`.
    #[must_use]
    pub fn sees(&self, event: &Event) -> bool {
        self.stage.sees(event)
    }

    /// Replaces the instance by a new one.
    ///
    /// # Errors
    /// `SettingsRefused` if `create` says no, `Component` if it cannot be had.
    pub fn renew(&mut self) -> Result<()> {
        self.instance = None;
        self.instance = Some(self.stage.instance(&self.engine)?);
        Ok(())
    }

    /// Passes events through as one batch, an answer for each. One that traps is
    /// searched by halves and tried again on a fresh instance, as a lane does.
    ///
    /// # Errors
    /// When an instance cannot be made.
    pub fn process(&mut self, events: &[&Event]) -> Result<Vec<Answer>> {
        self.fuel = 0;
        let mut answers = Vec::with_capacity(events.len());
        if !events.is_empty() {
            self.search(events, &mut answers)?;
        }
        Ok(answers)
    }

    fn search(&mut self, events: &[&Event], answers: &mut Vec<Answer>) -> Result<()> {
        if let Err(fault) = self.call(events, answers)? {
            let (left, right) = events.split_at(events.len() / 2);
            if left.is_empty() {
                if let Err(again) = self.call(right, answers)? {
                    answers.push(Answer::Fault(Fault { stack: again.stack.clone().or(fault.stack), ..again }));
                }
                return Ok(());
            }
            self.search(left, answers)?;
            self.search(right, answers)?;
        }
        Ok(())
    }

    /// The outer error is the instance's, the inner one the call's.
    fn call(&mut self, events: &[&Event], answers: &mut Vec<Answer>) -> Result<Result<(), Fault>> {
        if self.instance.is_none() {
            self.renew()?;
        }
        let Some(mut instance) = self.instance.take() else { return Ok(Ok(())) };
        let before = instance.spent();
        let outcomes = match call(&mut instance, events, &self.stage.limits) {
            Ok(outcomes) => outcomes,
            Err(fault) => return Ok(Err(fault)),
        };
        self.fuel += instance.spent() - before;
        self.memory = instance.memory_used();
        if !instance.is_spent(&self.stage.limits) {
            self.instance = Some(instance);
        }
        let read = |(event, outcome): (&&Event, _)| Answer::read(event, outcome, &mut self.topics, &self.stage.limits);
        answers.extend(events.iter().zip(outcomes).map(read));
        Ok(Ok(()))
    }

    /// Bytes of linear memory that the instance has, or had when it was last used.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.instance.as_ref().map_or(self.memory, Instance::memory_used)
    }

    /// What the component does not read; nothing of it, where it was not asked yet.
    #[must_use]
    pub fn unused(&self) -> Unused {
        self.instance.as_ref().map(Instance::unused).unwrap_or_default()
    }

    /// Drops the instance.
    pub fn discard(&mut self) {
        self.instance = None;
    }

    /// Instructions the calls of the last `process` took, on a metered engine.
    #[must_use]
    pub fn fuel(&self) -> u64 {
        self.fuel
    }
}
