//! A batch of a lane: through the chain, to the sink, and what follows where an event
//! fails. Which chain, the board says, between two batches.

use super::LANES;
use super::isolation::Isolation;
use super::served::Lane;
use super::worker::Task;
use crate::checkpoint::Ticket;
use crate::config::OnFailure;
use crate::dead_letters::{Cause, Errand, SourceKey};
use crate::error::{Error, Kind, Policy};
use crate::event::Event;
use crate::generation::{Board, Generation, Plan, Probation};
use crate::sink::Sink;
use crate::transform::Produced;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::watch;

/// Events in order, and the ticket of each.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) events: Vec<Event>,
    pub(super) tickets: Vec<Arc<Ticket>>,
}

impl Batch {
    pub(super) fn push(&mut self, event: Event, ticket: Arc<Ticket>) {
        self.events.push(event);
        self.tickets.push(ticket);
    }

    /// What is behind that place.
    pub(super) fn split_off(&mut self, place: usize) -> Self {
        Self { events: self.events.split_off(place), tickets: self.tickets.split_off(place) }
    }
}

/// How far a batch came.
enum Reached {
    /// Its end.
    End,
    /// The event before this place failed and was dealt with.
    Before(usize),
    /// Nothing more may pass in this lane.
    Halt,
}

/// See the module. One a worker.
pub(super) struct Bench {
    board: Arc<Board>,
    pub(super) plan: Arc<Plan>,
    changes: watch::Receiver<Arc<Plan>>,
    pub(super) sink: Arc<dyn Sink>,
    pub(super) lanes: Vec<Lane>,
    pub(super) isolation: Isolation,
    /// Events behind letters of their keys that are on their way.
    pub(super) waiting: HashMap<(usize, SourceKey), Batch>,
}

impl Bench {
    pub(super) fn new(board: &Arc<Board>, sink: Arc<dyn Sink>, isolation: Isolation) -> Self {
        // What is read here counts as seen, and nothing after it.
        let mut changes = board.follow();
        let plan = Arc::clone(&changes.borrow_and_update());
        let lanes = (0..LANES).map(|_| Lane::Idle).collect();
        Self { board: Arc::clone(board), plan, changes, sink, lanes, isolation, waiting: HashMap::new() }
    }

    /// Reads the board if something changed there.
    pub(super) fn look(&mut self) {
        if self.changes.has_changed().unwrap_or(false) {
            self.plan = Arc::clone(&self.changes.borrow_and_update());
            self.lanes.iter_mut().for_each(|lane| lane.sweep(&self.plan));
        }
    }

    pub(super) fn work(&mut self, lane: usize, tasks: Vec<Task>) {
        let mut batch = Batch { events: Vec::with_capacity(tasks.len()), tickets: Vec::with_capacity(tasks.len()) };
        for task in tasks {
            match task {
                Task::Event(event, ticket) => batch.push(event, Arc::new(ticket)),
                Task::Letter(event, ticket, errand) => {
                    self.deal(lane, std::mem::take(&mut batch));
                    self.redrive(lane, &event, &Arc::new(ticket), &errand);
                }
                Task::Settle(key) => {
                    self.deal(lane, std::mem::take(&mut batch));
                    self.settle(lane, key);
                }
            }
        }
        self.deal(lane, batch);
    }

    pub(super) fn halted(&self, lane: usize) -> bool {
        matches!(self.lanes[lane], Lane::Halted)
    }

    /// Events of the source, from one that fails to the next.
    fn deal(&mut self, lane: usize, mut batch: Batch) {
        // One that kills the relay is not to be run by a swap's shadow either.
        let kills = self.isolation.trial.as_ref().is_some_and(|trial| trial.find(&batch.events).is_some());
        if !batch.events.is_empty() && !kills {
            self.board.recent.offer(&batch.events);
        }
        while !batch.events.is_empty() && !self.halted(lane) {
            let free = match &self.isolation.letters {
                Some(letters) if letters.hold_in(lane) || !self.waiting.is_empty() => self.hold_back(lane, batch),
                _ => batch,
            };
            batch = self.venture(lane, free);
        }
    }

