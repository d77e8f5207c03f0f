//! JSON Lines on stdout or appended to a file; durable when written (and, in a
//! file, synced).

use super::{Sink, no_letters};
use crate::checkpoint::Ticket;
use crate::dead_letters::Line;
use crate::error::{Context as _, Error, Kind, Result};
use crate::event::{Event, write_line};
use std::fs::File;
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// Read at a time while the end of a file is looked for.
const BLOCK: u64 = 64 << 10;

/// How a line begins, of messages and of letters.
const LINE: &[u8] = b"{\"";

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
    /// No file any more after half a line.
    letters: Option<(Mutex<Option<File>>, String)>,
}

impl Lines {
    /// On stdout.
    #[must_use]
    pub fn stdout() -> Self {
        Self { target: Target::Stdout, buffer: Mutex::default(), name: "stdout".into(), letters: None }
    }

    /// Appends to a file, made where it is missing.
    pub fn append(path: &Path) -> Result<Self> {
        let (target, name) = (Target::File(open(path)?), path.display().to_string());
        Ok(Self { target, buffer: Mutex::default(), name, letters: None })
    }

    /// With dead letters in that file.
    ///
    /// # Errors
    /// `Io` if it cannot be written.
    pub fn with_letters(mut self, path: &Path) -> Result<Self> {
        let file = open(path)?;
        self.letters = Some((Mutex::new(Some(file)), path.display().to_string()));
        Ok(self)
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

/// Takes away half a line, which a full disk or a death left: its event was not
/// acknowledged and comes again, and what is written behind it would be no line either.
/// What is no file, a pipe for example, stays as it is.
fn mend(file: &mut File, path: &Path) -> std::io::Result<()> {
    let Ok(mut reader) = File::open(path).and_then(|file| if file.metadata()?.is_file() { Ok(file) } else { Err(ErrorKind::Other.into()) })
    else {
        return Ok(());
    };
    let (mut start, mut blocks) = (reader.seek(SeekFrom::End(0))?, Vec::new());
    while start > 0 {
        let size = start.min(BLOCK);
        reader.seek(SeekFrom::Start(start - size))?;
        let mut block = vec![0; usize::try_from(size).unwrap_or_default()];
        reader.read_exact(&mut block)?;
        start -= size;
        if let Some(newline) = block.iter().rposition(|byte| *byte == b'\n') {
            start += newline as u64 + 1;
            blocks.push(block.split_off(newline + 1));
            break;
        }
        blocks.push(block);
    }
    blocks.reverse();
    let tail = blocks.concat();
    let whole = serde_json::from_slice::<serde::de::IgnoredAny>(&tail).is_ok();
    if tail.is_empty() {
        Ok(())
    } else if tail.starts_with(LINE) && !whole {
        tracing::warn!(file = %path.display(), bytes = tail.len(), "half a line at its end is taken away");
        file.set_len(start)
    } else {
        // Somebody else's, who ends no line.
        file.write_all(b"\n")
    }
}

fn open(path: &Path) -> Result<File> {
    let at = |e: Error| e.at("file", path.display()).remedy("give a path in an existing, writable directory");
    let mut file =
        File::options().append(true).create(true).open(path).or_kind(Kind::Io, "cannot open the file to append to").map_err(at)?;
    mend(&mut file, path).or_kind(Kind::Io, "cannot look at the end of the file").map_err(at)?;
    Ok(file)
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

    fn keep(&self, id: &str, letter: Option<&[u8]>, ticket: &Arc<Ticket>) -> Result<()> {
        let Some((file, name)) = &self.letters else { return Err(no_letters()) };
        let letter = letter.map(serde_json::from_slice).transpose().or_kind(Kind::Internal, "a letter is no JSON")?;
        let mut line = serde_json::to_vec(&Line { id: id.into(), letter }).or_kind(Kind::Internal, "cannot write a letter as JSON")?;
        line.push(b'\n');
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(open) = &mut *file else { return Err(Error::new(Kind::Interrupted, "the file of the dead letters is closed")) };
        let written = open.write_all(&line).and_then(|()| open.sync_data());
        if written.is_err() {
            *file = None;
        }
        written.or_kind(Kind::Io, "cannot write a dead letter").map_err(|e| e.at("file", name).remedy("free space, then start again"))?;
        ticket.acknowledge();
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
