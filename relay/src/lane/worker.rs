//! Worker threads: each owns some lanes, runs their batches through the chain
//! and hands the messages to the sink, in order. Which chain, the board says,
//! between two batches.

use super::{LANES, LaneQueue};
use crate::checkpoint::Ticket;
use crate::config::Flow;
use crate::error::{Context as _, Error, Kind, Result};
use crate::event::Event;
use crate::generation::{Board, Generation, Plan, Probation};
use crate::sink::Sink;
use crate::transform::{LaneChain, Produced};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;
use tokio::sync::watch;

/// Stack of a worker thread: a guest's own (`limits.stack`, 4 MiB at most) runs
/// on it, and the host's frames beside it.
pub const STACK: usize = 8 << 20;

/// One event on its way, with the ticket that says what became of it.
pub struct Task {
    /// The event.
    pub event: Event,
    /// Its ticket.
    pub ticket: Ticket,
}

#[derive(Default)]
struct Inbox {
    state: Mutex<InboxState>,
    changed: Condvar,
}

#[derive(Default)]
struct InboxState {
    queue: LaneQueue<Task>,
    closed: bool,
    /// Whether the worker sleeps; waking it is a system call.
    idle: bool,
    /// Whether it is to look at the board, although there are no events.
    roused: bool,
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, InboxState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the worker look at the board; `false` if there is none any more.
    fn rouse(&self) -> bool {
        let mut state = self.lock();
        state.roused = true;
        self.changed.notify_one();
        !state.closed
    }
}

/// See the module. Queues are bounded by the ledger that admitted the events.
pub struct Workers {
    inboxes: Vec<Arc<Inbox>>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// Starts the threads.
    pub fn start(flow: &Flow, board: &Arc<Board>, sink: &Arc<dyn Sink>) -> Result<Self> {
        let mut workers = Self { inboxes: Vec::new(), threads: Vec::new() };
        for n in 0..flow.workers() {
            let inbox = Arc::new(Inbox::default());
            // What is read here counts as seen, and nothing after it.
            let mut changes = board.follow();
            let plan = Arc::clone(&changes.borrow_and_update());
            let worker = Worker {
                inbox: Arc::clone(&inbox),
                board: Arc::clone(board),
                plan,
                changes,
                sink: Arc::clone(sink),
                lanes: (0..LANES).map(|_| Lane::Idle).collect(),
                batch_events: flow.batch_events,
                batch_bytes: usize::try_from(flow.batch_bytes.as_u64()).unwrap_or(usize::MAX),
            };
            let thread = std::thread::Builder::new().name(format!("lanes-{n}")).stack_size(STACK);
            workers.threads.push(thread.spawn(move || worker.run()).or_kind(Kind::Internal, "cannot start a worker thread")?);
            let roused = Arc::downgrade(&inbox);
            board.on_switch(move || roused.upgrade().is_some_and(|inbox| inbox.rouse()));
            workers.inboxes.push(inbox);
        }
        Ok(workers)
    }

    /// Queues events on their lanes, in order.
    pub fn push_all(&self, tasks: &mut Vec<(usize, Task)>) {
        let mut states: Vec<_> = self.inboxes.iter().map(|inbox| inbox.lock()).collect();
        let count = states.len();
        for (lane, task) in tasks.drain(..) {
            let bytes = task.event.size();
            states[lane % count].queue.push(lane, task, bytes);
        }
        for (inbox, mut state) in self.inboxes.iter().zip(states) {
            if !state.queue.is_empty() && std::mem::take(&mut state.idle) {
                inbox.changed.notify_one();
            }
        }
    }

    /// Gives up everything that still waits.
    pub fn discard(&self) {
        for inbox in &self.inboxes {
            let queue = std::mem::take(&mut inbox.lock().queue);
            // Outside the lock: dropping settles every ticket.
            drop(queue);
        }
    }
}

/// Ends the threads once their queues are empty.
impl Drop for Workers {
    fn drop(&mut self) {
        for inbox in &self.inboxes {
            inbox.lock().closed = true;
            inbox.changed.notify_one();
        }
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a worker thread panicked; its events were not acknowledged");
            }
        }
    }
}

/// A lane's instances of one generation.
struct Served {
    generation: Arc<Generation>,
    chain: LaneChain,
}

impl Served {
    fn new(generation: &Arc<Generation>) -> Self {
        Self { generation: Arc::clone(generation), chain: LaneChain::new(Arc::clone(&generation.chain)) }
    }

    /// Runs and measures.
    fn run(&mut self, events: Vec<Event>) -> Produced {
        let (count, started) = (events.len(), Instant::now());
        let produced = self.chain.run(events);
        self.generation.meter.add(count, &produced, started.elapsed());
        produced
    }
}

enum Lane {
    /// No event came yet, or its generation is gone.
    Idle,
    /// Its generation, and the other one of a probation.
    Running(Served, Option<Served>),
    /// An event failed; nothing after it may pass.
    Halted,
}

