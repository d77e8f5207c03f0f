//! JSON Lines from a file or stdin, for trying, testing and replay. The lane
//! comes from the key, by a named and frozen hash.

use super::{Intake, lane_of};
use crate::config::FileSource;
use crate::error::{Context as _, Error, Kind, Result};
use crate::event::read_line;
use std::path::Path;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncRead, BufReader};

/// A longer line is refused: it could be no event that any broker takes.
const MAX_LINE_BYTES: usize = 64 << 20;

/// Reads all lines into the intake; returns at the end of the file.
///
/// # Errors
/// `Io` for an unreadable file, `BadEvent` naming the line.
pub async fn read(config: &FileSource, intake: &mut Intake<'_>) -> Result<()> {
    let at = |e: Error| e.at("file", config.path.display());
    if config.path == Path::new("-") {
        return read_lines(BufReader::new(tokio::io::stdin()), intake).await.map_err(at);
    }
    let file = tokio::fs::File::open(&config.path)
        .await
        .or_kind(Kind::Io, "cannot open the file of events")
        .map_err(|e| at(e).remedy("give an existing file of JSON Lines, or - for stdin"))?;
    read_lines(BufReader::new(file), intake).await.map_err(at)
}

async fn read_lines(mut reader: BufReader<impl AsyncRead + Unpin>, intake: &mut Intake<'_>) -> Result<()> {
    let mut line = Vec::new();
    let mut number = 0;
    loop {
        line.clear();
        number += 1;
        if reader.buffer().is_empty() {
            // Reading more may take long: stdin may be a person.
            intake.hand_over();
        }
        if !next_line(&mut reader, &mut line, number).await? {
            return Ok(());
        }
        let text =
            std::str::from_utf8(&line).or_kind(Kind::BadEvent, format!("line {number} is not UTF-8")).map_err(|e| e.at("line", number))?;
        if text.trim().is_empty() {
            continue;
        }
        let mut event = read_line(text, number)?;
        if event.topic.is_empty() {
            event.topic = intake.topic(&event.entity, &event.event_type);
        }
        intake.admit(lane_of(&event), event).await;
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
