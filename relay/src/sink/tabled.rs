//! A sink whose dead letters lie in a table of Postgres.

use super::Sink;
use crate::checkpoint::Ticket;
use crate::dead_letters::{Table, Write};
use crate::error::{Context as _, Error, Kind, Result};
use crate::event::Event;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

/// Letters of one database transaction; more gain nothing.
const LETTERS: usize = 100;

struct Kept {
    write: Write,
    ticket: Arc<Ticket>,
}

/// See the module. What waits to be written is bounded by the ledger, like everything else
/// that has a ticket.
pub struct Tabled {
    inner: Arc<dyn Sink>,
    closing: Arc<AtomicBool>,
    /// Until it is closed.
    queue: Mutex<Option<UnboundedSender<Kept>>>,
    writing: Mutex<Option<JoinHandle<()>>>,
    runtime: Handle,
}

impl Tabled {
    /// Connects when the first letter is written: a day without one needs no session.
    #[must_use]
    pub fn new(inner: Arc<dyn Sink>, table: Table, runtime: Handle) -> Self {
        let (queue, letters) = unbounded_channel();
        let closing = Arc::new(AtomicBool::new(false));
        let writing = runtime.spawn(write(table, letters, Arc::clone(&closing)));
        Self { inner, closing, queue: Mutex::new(Some(queue)), writing: Mutex::new(Some(writing)), runtime }
    }
}

/// Writes letters until there is trouble, or it is closed; what waits then is given up.
async fn write(table: Table, mut letters: UnboundedReceiver<Kept>, closing: Arc<AtomicBool>) {
    let (mut writer, mut batch) = (None, Vec::new());
    while letters.recv_many(&mut batch, LETTERS).await > 0 && !closing.load(Ordering::Acquire) {
        let (writes, tickets): (Vec<Write>, Vec<_>) = batch.drain(..).map(|kept: Kept| (kept.write, kept.ticket)).unzip();
        let written = async {
            let writer = match &mut writer {
                Some(writer) => writer,
                none => none.insert(table.writer().await?),
            };
            writer.write(&writes).await
        };
        match written.await {
            Ok(()) => tickets.iter().for_each(|ticket| ticket.acknowledge()),
            Err(error) => {
                // The session ends. What is behind may be of the same letters, and is given up.
                if let Some(ticket) = tickets.first() {
                    ticket.fail(error);
                }
                return;
            }
        }
    }
}

impl Sink for Tabled {
    fn publish(&self, message: &Event, made_by: &str, ticket: &Arc<Ticket>) -> Result<()> {
        self.inner.publish(message, made_by, ticket)
    }

    fn check(&self, message: &Event) -> Result<()> {
        self.inner.check(message)
    }

    fn keep(&self, id: &str, letter: Option<&[u8]>, ticket: &Arc<Ticket>) -> Result<()> {
        let text = letter.map(|letter| String::from_utf8(letter.to_vec())).transpose();
        let write = (id.to_owned(), text.or_kind(Kind::Internal, "a letter is no text")?);
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = queue.as_ref().map(|queue| queue.send(Kept { write, ticket: Arc::clone(ticket) }).is_ok());
        if sent == Some(true) { Ok(()) } else { Err(Error::new(Kind::Interrupted, "the table of the dead letters is closed")) }
    }

    fn flush(&self) -> Result<()> {
        self.inner.flush()
    }

    fn close(&self) {
        self.inner.close();
        self.closing.store(true, Ordering::Release);
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    fn purge(&self) {
        // Nothing may be written behind what is given up; the statement timeout bounds the wait.
        if let Some(writing) = self.writing.lock().unwrap_or_else(PoisonError::into_inner).take() {
            drop(self.runtime.block_on(writing));
        }
        self.inner.purge();
    }
}
