//! Which generation serves which lane: written by the swap, read by the lanes.

use super::{Generation, Probation, Recent};
use crate::config::LANES;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// What the lanes are to use from their next batch on.
#[derive(Clone)]
pub struct Plan {
    /// The generation of the first `lanes` lanes; of all, where nothing is under way.
    pub new: Arc<Generation>,
    /// The one before, kept warm: of the other lanes, and of all once `new` is condemned.
    pub old: Option<Arc<Generation>>,
    /// How many lanes `new` has.
    pub lanes: usize,
    /// How `new` does, while that is watched.
    pub probation: Option<Arc<Probation>>,
}

impl Plan {
    /// One generation for all lanes.
    #[must_use]
    pub fn steady(generation: Arc<Generation>, old: Option<Arc<Generation>>) -> Self {
        Self { new: generation, old, lanes: LANES, probation: None }
    }

    /// The lane's generation, and its probation where it is the new one.
    #[must_use]
    pub fn of(&self, lane: usize) -> (&Arc<Generation>, Option<&Arc<Probation>>) {
        let condemned = self.probation.as_ref().is_some_and(|p| p.is_condemned());
        match &self.old {
            Some(old) if lane >= self.lanes || condemned => (old, None),
            _ => (&self.new, self.probation.as_ref()),
        }
    }

    /// Whether a lane may still need this generation.
    #[must_use]
    pub fn needs(&self, generation: &Arc<Generation>) -> bool {
        let watched = self.probation.is_some();
        Arc::ptr_eq(generation, &self.new) || (watched && self.old.as_ref().is_some_and(|old| Arc::ptr_eq(generation, old)))
    }
}

/// Rouses lanes that sleep; `false` if there are none any more.
type Rouse = Box<dyn Fn() -> bool + Send>;

/// See the module. One a pipeline, over all its sessions.
pub struct Board {
    plan: watch::Sender<Arc<Plan>>,
    rouse: Mutex<Vec<Rouse>>,
    /// Events to try a new generation on.
    pub recent: Recent,
}

impl Board {
    /// A board with one generation for all lanes.
    #[must_use]
    pub fn new(generation: Arc<Generation>, recent: Recent) -> Arc<Self> {
        Arc::new(Self { plan: watch::Sender::new(Arc::new(Plan::steady(generation, None))), rouse: Mutex::default(), recent })
    }

    /// The plan now.
    #[must_use]
    pub fn plan(&self) -> Arc<Plan> {
        Arc::clone(&self.plan.borrow())
    }

    /// Follows the plan.
    #[must_use]
    pub fn follow(&self) -> watch::Receiver<Arc<Plan>> {
        self.plan.subscribe()
    }

    /// Has the lanes go by another plan from their next batch on.
    pub fn switch(&self, plan: Plan) {
        self.plan.send_replace(Arc::new(plan));
        // A lane without events would keep its old instances for ever.
        self.rouse.lock().unwrap_or_else(PoisonError::into_inner).retain(|rouse| rouse());
    }

    /// Rouses these lanes too when the plan changes.
    pub fn on_switch(&self, rouse: impl Fn() -> bool + Send + 'static) {
        self.rouse.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(rouse));
    }
}
