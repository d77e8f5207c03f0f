//! `relay capture`.

use super::origin::{IN_FLIGHT, Origin};
use crate::error::{Context as _, Error, Kind, Result};
use crate::event::{Event, write_line};
use clap::Args;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use tokio::sync::mpsc;

/// Arguments of `relay capture`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  relay capture -c relay.toml --out events.jsonl
  relay capture --source postgres://relay@localhost/shop --limit 20

The rows are written as they are, before any transform, payloads included: treat the file like the table.")]
pub struct Capture {
    #[command(flatten)]
    origin: Origin,
    /// File to write, which must not exist [default: stdout].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Capture {
    /// Writes events as JSON Lines. A file has its name once it is whole.
    ///
    /// # Errors
    /// When the source cannot be read or the file not be written.
    pub async fn execute(self) -> Result<()> {
        let Some(path) = &self.out else {
            let out = std::io::stdout();
            return self.copy(&mut out.lock()).await;
        };
        let failed = |e: Error| e.at("file", path.display());
        if path.exists() {
            return Err(failed(Error::new(Kind::Io, "the file is there already")).remedy("name a file that does not exist"));
        }
        let part = path.with_added_extension("part");
        let file = create(&part).or_kind(Kind::Io, "cannot make the file").map_err(|e| e.at("file", part.display()))?;
        let mut out = BufWriter::new(file);
        let copied = self.copy(&mut out).await.map_err(failed);
        let finished = copied.and_then(|()| std::fs::rename(&part, path).or_kind(Kind::Io, "cannot name the file").map_err(failed));
        if finished.is_err() {
            // What failed is said; that a part of a file is left is not worth more.
            let _ = std::fs::remove_file(&part);
        }
        finished
    }

    async fn copy(&self, out: &mut impl Write) -> Result<()> {
        let config = self.origin.configure()?;
        let (sender, events) = mpsc::channel(IN_FLIGHT);
        let (read, written) = tokio::join!(self.origin.read(&config, sender), write(events, out));
        let events = written?;
        read?;
        tracing::info!(events, "captured");
        Ok(())
    }
}

/// Takes the receiver, so that the source ends when writing does.
async fn write(mut events: mpsc::Receiver<Event>, out: &mut impl Write) -> Result<u64> {
    let mut count = 0;
    while let Some(event) = events.recv().await {
        write_line(&event, &mut *out).or_kind(Kind::Io, "cannot write the events")?;
        count += 1;
    }
    out.flush().or_kind(Kind::Io, "cannot write the events")?;
    Ok(count)
}

/// For this user alone: payloads are in it.
fn create(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
