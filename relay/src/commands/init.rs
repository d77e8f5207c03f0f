//! `relay init`.

use super::DEFAULT_TABLE;
use crate::config::{CdcSource, Config, OutboxSource, Source};
use crate::error::{Error, Kind, Result};
use crate::source::cdc;
use crate::source::outbox::{Table, audit, published, statements};
use crate::source::postgres::{Connection, TableName, Target, classify, lock};
use crate::state::{Server, Store};
use clap::Args;
use std::path::PathBuf;

/// Arguments of `relay init`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  relay init                                              print the SQL of a new table
  relay init --source postgres://app@localhost/shop       print what this database lacks
  relay init -c relay.toml --apply                        do it, mapped names included
  relay init --cdc --source postgres://… --apply          publication and slot, to read the log
  relay init --cdc --adopt-slot -c relay.toml             take over Debezium's slot where it stands")]
pub struct Init {
    /// Configuration file; its [source] gives table and column names.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// postgres://user@host/database. Without any, the SQL of a new table is printed.
    #[arg(long, value_name = "URL")]
    source: Option<String>,
    /// Outbox table [default: public.outbox].
    #[arg(long, value_name = "[SCHEMA.]TABLE")]
    table: Option<String>,
    /// Also make what `retain = true` needs.
    #[arg(long)]
    retain: bool,
    /// Also make the trigger that `notify = true` listens to.
    #[arg(long)]
    notify: bool,
    /// Make publication and slot to read the log by logical replication.
    #[arg(long)]
    cdc: bool,
    /// Take over a slot that is there, Debezium's for example, where it stands.
    #[arg(long, requires = "cdc", requires = "config")]
    adopt_slot: bool,
    /// Go on with the server that answers now, after a failover or a restore.
    #[arg(long, requires = "config", conflicts_with = "cdc")]
    adopt_server: bool,
    /// Name of the pipeline, for --cdc without a file [default: relay].
    #[arg(long, requires = "cdc", conflicts_with = "config")]
    name: Option<String>,
    /// Apply the SQL instead of printing it; may be repeated.
    #[arg(long)]
    apply: bool,
}

impl Init {
    /// Prints or applies.
    #[expect(clippy::print_stdout, reason = "the SQL is this command's data")]
    pub async fn execute(self) -> Result<()> {
        if let Some((name, source)) = self.cdc_source()? {
            return self.init_cdc(&name, &source).await;
        }
        let source = self.source()?;
        if source.url.is_empty() {
            if self.apply {
                return Err(Error::new(Kind::Config, "--apply without a database").remedy("give --source postgres://… or -c FILE"));
            }
            for statement in statements(None, &source).await? {
                println!("{statement};");
            }
            return Ok(());
        }
        let target = Target::parse(&source.url, "relay/init", source.statement_timeout, source.connect_timeout)?;
        let connection = target.connect().await?;
        if self.adopt_server {
            return self.adopt_server(&connection, &source).await;
        }
        let statements = statements(Some(&connection.client), &source).await?;
        for statement in &statements {
            if self.apply {
                tracing::info!("{}", statement.lines().next().unwrap_or_default());
                connection.client.batch_execute(statement).await.map_err(|e| {
                    classify(e, "cannot apply the SQL")
                        .at("table", &source.table)
                        .remedy("run `relay init` without --apply and have the owner of the table run what it prints")
                })?;
            } else {
                println!("{statement};");
            }
        }
        if !self.apply {
            return Ok(());
        }
        let name = TableName::parse(&source.table)?;
        let table = Table::find(&connection.client, &name, &source.columns).await?;
        let findings = audit(&connection.client, &table, source.retain).await?;
        if let Some(first) = findings.first() {
            for finding in &findings {
                tracing::error!(table = %name, "{finding}");
            }
            return Err(Error::new(
                Kind::DatabaseUnusable,
                format!("{} thing(s) about {name} must be mended by hand: {}", findings.len(), first.problem),
            )
            .remedy(first.remedy.clone()));
        }
        tracing::info!(table = %name, "ready for `relay run`");
        if !source.retain {
            tracing::info!(table = %name, "rows that are in it, older ones too, will be published and then deleted; retain = true keeps them");
        }
        Ok(())
    }