    /// Runs a batch up to the first event that fails; what is behind it.
    pub(super) fn attempt(&mut self, lane: usize, batch: Batch) -> Batch {
        let Batch { events, tickets } = batch;
        let plan = Arc::clone(&self.plan);
        let (generation, probation) = plan.of(lane);
        let Some(served) = self.lanes[lane].serve(generation).filter(|_| !events.is_empty()) else { return Batch::default() };
        let mut produced = served.run(&events);
        self.refuse_early(&mut produced, generation.chain.provenance());
        let reached = match (produced.failure.take(), probation) {
            (Some(failure), Some(probation)) => self.appeal(lane, &tickets, produced, failure, &events, probation),
            (failure, probation) => {
                if let Some(probation) = probation {
                    probation.judge(produced.strain.fault);
                }
                self.conclude(lane, &tickets, Produced { failure, ..produced }, &events, generation)
            }
        };
        match reached {
            Reached::Before(place) => Batch { events, tickets }.split_off(place),
            Reached::End | Reached::Halt => Batch::default(),
        }
    }

    /// Finds what the sink would refuse, before a part of its event is sent.
    fn refuse_early(&self, produced: &mut Produced, made_by: &str) {
        let refusal = |m: &Event| self.sink.check(m).err().or_else(|| self.isolation.suspects.refusal(m.position));
        let refused = produced.messages.iter().find_map(|(index, m)| refusal(m).map(|e| (*index, m.locate(e))));
        if let Some((index, error)) = refused {
            produced.messages.retain(|(origin, _)| *origin < index);
            let error = if made_by.is_empty() { error } else { error.at("transform", made_by) };
            produced.failure = Some((index, error));
            produced.follows = Some(self.isolation.on_refused);
        }
    }

    /// An event failed in a generation on probation: the old one is asked. If it
    /// can do it, the new one is to blame and goes; if not, the event is.
    fn appeal(
        &mut self,
        lane: usize,
        tickets: &[Arc<Ticket>],
        produced: Produced,
        (index, error): (usize, Error),
        events: &[Event],
        probation: &Probation,
    ) -> Reached {
        let (new, old) = probation.generations();
        let Some(served) = self.lanes[lane].serve(old) else { return Reached::Halt };
        let mut second = served.run(&events[index..]);
        // What the sink refuses of both is the event's own failure.
        self.refuse_early(&mut second, old.chain.provenance());
        if second.failure.as_ref().is_some_and(|(first, _)| *first == 0) {
            // The event's faults say nothing of either.
            new.meter.forgive(produced.strain);
            old.meter.forgive(second.strain);
            return self.conclude(lane, tickets, Produced { failure: Some((index, error)), ..produced }, events, new);
        }
        probation.condemn(format!("an event failed that the old generation can do: {}", error.line()));
        let (before, rest) = tickets.split_at(index);
        match self.conclude(lane, before, produced, &events[..index], new) {
            Reached::End => {}
            other => return other,
        }
        match self.conclude(lane, rest, second, &events[index..], old) {
            Reached::Before(place) => Reached::Before(index + place),
            other => other,
        }
    }

    /// Publishes what came out up to the first failure, and deals with that.
    fn conclude(&mut self, lane: usize, tickets: &[Arc<Ticket>], produced: Produced, events: &[Event], generation: &Generation) -> Reached {
        let Produced { messages, failure, follows, .. } = produced;
        let end = failure.as_ref().map_or(tickets.len(), |(index, _)| *index);
        if self.publish(lane, &tickets[..end], messages, generation.chain.provenance(), 0).is_err() {
            self.lanes[lane] = Lane::Halted;
            return Reached::Halt;
        }
        let Some((index, error)) = failure else { return Reached::End };
        let passes = error.kind() == Kind::Interrupted || error.kind().policy().1 == Policy::Retry;
        let follows = follows.filter(|_| error.kind().policy().1 == Policy::Event).unwrap_or(OnFailure::Halt);
        match events.get(index).filter(|_| !passes) {
            Some(event) if self.isolate(lane, event, &tickets[index], &error, follows, generation) => Reached::Before(index + 1),
            _ => {
                // Nothing overtakes that event.
                self.lanes[lane] = Lane::Halted;
                fail(&tickets[index], error.at("lane", lane));
                Reached::Halt
            }
        }
    }

