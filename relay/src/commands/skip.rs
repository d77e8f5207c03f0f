//! `relay skip`.

use crate::config::Config;
use crate::error::Result;
use crate::event::now;
use crate::state::{Skip as Asked, Skips};
use clap::Args;
use std::path::PathBuf;

/// Arguments of `relay skip`.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  relay skip 0192ab3c-… -c relay.toml

The relay looks for it when it would halt at the event, so that it may be asked before or after, and
takes effect at the next start. Where there are dead letters the event becomes one; else it is lost.")]
pub struct Skip {
    /// Id of the event, as the error has it.
    id: String,
    /// Configuration file of the pipeline.
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
}

impl Skip {
    /// Writes it into the pipeline's state.
    ///
    /// # Errors
    /// `Config` where nothing is remembered; those of the state.
    pub async fn execute(self) -> Result<()> {
        let config = Config::load(&self.config)?;
        let by = std::env::var("USER").unwrap_or_else(|_| "somebody".to_owned());
        Skips::ask(&config, &self.id, &Asked { by, at: now() }).await?;
        anstream::println!("{} will be skipped when the relay would halt at it", self.id);
        Ok(())
    }
}