impl Lane {
    /// The lane's instances of this generation; those of the other are kept.
    fn serve(&mut self, generation: &Arc<Generation>) -> Option<&mut Served> {
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
    fn sweep(&mut self, plan: &Plan) {
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

/// What is next for a worker.
enum Next {
    Batch(usize),
    Look,
}

struct Worker {
    inbox: Arc<Inbox>,
    board: Arc<Board>,
    plan: Arc<Plan>,
    changes: watch::Receiver<Arc<Plan>>,
    sink: Arc<dyn Sink>,
    lanes: Vec<Lane>,
    batch_events: usize,
    batch_bytes: usize,
}

impl Worker {
    fn run(mut self) {
        let mut batch = Vec::new();
        while let Some(next) = self.next(&mut batch) {
            self.look();
            if let Next::Batch(lane) = next {
                self.work(lane, std::mem::take(&mut batch));
            }
        }
    }

    /// Waits for a batch; `None` when the inbox is closed and empty.
    fn next(&self, batch: &mut Vec<Task>) -> Option<Next> {
        let mut state = self.inbox.lock();
        loop {
            if let Some(lane) = state.queue.pop(self.batch_events, self.batch_bytes, batch) {
                return Some(Next::Batch(lane));
            }
            if state.closed {
                return None;
            }
            if std::mem::take(&mut state.roused) {
                return Some(Next::Look);
            }
            state.idle = true;
            state = self.inbox.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Reads the board if something changed there.
    fn look(&mut self) {
        if self.changes.has_changed().unwrap_or(false) {
            self.plan = Arc::clone(&self.changes.borrow_and_update());
            self.lanes.iter_mut().for_each(|lane| lane.sweep(&self.plan));
        }
    }

    fn work(&mut self, lane: usize, batch: Vec<Task>) {
        let plan = Arc::clone(&self.plan);
        let (generation, probation) = plan.of(lane);
        let Some(served) = self.lanes[lane].serve(generation) else { return };
        let (events, tickets): (Vec<_>, Vec<_>) = batch.into_iter().map(|t| (t.event, Arc::new(t.ticket))).unzip();
        self.board.recent.offer(&events);
        let Some(probation) = probation else {
            let produced = served.run(events);
            return self.conclude(lane, &tickets, produced, generation);
        };
        let kept = events.clone();
        let mut produced = served.run(events);
        self.refuse_early(&mut produced);
        match produced.failure.take() {
            Some(failure) => self.appeal(lane, &tickets, produced, failure, kept, probation),
            None => {
                probation.judge(produced.strain.fault);
                self.conclude(lane, &tickets, produced, generation);
            }
        }
    }

    /// Finds what the sink would refuse, before a part of its event is sent.
    fn refuse_early(&self, produced: &mut Produced) {
        let refused = produced.messages.iter().find_map(|(index, m)| self.sink.check(m).err().map(|e| (*index, m.locate(e))));
        if let Some((index, error)) = refused {
            produced.messages.retain(|(origin, _)| *origin < index);
            produced.failure = Some((index, error));
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
        mut events: Vec<Event>,
        probation: &Probation,
    ) {
        let (new, old) = probation.generations();
        let Some(served) = self.lanes[lane].serve(old) else { return };
        let mut second = served.run(events.split_off(index));
        // What the sink refuses of both is the event's own failure.
        self.refuse_early(&mut second);
        if second.failure.as_ref().is_some_and(|(first, _)| *first == 0) {
            return self.conclude(lane, tickets, Produced { failure: Some((index, error)), ..produced }, new);
        }
        probation.condemn(format!("an event failed that the old generation can do: {}", error.line()));
        let (before, rest) = tickets.split_at(index);
        self.conclude(lane, before, produced, new);
        if !matches!(self.lanes[lane], Lane::Halted) {
            self.conclude(lane, rest, second, old);
        }
    }

    /// Publishes what came out. The lane stops at its first failure: nothing
    /// overtakes that event.
    fn conclude(&mut self, lane: usize, tickets: &[Arc<Ticket>], produced: Produced, generation: &Generation) {
        let Produced { messages, failure, .. } = produced;
        let end = failure.as_ref().map_or(tickets.len(), |(index, _)| *index);
        let sent = self.publish(lane, &tickets[..end], messages, generation.chain.provenance());
        if sent.is_err() || failure.is_some() {
            self.lanes[lane] = Lane::Halted;
        }
        if let (true, Some((index, error))) = (sent.is_ok(), failure) {
            tickets[index].fail(error.at("lane", lane));
        }
    }

    fn publish(&self, lane: usize, tickets: &[Arc<Ticket>], messages: Vec<(usize, Event)>, made_by: &str) -> std::result::Result<(), ()> {
        let mut messages = messages.into_iter().peekable();
        let mut own = Vec::new();
        for (index, ticket) in tickets.iter().enumerate() {
            own.clear();
            while let Some((_, message)) = messages.next_if(|(origin, _)| *origin == index) {
                own.push(message);
            }
            ticket.expect(u32::try_from(own.len()).unwrap_or(u32::MAX));
            for message in &own {
                if let Err(error) = self.sink.publish(message, made_by, ticket) {
                    // A sink that closes gives events up, it does not fail them.
                    if error.kind() != Kind::Interrupted {
                        let error = message.locate(error).at("lane", lane);
                        ticket.fail(if made_by.is_empty() { error } else { error.at("transform", made_by) });
                    }
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