    /// The pipeline's name and its source, if that is the log.
    fn cdc_source(&self) -> Result<Option<(String, CdcSource)>> {
        let mut config = match &self.config {
            Some(path) => Config::load(path)?,
            None if self.cdc => Config::captures(self.name.as_deref(), self.table.as_deref().unwrap_or(DEFAULT_TABLE)),
            None => return Ok(None),
        };
        let Source::Cdc(mut source) = config.source else {
            return match (&self.config, self.cdc) {
                (Some(path), true) => Err(Error::new(Kind::Config, "--cdc, and the source of the file is another")
                    .at("file", path.display())
                    .remedy("set kind = \"cdc\" under [source], or leave --cdc out")),
                _ => Ok(None),
            };
        };
        if let Some(url) = &self.source {
            source.url.clone_from(url);
        }
        if let Some(table) = &self.table {
            source.outbox = Some(table.clone());
        }
        Ok(Some((std::mem::take(&mut config.name), *source)))
    }

    #[expect(clippy::print_stdout, reason = "the SQL is this command's data")]
    async fn init_cdc(&self, name: &str, source: &CdcSource) -> Result<()> {
        if source.url.is_empty() {
            return Err(Error::new(Kind::Config, "--cdc without a database").remedy("give --source postgres://… or -c FILE"));
        }
        let target = Target::parse(&source.url, "relay/init", source.statement_timeout, source.connect_timeout)?;
        let connection = target.connect().await?;
        let statements = cdc::statements(&connection.client, source, target.database(), self.adopt_slot).await?;
        for statement in &statements {
            if self.apply {
                tracing::info!("{}", statement.lines().next().unwrap_or_default());
                let done = connection.client.batch_execute(statement).await;
                done.map_err(|e| {
                    classify(e, "cannot apply the SQL")
                        .at("slot", &source.slot)
                        .remedy("have a user with the privilege run what `relay init` prints without --apply")
                })?;
            } else {
                println!("{statement};");
            }
        }
        if self.apply || self.adopt_slot {
            for finding in cdc::findings(&connection.client, source).await? {
                tracing::warn!("{finding}");
            }
            if self.adopt_slot {
                self.adopt(&target, &connection, source).await?;
            }
            let slot = cdc::Slot::find(&connection.client, &source.slot).await?.ok_or_else(|| cdc::missing(&source.slot))?;
            tracing::info!(pipeline = name, slot = source.slot, publication = source.publication, at = %cdc::Lsn(slot.confirmed), "ready for `relay run`");
        }
        Ok(())
    }

    /// Lets the pipeline begin where the slot stands, on this server.
    async fn adopt(&self, target: &Target, connection: &Connection, source: &CdcSource) -> Result<()> {
        let Some(path) = &self.config else { return Ok(()) };
        let slot = cdc::Slot::find(&connection.client, &source.slot).await?.ok_or_else(|| cdc::missing(&source.slot))?;
        let (system, timeline) = cdc::identify(target, source).await?;
        let store = Store::open(&Config::load(path)?)?;
        let position = cdc::Lsn(slot.confirmed).to_string();
        store.load().await?;
        cdc::Progress { system, timeline, slot: source.slot.clone(), position: position.clone(), ..cdc::Progress::default() }
            .store(&store)
            .await?;
        tracing::info!(position, state = store.place(), "the slot is adopted where it stands");
        Ok(())
    }

    /// Lets a pipeline that polls go on with this server.
    async fn adopt_server(&self, connection: &Connection, source: &OutboxSource) -> Result<()> {
        let Some(path) = &self.config else { return Ok(()) };
        let unknown = || {
            Error::new(Kind::DatabaseUnusable, "this user may not know which server it is").remedy("grant it EXECUTE on pg_control_system")
        };
        let config = Config::load(path)?;
        if let (Some(_), _) = lock::owner(&connection.client, &config.name).await? {
            return Err(Error::new(Kind::Config, "a relay reads this pipeline")
                .at("pipeline", &config.name)
                .remedy("stop every relay of it first"));
        }
        let server = Server::new(connection.identify().await?.ok_or_else(unknown)?);
        let table = Table::find(&connection.client, &TableName::parse(&source.table)?, &source.columns).await?;
        let store = Store::open(&config)?;
        published::adopt(&connection.client, &table, &store).await?;
        server.remember(&store).await?;
        tracing::info!(state = store.place(), "the pipeline goes on with this server");
        Ok(())
    }

    fn source(&self) -> Result<OutboxSource> {
        let mut source = match &self.config {
            Some(path) => match Config::load(path)?.source {
                Source::Outbox(outbox) => *outbox,
                Source::Cdc(_) | Source::File(_) => {
                    return Err(
                        Error::new(Kind::Config, "the source is no polled outbox; there is no table to make").at("file", path.display())
                    );
                }
            },
            None => OutboxSource::default(),
        };
        if let Some(url) = &self.source {
            source.url.clone_from(url);
        }
        if let Some(table) = &self.table {
            source.table.clone_from(table);
        }
        source.retain |= self.retain;
        source.notify |= self.notify;
        Ok(source)
    }
}
