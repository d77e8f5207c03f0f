//! Worker threads: each owns some lanes, runs their batches through the chain
//! and hands the messages to the sink, in order.

use super::{LANES, LaneQueue};
use crate::checkpoint::Ticket;
use crate::config::Flow;
use crate::error::{Context as _, Kind, Result};
use crate::event::Event;
use crate::sink::Sink;
use crate::transform::{Chain, LaneChain, Produced};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

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
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, InboxState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See the module. Queues are bounded by the ledger that admitted the events.
pub struct Workers {
    inboxes: Vec<Arc<Inbox>>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// Starts the threads.
    pub fn start(flow: &Flow, chain: &Arc<Chain>, sink: &Arc<dyn Sink>) -> Result<Self> {
        let mut workers = Self { inboxes: Vec::new(), threads: Vec::new() };
        for n in 0..flow.workers() {
            let inbox = Arc::new(Inbox::default());
            let worker = Worker {
                inbox: Arc::clone(&inbox),
                chain: Arc::clone(chain),
                sink: Arc::clone(sink),
                lanes: (0..LANES).map(|_| None).collect(),
                batch_events: flow.batch_events,
                batch_bytes: usize::try_from(flow.batch_bytes.as_u64()).unwrap_or(usize::MAX),
            };
            let thread = std::thread::Builder::new().name(format!("lanes-{n}")).stack_size(STACK);
            workers.threads.push(thread.spawn(move || worker.run()).or_kind(Kind::Internal, "cannot start a worker thread")?);
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

enum Lane {
    Running(LaneChain),
    /// An event failed; nothing after it may pass.
    Halted,
}

struct Worker {
    inbox: Arc<Inbox>,
    chain: Arc<Chain>,
    sink: Arc<dyn Sink>,
    lanes: Vec<Option<Lane>>,
    batch_events: usize,
    batch_bytes: usize,
}

impl Worker {
    fn run(mut self) {
        let mut batch = Vec::new();
        while let Some(lane) = self.next(&mut batch) {
            self.work(lane, std::mem::take(&mut batch));
        }
    }

    /// Waits for a batch; `None` when the inbox is closed and empty.
    fn next(&self, batch: &mut Vec<Task>) -> Option<usize> {
        let mut state = self.inbox.lock();
        loop {
            if let Some(lane) = state.queue.pop(self.batch_events, self.batch_bytes, batch) {
                return Some(lane);
            }
            if state.closed {
                return None;
            }
            state.idle = true;
            state = self.inbox.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn work(&mut self, lane: usize, batch: Vec<Task>) {
        let slot = &mut self.lanes[lane];
        let chain = match slot.get_or_insert_with(|| Lane::Running(LaneChain::new(Arc::clone(&self.chain)))) {
            Lane::Running(chain) => chain,
            Lane::Halted => return,
        };
        let (events, tickets): (Vec<_>, Vec<_>) = batch.into_iter().map(|t| (t.event, Arc::new(t.ticket))).unzip();
        let Produced { messages, failure } = chain.run(events);
        // The lane stops at its first failure: nothing overtakes that event.
        let end = failure.as_ref().map_or(tickets.len(), |(index, _)| *index);
        let sent = self.publish(lane, &tickets[..end], messages);
        if sent.is_err() || failure.is_some() {
            self.lanes[lane] = Some(Lane::Halted);
        }
        if let (true, Some((index, error))) = (sent.is_ok(), failure) {
            tickets[index].fail(error.at("lane", lane));
        }
    }

    fn publish(&self, lane: usize, tickets: &[Arc<Ticket>], messages: Vec<(usize, Event)>) -> std::result::Result<(), ()> {
        let mut messages = messages.into_iter().peekable();
        let mut own = Vec::new();
        for (index, ticket) in tickets.iter().enumerate() {
            own.clear();
            while let Some((_, message)) = messages.next_if(|(origin, _)| *origin == index) {
                own.push(message);
            }
            ticket.expect(u32::try_from(own.len()).unwrap_or(u32::MAX));
            for message in &own {
                let made_by = self.chain.provenance();
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
