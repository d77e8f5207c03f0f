//! JSON Lines on stdout or appended to a file; durable when written (and, in a
//! file, synced).

use super::Sink;
use crate::checkpoint::Ticket;
use crate::error::{Context as _, Error, Kind, Result};
use crate::event::{Event, write_line};
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

enum Target {
    Stdout,
    File(File),
}

#[derive(Default)]
struct Buffer {
    lines: Vec<u8>,
    tickets: Vec<Arc<Ticket>>,
    closed: bool,
}

/// See the module.
pub struct Lines {
    target: Target,
    buffer: Mutex<Buffer>,
    name: String,
}

impl Lines {
    /// On stdout.
    #[must_use]
    pub fn stdout() -> Self {
        Self { target: Target::Stdout, buffer: Mutex::default(), name: "stdout".into() }
    }

    /// Appends to a file, made where it is missing.
    pub fn append(path: &Path) -> Result<Self> {
        let file = File::options()
            .append(true)
            .create(true)
            .open(path)
            .or_kind(Kind::Io, "cannot open the file to append to")
            .map_err(|e| e.at("file", path.display()).remedy("give a path in an existing, writable directory"))?;
        Ok(Self { target: Target::File(file), buffer: Mutex::default(), name: path.display().to_string() })
    }

    fn write(&self, lines: &[u8]) -> std::io::Result<()> {
        match &self.target {
            Target::Stdout => {
                let mut out = std::io::stdout().lock();
                out.write_all(lines)?;
                out.flush()
            }
            Target::File(file) => {
                let mut file = file;
                file.write_all(lines)?;
                file.sync_data()
            }
        }
    }
}

impl Sink for Lines {
    fn publish(&self, message: &Event, _made_by: &str, ticket: &Arc<Ticket>) -> Result<()> {
        let mut buffer = self.buffer.lock().unwrap_or_else(PoisonError::into_inner);
        if buffer.closed {
            return Err(Error::new(Kind::Interrupted, "the sink is closing"));
        }
        write_line(message, &mut buffer.lines).or_kind(Kind::Internal, "cannot write an event as JSON")?;
        buffer.tickets.push(Arc::clone(ticket));
        Ok(())
    }

    fn check(&self, _message: &Event) -> Result<()> {
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        // Held while writing: lines of one lane keep their order.
        let mut buffer = self.buffer.lock().unwrap_or_else(PoisonError::into_inner);
        if buffer.lines.is_empty() {
            return Ok(());
        }
        let written = self.write(&buffer.lines);
        // After half a line nothing more may follow.
        buffer.closed |= written.is_err();
        buffer.lines.clear();
        let tickets = std::mem::take(&mut buffer.tickets);
        drop(buffer);
        written
            .or_kind(Kind::Io, "cannot write messages")
            .map_err(|e| e.at("file", &self.name).remedy("free space or fix the reader of the pipe, then start again; nothing is lost"))?;
        tickets.iter().for_each(|ticket| ticket.acknowledge());
        Ok(())
    }

    fn close(&self) {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
    }

    fn purge(&self) {
        let mut buffer = self.buffer.lock().unwrap_or_else(PoisonError::into_inner);
        buffer.lines.clear();
        let tickets = std::mem::take(&mut buffer.tickets);
        drop(buffer);
        drop(tickets);
    }
}
