//! JSON Lines from a file or stdin, for trying, testing and replay. The lane
//! comes from the key, by a named and frozen hash.

use super::{Intake, Names, lane_of};
use crate::config::FileSource;
use crate::error::{Context as _, Error, Kind, Result};
use crate::event::{Event, read_line};
use std::path::Path;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::sync::mpsc::Sender;

/// A longer line is refused: it could be no event that any broker takes.
const MAX_LINE_BYTES: usize = 64 << 20;

/// Reads all lines into the intake; returns at the end of the file.
///
/// # Errors
/// `Io` for an unreadable file, `BadEvent` naming the line.
pub async fn read(config: &FileSource, intake: &mut Intake<'_>) -> Result<()> {
    let at = |e: Error| e.at("file", config.path.display());
    let mut lines = Lines::open(config).await.map_err(at)?;
    loop {
        if lines.reader.buffer().is_empty() {
            // Reading more may take long: stdin may be a person.
            intake.hand_over();
        }
        match lines.next(intake.names()).await.map_err(at)? {
            Line::Event(event) => intake.admit(lane_of(&event), *event).await,
            Line::Blank => {}
            Line::End => return Ok(()),
        }
    }
}

/// Reads at most `limit` lines, until the receiver is gone, for trying transforms on.
///
/// # Errors
/// As [`read`].
pub async fn capture(config: &FileSource, limit: u64, names: &mut Names<'_>, out: &Sender<Event>) -> Result<()> {
    let at = |e: Error| e.at("file", config.path.display());
    let mut lines = Lines::open(config).await.map_err(at)?;
    let mut left = limit;
    while left > 0 {
        match lines.next(names).await.map_err(at)? {
            Line::Event(event) => {
                if out.send(*event).await.is_err() {
                    break;
                }
                left -= 1;
            }
            Line::Blank => {}
            Line::End => break,
        }
    }
    Ok(())
}

enum Line {
    Event(Box<Event>),
    Blank,
    End,
}

struct Lines {
    reader: BufReader<Box<dyn AsyncRead + Send + Unpin>>,
    line: Vec<u8>,
    number: u64,
}

impl Lines {
    async fn open(config: &FileSource) -> Result<Self> {
        let input: Box<dyn AsyncRead + Send + Unpin> = if config.path == Path::new("-") {
            Box::new(tokio::io::stdin())
        } else {
            let file = tokio::fs::File::open(&config.path).await;
            let file = file.or_kind(Kind::Io, "cannot open the file of events");
            Box::new(file.map_err(|e| e.remedy("give an existing file of JSON Lines, or - for stdin"))?)
        };
        Ok(Self { reader: BufReader::new(input), line: Vec::new(), number: 0 })
    }

    async fn next(&mut self, names: &mut Names<'_>) -> Result<Line> {
        self.line.clear();
        self.number += 1;
        let number = self.number;
        if !next_line(&mut self.reader, &mut self.line, number).await? {
            return Ok(Line::End);
        }
        let text = std::str::from_utf8(&self.line)
            .or_kind(Kind::BadEvent, format!("line {number} is not UTF-8"))
            .map_err(|e| e.at("line", number))?;
        if text.trim().is_empty() {
            return Ok(Line::Blank);
        }
        let mut event = read_line(text, number)?;
        if event.topic.is_empty() {
            event.topic = names.topic(&event.entity, &event.event_type);
        }
        Ok(Line::Event(Box::new(event)))
    }
}

/// One line without its end; `false` at the end of the input.
async fn next_line(reader: &mut (impl AsyncBufRead + Unpin), line: &mut Vec<u8>, number: u64) -> Result<bool> {
    loop {
        let chunk = reader.fill_buf().await.or_kind(Kind::Io, "cannot read events")?;
        if chunk.is_empty() {
            return Ok(!line.is_empty());
        }
        let end = chunk.iter().position(|b| *b == b'\n');
        line.extend_from_slice(&chunk[..end.unwrap_or(chunk.len())]);
        let used = end.map_or(chunk.len(), |at| at + 1);
        reader.consume(used);
        if line.len() > MAX_LINE_BYTES {
            return Err(Error::new(Kind::BadEvent, format!("line {number} is longer than {MAX_LINE_BYTES} bytes")).at("line", number));
        }
        if end.is_some() {
            return Ok(true);
        }
    }
}
