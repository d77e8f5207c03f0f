//! `relay capture`.

use super::origin::{IN_FLIGHT, Origin};
use crate::error::{Context as _, Error, Kind, Result};
use crate::event::write_line;
use clap::Args;
use std::io::Write;
use std::path::PathBuf;
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
    /// Writes events as JSON Lines.
    ///
    /// # Errors
    /// When the source cannot be read or the file not be written.
    pub async fn execute(self) -> Result<()> {
        let config = self.origin.configure()?;
        let failed = |e: Error| match &self.out {
            Some(path) => e.at("file", path.display()),
            None => e,
        };
        let mut out: Box<dyn Write + Send> = match &self.out {
            Some(path) => {
                let file = std::fs::File::create_new(path).or_kind(Kind::Io, "cannot make the file");
                Box::new(std::io::BufWriter::new(file.map_err(|e| failed(e).remedy("name a file that does not exist"))?))
            }
            None => Box::new(std::io::stdout()),
        };
        let (sender, mut events) = mpsc::channel(IN_FLIGHT);
        let write = async {
            let mut count: u64 = 0;
            while let Some(event) = events.recv().await {
                write_line(&event, &mut out).or_kind(Kind::Io, "cannot write the events").map_err(failed)?;
                count += 1;
            }
            out.flush().or_kind(Kind::Io, "cannot write the events").map_err(failed)?;
            Ok::<_, Error>(count)
        };
        let (read, written) = tokio::join!(self.origin.read(&config, sender), write);
        let count = written?;
        read?;
        tracing::info!(events = count, "captured");
        Ok(())
    }
}
