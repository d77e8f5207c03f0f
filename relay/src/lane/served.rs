//! A lane's instances: those of its generation, and of the other one of a probation.

use crate::crash;
use crate::event::Event;
use crate::generation::{Generation, Plan};
use crate::transform::{LaneChain, Produced};
use std::sync::Arc;
use std::time::Instant;

/// A lane's instances of one generation.
pub(super) struct Served {
    generation: Arc<Generation>,
    chain: LaneChain,
}

impl Served {
    fn new(generation: &Arc<Generation>) -> Self {
        Self { generation: Arc::clone(generation), chain: LaneChain::new(Arc::clone(&generation.chain)) }
    }

    /// Runs what says nothing of the generation: an event that failed before.
    pub(super) fn try_out(&mut self, events: &[Event]) -> Produced {
        crash::running(events);
        self.chain.run(events)
    }

    /// Runs and measures.
    pub(super) fn run(&mut self, events: &[Event]) -> Produced {
        crash::running(events);
        let (count, started) = (events.len(), Instant::now());
        let produced = self.chain.run(events);
        self.generation.meter.add(count, &produced, started.elapsed());
        produced
    }
}

pub(super) enum Lane {
    /// No event came yet, or its generation is gone.
    Idle,
    /// Its generation, and the other one of a probation.
    Running(Served, Option<Served>),
    /// An event failed; nothing after it may pass.
    Halted,
}

impl Lane {
    /// The lane's instances of this generation; those of the other are kept.
    pub(super) fn serve(&mut self, generation: &Arc<Generation>) -> Option<&mut Served> {
        if let Lane::Idle = self {
            *self = Lane::Running(Served::new(generation), None);
        }
        let Lane::Running(served, other) = self else { return None };
        if !Arc::ptr_eq(&served.generation, generation) {
            let warm = other.take().filter(|other| Arc::ptr_eq(&other.generation, generation));
            let now = warm.unwrap_or_else(|| Served::new(generation));
            *other = Some(std::mem::replace(served, now));
        }
        Some(served)
    }

    /// Drops the instances that no plan needs any more.
    pub(super) fn sweep(&mut self, plan: &Plan) {
        let Lane::Running(served, other) = self else { return };
        if other.as_ref().is_some_and(|other| !plan.needs(&other.generation)) {
            *other = None;
        }
        if !plan.needs(&served.generation) {
            let warm = other.take();
            *self = warm.map_or(Lane::Idle, |warm| Lane::Running(warm, None));
        }
    }
}
