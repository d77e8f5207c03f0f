//! Worker threads: each owns some lanes and has their batches worked by a [`Bench`],
//! in order.

use super::work::Bench;
use super::{Isolation, LaneQueue};
use crate::checkpoint::Ticket;
use crate::config::Flow;
use crate::dead_letters::{Errand, SourceKey};
use crate::error::{Context as _, Kind, Result};
use crate::event::{EVENT_OVERHEAD_BYTES, Event};
use crate::generation::Board;
use crate::sink::Sink;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// Stack of a worker thread: a guest's own (`limits.stack`, 4 MiB at most) runs
/// on it, and the host's frames beside it.
pub const STACK: usize = 8 << 20;

/// What a lane is given to do.
pub enum Task {
    /// An event of the source, with the ticket that says what became of it.
    Event(Event, Ticket),
    /// That of a dead or parked letter.
    Letter(Event, Ticket, Arc<Errand>),
    /// The letters of this key have all been given; what waits behind them goes on.
    Settle(SourceKey),
}

impl Task {
    fn size(&self) -> usize {
        match self {
            Self::Event(event, _) | Self::Letter(event, ..) => event.footprint(),
            Self::Settle(_) => EVENT_OVERHEAD_BYTES,
        }
    }
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
    pub fn start(flow: &Flow, board: &Arc<Board>, sink: &Arc<dyn Sink>, isolation: &Isolation) -> Result<Self> {
        let mut workers = Self { inboxes: Vec::new(), threads: Vec::new() };
        for n in 0..flow.workers() {
            let inbox = Arc::new(Inbox::default());
            let worker = Worker {
                inbox: Arc::clone(&inbox),
                bench: Bench::new(board, Arc::clone(sink), isolation.clone()),
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
            let bytes = task.size();
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

/// What is next for a worker.
enum Next {
    Batch(usize),
    Look,
}

struct Worker {
    inbox: Arc<Inbox>,
    bench: Bench,
    batch_events: usize,
    batch_bytes: usize,
}

impl Worker {
    fn run(mut self) {
        let mut batch = Vec::new();
        while let Some(next) = self.next(&mut batch) {
            self.bench.look();
            if let Next::Batch(lane) = next {
                self.bench.work(lane, std::mem::take(&mut batch));
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
}
