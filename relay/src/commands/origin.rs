//! Where `relay capture` and `relay replay` get events from. Nothing is changed
//! there, locked or acknowledged.

use super::configure;
use crate::cli::Flags;
use crate::config::{Config, Source};
use crate::error::{Error, Kind, Result};
use crate::event::{Event, TopicTemplate};
use crate::source::postgres::{Connection, TableName, Target, classify};
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
    /// Name of the pipeline, which its slot is called after.
    #[arg(long)]
    name: Option<String>,
    /// At most so many events, from the oldest on [default: all].
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

impl Origin {
    /// The configuration, of which only the source and the topic template count.
    ///
    /// # Errors
    /// `Config`.
    pub(crate) fn configure(&self) -> Result<Config> {
        let config = configure(&Flags {
            config: self.config.clone(),
            source: self.source.clone(),
            table: self.table.clone(),
            cdc: self.cdc,
            topic: self.topic.clone(),
            name: self.name.clone(),
            stdout: self.config.is_none(),
            ..Flags::default()
        })?;
        match (&config.source, self.cdc) {
            (Source::Outbox(_) | Source::File(_), true) => Err(Error::new(Kind::Config, "--cdc, and the source of the file is another")
                .remedy("set kind = \"cdc\" under [source], or leave --cdc out")),
            _ => Ok(config),
        }
    }

    /// Sends the events until there are no more, or nobody takes them.
    ///
    /// # Errors
    /// When the source cannot be read.
    pub(crate) async fn read(&self, config: &Config, out: Sender<Event>) -> Result<()> {
        let limit = self.limit.unwrap_or(u64::MAX);
        let template = TopicTemplate::parse(config.sink.topic())?;
        let names = &mut Names::new(&template);
        match &config.source {
            Source::File(source) => tokio::select! {
                read = file::capture(source, limit, names, &out) => read,
                // The source may be a person who writes nothing for long.
                () = out.closed() => Ok(()),
            },
            Source::Outbox(source) => {
                let session = patient(target(&source.url, source.connect_timeout)?.connect().await?).await?;
                let table = outbox::Table::find(&session.client, &TableName::parse(&source.table)?, &source.columns).await?;
                tokio::select! {
                    read = outbox::capture(&session.client, &table, limit, names, &out) => read,
                    () = out.closed() => Ok(()),
                }
            }
            Source::Cdc(source) => {
                let target = target(&source.url, source.connect_timeout)?;
                let session = patient(target.connect_printing().await?).await?;
                let lookup = target.connect().await?;
                cdc::capture(&session, &lookup.client, source, target.database(), limit, names, &out).await
            }
        }
    }
}

/// Without a statement timeout, for all that is read may be one statement.
fn target(url: &str, connect_timeout: Duration) -> Result<Target> {
    Target::parse(url, "relay/capture", Duration::ZERO, connect_timeout)
}

/// Has a session wait for a reader that rests as long as a pager does, and its
/// server look for it now and then even while it decodes.
async fn patient(session: Connection) -> Result<Connection> {
    let sql = "SET tcp_user_timeout = 0; SET client_connection_check_interval = '10s'";
    session.client.batch_execute(sql).await.map_err(|e| classify(e, "cannot open the session"))?;
    Ok(session)
}
