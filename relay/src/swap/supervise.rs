//! After the switch: the canary's steps, the probation, and the way back.

use super::change::NOT_OURS;
use super::history::{Entry, Outcome, Way};
use super::{Control, LINGER, named, retire, show};
use crate::config::LANES;
use crate::crash::{self, Point};
use crate::error::{Error, Kind, Result};
use crate::event::now;
use crate::generation::{Generation, Plan, Probation};
use crate::metrics::SWAPS;
use std::sync::Arc;
use std::time::Duration;

impl Control {
    /// Watches a generation that has its first lanes; `steps` are the numbers of
    /// lanes it gets next, all of them last.
    pub(super) fn supervise(self: &Arc<Self>, generation: Arc<Generation>, probation: Arc<Probation>, steps: Vec<usize>) {
        let control = Arc::clone(self);
        let task = tokio::spawn(async move {
            for lanes in steps {
                if control.holds(&probation, &generation, control.config.canary_step).await {
                    control.widen(&generation, lanes).await;
                } else {
                    return;
                }
            }
            if control.holds(&probation, &generation, control.config.probation).await {
                control.prove(&generation).await;
                // A lane in the middle of a batch may still find something.
                if !control.holds(&probation, &generation, LINGER).await {
                    tracing::warn!(generation = generation.number, "its probation was all but over");
                }
            }
        });
        self.state().supervisor = Some(task.abort_handle());
    }

    /// Whether it lasts that long; otherwise it is sent back.
    async fn holds(self: &Arc<Self>, probation: &Probation, generation: &Arc<Generation>, time: Duration) -> bool {
        tokio::select! {
            reason = probation.condemned() => {
                self.send_back(generation, reason).await;
                false
            }
            () = tokio::time::sleep(time) => true,
        }
    }

    /// Gives a canary more lanes.
    async fn widen(self: &Arc<Self>, generation: &Arc<Generation>, lanes: usize) {
        let stages = self.stages_of(generation).await;
        let gone = {
            let mut state = self.state();
            // Somebody may have rolled it back just now.
            if !is(state.candidate.as_ref(), generation) {
                return;
            }
            self.board.switch(Plan { lanes, ..(*self.board.plan()).clone() });
            tracing::info!(generation = generation.number, lanes, of = LANES, "the canary widens");
            if lanes < LANES {
                return;
            }
            let before = std::mem::replace(&mut state.active, Arc::clone(generation));
            let stages = std::mem::replace(&mut state.stages, stages);
            state.candidate = None;
            state.since = now();
            state.history.conclude(generation.number, Outcome::Probation, None);
            show(generation);
            state.previous.replace((before, stages))
        };
        retire(gone.map(|(generation, _)| generation));
        crash::point(Point::CanaryWidened);
        // What is remembered is active from here on, also after a kill.
        self.remember().await;
    }

    /// It lasted.
    async fn prove(self: &Arc<Self>, generation: &Arc<Generation>) {
        let events = generation.meter.totals().events;
        {
            let mut state = self.state();
            if !Arc::ptr_eq(&state.active, generation) {
                return;
            }
            state.history.conclude(generation.number, Outcome::Active, None);
            let old = state.previous.as_ref().map(|(old, _)| Arc::clone(old));
            self.board.switch(Plan::steady(Arc::clone(generation), old));
        }
        tracing::info!(generation = generation.number, events, "the probation is over");
        crash::point(Point::SwapProved);
        self.remember().await;
    }

    /// It is worse than the one before: back to that.
    async fn send_back(self: &Arc<Self>, generation: &Arc<Generation>, reason: String) {
        tracing::error!(generation = generation.number, made_by = generation.chain.provenance(), reason, "rolled back by itself");
        if self.restore(Some(generation.number), reason).is_some() {
            metrics::counter!(SWAPS, "outcome" => Outcome::RolledBack.label()).increment(1);
        }
        // A bad file that was watched still lies there.
        self.settle().await;
        self.remember().await;
    }

    /// Puts the generation before in the place of the newest; that one's number.
    /// `expected` is which one that must be, for two may want it gone at once.
    fn restore(&self, expected: Option<u64>, reason: String) -> Option<u64> {
        let mut state = self.state();
        let newest = state.candidate.as_ref().unwrap_or(&state.active);
        if expected.is_some_and(|expected| newest.number != expected) {
            return None;
        }
        let gone = match state.candidate.take() {
            Some(candidate) => candidate,
            None => {
                let (before, stages) = state.previous.take()?;
                state.stages = stages;
                std::mem::replace(&mut state.active, before)
            }
        };
        state.history.conclude(gone.number, Outcome::RolledBack, Some(reason));
        state.since = now();
        show(&state.active);
        self.board.switch(Plan::steady(Arc::clone(&state.active), None));
        let number = gone.number;
        drop(state);
        retire(Some(gone));
        Some(number)
    }

    /// Goes back to the generation before, without looking: it was at work. The
    /// number of the one that goes, which must be `expected` if that is said.
    ///
    /// # Errors
    /// `SwapRefused` if none is kept, or another one is the newest.
    pub async fn rollback(self: &Arc<Self>, expected: Option<u64>, by: &str) -> Result<u64> {
        if !self.owns() {
            return Err(Error::new(Kind::SwapRefused, NOT_OURS));
        }
        let gone = self.restore(expected, format!("by {by}")).ok_or_else(|| {
            let newest = self.newest();
            if expected.is_some_and(|expected| expected != newest) {
                return Error::new(Kind::SwapRefused, format!("generation {newest} is the newest now"))
                    .remedy("look at `relay status`, and ask again");
            }
            Error::new(Kind::SwapRefused, "there is no generation to go back to: the one before the active is kept, and none before it")
                .remedy(
                    "swap in the component of an earlier one by its digest: `relay swap NAME sha256:…`; `relay status` shows the history",
                )
        })?;
        crash::point(Point::RollbackRestored);
        {
            let mut state = self.state();
            if let Some(task) = state.supervisor.take() {
                task.abort();
            }
            let (number, stages) = (state.active.number, named(&state.stages));
            let entry = Entry {
                at: now(),
                by: by.to_owned(),
                way: Way::Rollback,
                generation: Some(number),
                stages,
                outcome: Outcome::Active,
                reason: Some(format!("back from generation {gone}")),
                gates: Vec::new(),
            };
            state.history.add(entry, self.config.history);
        }
        tracing::warn!(generation = gone, by, "rolled back");
        metrics::counter!(SWAPS, "outcome" => Outcome::RolledBack.label()).increment(1);
        // What relay.toml says now is what the operator rolled back from.
        self.settle().await;
        self.remember().await;
        crash::point(Point::RollbackRemembered);
        Ok(gone)
    }

    fn newest(&self) -> u64 {
        let state = self.state();
        state.candidate.as_ref().unwrap_or(&state.active).number
    }

    /// Takes note of what `relay.toml` says at this moment: from here on it wins
    /// only if it changes.
    pub(super) async fn settle(&self) {
        let active = Arc::clone(&self.state().active);
        let stages = self.stages_of(&active).await;
        let mut state = self.state();
        if Arc::ptr_eq(&state.active, &active) {
            state.stages = stages;
        }
    }
}

fn is(found: Option<&Arc<Generation>>, wanted: &Arc<Generation>) -> bool {
    found.is_some_and(|found| Arc::ptr_eq(found, wanted))
}
