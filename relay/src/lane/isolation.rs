//! What follows where an event fails by itself: it becomes a letter, later ones of its key
//! are held back, and one that kills the relay is not run at all.

use super::served::Lane;
use super::trial::Trial;
use super::work::{Batch, Bench, fail};
use crate::checkpoint::Ticket;
use crate::config::OnFailure;
use crate::dead_letters::{Cause, Letters, SourceKey, Turn};
use crate::error::Error;
use crate::event::Event;
use crate::generation::Generation;
use crate::metrics::SKIPPED;
use crate::sink::kafka::Suspects;
use crate::state::Skips;
use std::sync::Arc;

/// What follows where an event fails by itself, beside what its transform says.
#[derive(Clone)]
pub struct Isolation {
    /// Where letters are written.
    pub letters: Option<Arc<Letters>>,
    /// What follows from a message that can never be published.
    pub on_refused: OnFailure,
    /// Whether a letter that is redriven is taken away with its messages, in one
    /// transaction; else that follows when they are durable.
    pub transactional: bool,
    /// Events whose messages the broker has refused.
    pub suspects: Arc<Suspects>,
    /// Events that are not to halt the relay.
    pub skips: Option<Arc<Skips>>,
    /// Events that kill it.
    pub trial: Option<Arc<Trial>>,
}

impl Bench {
    /// Takes out the events whose keys are held back.
    pub(super) fn hold_back(&mut self, lane: usize, batch: Batch) -> Batch {
        let Some(letters) = self.isolation.letters.clone() else { return batch };
        let mut free = Batch::default();
        for (event, ticket) in batch.events.into_iter().zip(batch.tickets) {
            let place = (lane, SourceKey::of(&event));
            if let Some(before) = self.waiting.get_mut(&place) {
                before.push(event, ticket);
                continue;
            }
            let turn = letters.index().turn(lane, &place.1);
            match turn {
                Turn::Free => free.push(event, ticket),
                Turn::Wait => self.waiting.entry(place).or_default().push(event, ticket),
                Turn::Park => {
                    let cause = Cause { error: None, holds: true, made_by: "", settings: "", before: None };
                    self.write(&letters, lane, &event, &ticket, &cause);
                    if self.halted(lane) {
                        return Batch::default();
                    }
                }
            }
        }
        free
    }

    /// Writes a letter; a lane in which that fails is halted.
    pub(super) fn write(&mut self, letters: &Letters, lane: usize, event: &Event, ticket: &Arc<Ticket>, cause: &Cause<'_>) {
        if let Err(error) = letters.write(&*self.sink, lane, event, ticket, cause) {
            self.lanes[lane] = Lane::Halted;
            fail(ticket, event.locate(error).at("lane", lane));
        }
    }

    /// Runs as much of a batch as is known not to kill the relay; what is behind that.
    pub(super) fn venture(&mut self, lane: usize, mut batch: Batch) -> Batch {
        let Some(trial) = self.isolation.trial.clone().filter(|_| !batch.events.is_empty()) else { return self.attempt(lane, batch) };
        let deadly = trial.find(&batch.events);
        let alone = deadly == Some(0) || trial.is_careful();
        let mut rest = batch.split_off(if alone { 1 } else { deadly.unwrap_or(batch.events.len()) });
        if let (Some(0), [event], [ticket]) = (deadly, &*batch.events, &*batch.tickets) {
            let (error, plan) = (trial.verdict(event), Arc::clone(&self.plan));
            if !self.isolate(lane, event, ticket, &error, trial.follows(), plan.of(lane).0) {
                self.lanes[lane] = Lane::Halted;
                fail(ticket, error.at("lane", lane));
            }
            return rest;
        }
        let _turn = match batch.events.first().filter(|_| alone).map(|event| trial.attempt(event)) {
            Some(Err(error)) => {
                self.lanes[lane] = Lane::Halted;
                if let Some(ticket) = batch.tickets.first() {
                    ticket.fail(error.at("lane", lane));
                }
                return rest;
            }
            Some(Ok(turn)) => Some(turn),
            None => None,
        };
        batch = self.attempt(lane, batch);
        batch.events.append(&mut rest.events);
        batch.tickets.append(&mut rest.tickets);
        batch
    }

    /// Whether somebody asked for that; looked at only when the lane would halt.
    fn is_to_be_skipped(&self, event: &Event) -> bool {
        self.isolation.skips.as_ref().is_some_and(|skips| skips.has(&event.id))
    }

    /// Deals with an event that failed by itself; `false` if the lane is to halt.
    pub(super) fn isolate(
        &mut self,
        lane: usize,
        event: &Event,
        ticket: &Arc<Ticket>,
        error: &Error,
        follows: OnFailure,
        generation: &Generation,
    ) -> bool {
        // One that somebody gave up is not lost where it can be kept.
        let follows = match (follows, &self.isolation.letters) {
            (OnFailure::Halt, Some(_)) if self.is_to_be_skipped(event) => OnFailure::Continue,
            (OnFailure::Halt, None) if self.is_to_be_skipped(event) => OnFailure::Skip,
            _ => follows,
        };
        match (follows, self.isolation.letters.clone()) {
            (OnFailure::Skip, _) => {
                tracing::warn!(lane, "skipped: {}", error.line());
                metrics::counter!(SKIPPED, "code" => error.kind().code()).increment(1);
                ticket.expect(0);
                true
            }
            (OnFailure::Continue | OnFailure::Park, Some(letters)) => {
                tracing::warn!(lane, parks = follows == OnFailure::Park, "a dead letter: {}", error.line());
                let (made_by, settings) = (generation.chain.provenance(), generation.chain.settings());
                let cause = Cause { error: Some(error), holds: follows == OnFailure::Park, made_by, settings, before: None };
                // Where that fails the lane is halted already, and knows why.
                self.write(&letters, lane, event, ticket, &cause);
                true
            }
            _ => false,
        }
    }
}
