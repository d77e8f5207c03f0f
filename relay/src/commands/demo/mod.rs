//! `relay demo`.

use crate::error::Result;
use clap::Args;

/// Arguments of `relay demo`.
#[derive(Debug, Args)]
pub struct Demo {}

impl Demo {
    /// Runs the story.
    pub async fn execute(self) -> Result<()> {
        Ok(())
    }
}
