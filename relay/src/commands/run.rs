//! `relay run`.

use super::configure;
use crate::cli::Flags;
use crate::error::Result;
use crate::pipeline::{self, Options};
use crate::shutdown::Shutdown;
use crate::swap::Reread;
use clap::Args;
use std::sync::Arc;

/// Arguments of `relay run`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  relay run --source postgres://app@localhost/shop --transform ./redact.wasm --brokers localhost:9092
  relay run -c relay.toml --until-drained
  relay run --source events.jsonl --transform ./redact.wasm --settings '{\"fields\":[\"card\"]}' --stdout")]
pub struct Run {
    #[command(flatten)]
    flags: Flags,
    /// End with exit code 0 when the backlog at start is published.
    #[arg(long)]
    until_drained: bool,
}

impl Run {
    /// Runs the pipeline.
    pub async fn execute(self) -> Result<()> {
        let shutdown = Shutdown::on_signals()?;
        let config = configure(&self.flags)?;
        let flags = self.flags;
        let reread: Reread = Arc::new(move || configure(&flags));
        pipeline::run(&config, Options { until_drained: self.until_drained, reread: Some(reread) }, shutdown).await.map(drop)
    }
}
