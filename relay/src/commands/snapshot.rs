//! `relay snapshot`.

use crate::config::{Config, Source};
use crate::error::{Error, Kind, Result};
use crate::source::cdc;
use crate::source::postgres::{Target, classify};
use clap::Args;
use std::path::PathBuf;

/// Arguments of `relay snapshot`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  relay snapshot -c relay.toml --table public.orders")]
pub struct Snapshot {
    /// Configuration file of the pipeline.
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
    /// Table to read as it is; may be given several times.
    #[arg(long, value_name = "SCHEMA.TABLE", required = true)]
    table: Vec<String>,
}

impl Snapshot {
    /// Asks for it through the log, so that the request is as durable as any
    /// event: the relay that reads the slot, or the next one, takes it.
    pub async fn execute(self) -> Result<()> {
        let Source::Cdc(source) = Config::load(&self.config)?.source else {
            return Err(Error::new(Kind::Config, "snapshots are taken beside the log, and the source is another")
                .at("file", self.config.display())
                .remedy("set kind = \"cdc\" under [source]"));
        };
        let target = Target::parse(&source.url, "relay/snapshot", source.statement_timeout, source.connect_timeout)?;
        let connection = target.connect().await?;
        let slot = cdc::Slot::find(&connection.client, &source.slot).await?.ok_or_else(|| cdc::missing(&source.slot))?;
        slot.usable(&source.slot, target.database())?;
        let published = cdc::published(&connection.client, &source.publication).await?.unwrap_or_default();
        for table in &self.table {
            let ours = source.captures(table) || source.outbox_name().as_ref() == Some(table);
            if !ours || !published.tables.iter().any(|p| p.name == *table) {
                return Err(Error::new(Kind::Config, "the table is not captured, or not in the publication")
                    .at("table", table)
                    .remedy("add it to source.tables and run `relay init --cdc --apply`"));
            }
        }
        for table in &self.table {
            let (prefix, content) = cdc::request(&source.slot, table);
            let sent = connection.client.execute("SELECT pg_logical_emit_message(true, $1, $2)", &[&prefix, &content]).await;
            sent.map_err(|e| classify(e, "cannot ask for the snapshot").at("table", table))?;
            tracing::info!(table, slot = source.slot, "asked for; the relay that reads the slot logs its progress");
        }
        Ok(())
    }
}