    /// The event of a letter, once more.
    fn redrive(&mut self, lane: usize, event: &Event, ticket: &Arc<Ticket>, errand: &Arc<Errand>) {
        let Some(letters) = self.isolation.letters.clone() else { return };
        // Behind one that failed again nothing of its key may pass.
        if self.halted(lane) || (errand.holds && !letters.index().is_next(&errand.id)) {
            return;
        }
        if !errand.by_itself {
            self.isolation.suspects.pardon(event.position);
        }
        let plan = Arc::clone(&self.plan);
        let (generation, _) = plan.of(lane);
        let trial = self.isolation.trial.clone();
        let _turn = match trial.as_ref().filter(|trial| trial.is_careful()).map(|trial| trial.attempt(event)).transpose() {
            Ok(turn) => turn,
            Err(error) => {
                self.lanes[lane] = Lane::Halted;
                fail(ticket, error.at("lane", lane));
                return;
            }
        };
        let Some(served) = self.lanes[lane].serve(generation) else { return };
        let made_by = generation.chain.provenance();
        // Somebody who asks may have mended what kills.
        let mut produced = match trial.as_ref().filter(|trial| errand.by_itself && trial.find(std::slice::from_ref(event)).is_some()) {
            Some(trial) => Produced { failure: Some((0, trial.verdict(event))), ..Produced::default() },
            None => served.try_out(std::slice::from_ref(event)),
        };
        if produced.failure.is_none() {
            self.refuse_early(&mut produced, made_by);
        }
        if let Some((_, error)) = &produced.failure {
            errand.fail();
            tracing::warn!(lane, letter = &*errand.id, "failed again: {}", error.line());
            let cause =
                Cause { error: Some(error), holds: errand.holds, made_by, settings: generation.chain.settings(), before: Some(errand) };
            self.write(&letters, lane, event, ticket, &cause);
            return;
        }
        let beside = u32::from(self.isolation.transactional);
        let published = self.publish(lane, std::slice::from_ref(ticket), produced.messages, made_by, beside);
        let taken = if published.is_ok() && beside > 0 { self.sink.keep(&errand.id, None, ticket) } else { Ok(()) };
        if let Err(error) = taken {
            self.lanes[lane] = Lane::Halted;
            // And with it the transaction.
            fail(ticket, event.locate(error).at("lane", lane));
        } else if published.is_err() {
            self.lanes[lane] = Lane::Halted;
        } else if letters.sent(lane, &errand.id) {
            self.go_on(lane, SourceKey::of(event));
        }
    }

    /// All letters of a key were given; if one failed, what waits is held back too.
    fn settle(&mut self, lane: usize, key: SourceKey) {
        if let Some(letters) = &self.isolation.letters {
            letters.index().close(lane, &key, false);
        }
        self.go_on(lane, key);
    }

    fn go_on(&mut self, lane: usize, key: SourceKey) {
        if let Some(batch) = self.waiting.remove(&(lane, key)) {
            self.deal(lane, batch);
        }
    }

    /// Hands messages to the sink; each event is done with all of its own, and with
    /// `beside` records more.
    fn publish(&self, lane: usize, tickets: &[Arc<Ticket>], messages: Vec<(usize, Event)>, made_by: &str, beside: u32) -> Result<(), ()> {
        let mut messages = messages.into_iter().peekable();
        let mut own = Vec::new();
        for (index, ticket) in tickets.iter().enumerate() {
            own.clear();
            while let Some((_, message)) = messages.next_if(|(origin, _)| *origin == index) {
                own.push(message);
            }
            ticket.expect(u32::try_from(own.len()).unwrap_or(u32::MAX).saturating_add(beside));
            for message in &own {
                if let Err(error) = self.sink.publish(message, made_by, ticket) {
                    let error = message.locate(error).at("lane", lane);
                    fail(ticket, if made_by.is_empty() { error } else { error.at("transform", made_by) });
                    return Err(());
                }
            }
        }
        self.sink.flush().map_err(|error| {
            if let Some(ticket) = tickets.last() {
                ticket.fail(error);
            }
        })
    }
}

/// An event cannot be done; ends the session.
pub(super) fn fail(ticket: &Ticket, error: Error) {
    // A sink that closes gives events up, it does not fail them.
    if error.kind() != Kind::Interrupted {
        ticket.fail(error);
    }
}
