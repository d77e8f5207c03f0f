//! JSON Lines from a file or stdin, for trying, testing and replay. The lane
//! comes from the key, by a named and frozen hash.

use super::Intake;
use crate::config::{FileSource, LANES};
use crate::error::{Context as _, Error, Kind, Result};
use crate::event::{Event, read_line};
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

/// FNV-1a, 64 bit, of the key, else of the entity (source: Fowler, Noll and Vo,
/// `draft-eastlake-fnv`). Frozen: changing it would move keys between lanes.
#[must_use]
pub fn lane_of(event: &Event) -> usize {
    let bytes = event.key.as_deref().unwrap_or(event.entity.as_bytes());
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3));
    usize::try_from(hash % LANES as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::read_line;

    #[test]
    fn the_hash_is_frozen() {
        let lanes: Vec<_> = ["a", "b", "customer-1", ""]
            .iter()
            .map(|key| lane_of(&read_line(&format!(r#"{{"entity":"x","key":"{key}"}}"#), 1).expect("reads")))
            .collect();
        assert_eq!(lanes, [12, 37, 23, 37]);
    }
}
