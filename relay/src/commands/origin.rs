//! Where `relay capture` and `relay replay` get events from. Nothing is changed
//! there, locked or acknowledged.

use super::configure;
use crate::cli::Flags;
use crate::config::{Config, Source};
use crate::error::Result;
use crate::event::{Event, TopicTemplate};
use crate::source::postgres::{Connection, TableName, Target};
use crate::source::{Names, cdc, file, outbox};
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::mpsc::Sender;

/// Events on their way from the source: enough that neither side waits for each one.
pub(crate) const IN_FLIGHT: usize = 256;

/// See the module.
#[derive(Clone, Debug, Args)]
pub(crate) struct Origin {
    /// Configuration file, for its source.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// postgres://user@host/database, or a file of JSON Lines (- for stdin).
    /// Without it and without a file: the environment's DATABASE_URL.
    #[arg(long, value_name = "URL|FILE")]
    source: Option<String>,
    /// Outbox table [default: public.outbox].
    #[arg(long, value_name = "[SCHEMA.]TABLE")]
    table: Option<String>,
    /// Read what the slot still has, through a temporary copy of it, instead of the table.
    #[arg(long)]
    cdc: bool,
    /// Topic template [default: outbox.event.{aggregate_type}].
    #[arg(long, value_name = "TEMPLATE")]
    topic: Option<String>,
    /// At most so many events, from the oldest on; 0 is all.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    limit: u64,
}

impl Origin {
    /// The configuration, of which only the source and the topic template count.
    pub(crate) fn configure(&self) -> Result<Config> {
        configure(&Flags {
            config: self.config.clone(),
            source: self.source.clone(),
            table: self.table.clone(),
            cdc: self.cdc,
            topic: self.topic.clone(),
            stdout: true,
            ..Flags::default()
        })
    }

    /// Sends the events until there are no more, or nobody takes them.
    ///
    /// # Errors
    /// When the source cannot be read.
    pub(crate) async fn read(&self, config: &Config, out: Sender<Event>) -> Result<()> {
        let limit = if self.limit == 0 { u64::MAX } else { self.limit };
        let template = TopicTemplate::parse(config.sink.topic())?;
        let names = &mut Names::new(&template);
        match &config.source {
            Source::File(source) => file::capture(source, limit, names, &out).await,
            Source::Outbox(source) => {
                let session = connect(&source.url, source.connect_timeout).await?;
                let table = outbox::Table::find(&session.client, &TableName::parse(&source.table)?, &source.columns).await?;
                outbox::capture(&session.client, &table, limit, names, &out).await
            }
            Source::Cdc(source) => {
                let target = Target::parse(&source.url, "relay/capture", Duration::ZERO, source.connect_timeout)?;
                let session = target.connect_printing().await?;
                cdc::capture(&session.client, source, target.database(), limit, names, &out).await
            }
        }
    }
}

/// Without a statement timeout, for all that is read is one statement.
async fn connect(url: &str, timeout: Duration) -> Result<Connection> {
    Target::parse(url, "relay/capture", Duration::ZERO, timeout)?.connect().await
}
