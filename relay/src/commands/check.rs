//! `relay check`.

use super::configure;
use crate::cli::Flags;
use crate::config::{CdcSource, Config, KafkaSink, OutboxSource, Sink, Source};
use crate::error::{Error, Kind, Result};
use crate::event::TopicTemplate;
use crate::modules::{Library, is_remote, local};
use crate::pipeline::{allowed_topics, stage_specs};
use crate::sink::kafka::Topics;
use crate::source::cdc;
use crate::source::outbox::{Table, audit};
use crate::source::postgres::{TableName, Target};
use crate::transform::Chain;
use clap::Args;
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Arguments of `relay check`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  relay check -c relay.toml --offline     configuration and components only
  relay check -c relay.toml --json        for a machine; exit code 0 when all is well")]
pub struct Check {
    #[command(flatten)]
    flags: Flags,
    /// Only what needs neither database nor broker.
    #[arg(long)]
    offline: bool,
    /// One JSON object on stdout.
    #[arg(long)]
    json: bool,
}

/// The result of one check.
#[derive(Debug, Serialize)]
struct Outcome {
    check: String,
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

#[derive(Default)]
struct Report {
    outcomes: Vec<Outcome>,
    first: Option<Error>,
}

impl Report {
    fn add(&mut self, check: &str, result: Result<String>) {
        let (ok, detail) = match result {
            Ok(detail) => (true, detail),
            Err(error) => {
                let text = error.to_string();
                self.first.get_or_insert(error);
                (false, text)
            }
        };
        self.outcomes.push(Outcome { check: check.to_owned(), ok, detail: Some(detail).filter(|d| !d.is_empty()) });
    }
}

impl Check {
    /// Checks in order; everything that can be checked is, and the first
    /// failure decides the exit code.
    pub async fn execute(self) -> Result<()> {
        let mut report = Report::default();
        match configure(&self.flags) {
            Ok(config) => {
                report.add("configuration", Ok(String::new()));
                report.add("transforms", transforms(&config).await);
                if !self.offline {
                    match &config.source {
                        Source::Outbox(source) => database(source, &mut report).await,
                        Source::Cdc(source) => replication(source, &mut report).await,
                        Source::File(_) => {}
                    }
                    if let Sink::Kafka(kafka) = &config.sink {
                        report.add("broker", broker(kafka, &config).await);
                    }
                }
            }
            Err(error) => report.add("configuration", Err(error)),
        }
        self.print(&report);
        report.first.map_or(Ok(()), Err)
    }

    #[expect(clippy::print_stdout, reason = "the report is this command's data")]
    fn print(&self, report: &Report) {
        if self.json {
            let object = serde_json::json!({ "ok": report.first.is_none(), "checks": report.outcomes });
            println!("{object}");
            return;
        }
        for outcome in &report.outcomes {
            let mark = if outcome.ok { "ok  " } else { "FAIL" };
            let detail = outcome.detail.as_deref().unwrap_or_default().replace('\n', "\n       ");
            println!("{mark} {}{}{detail}", outcome.check, if detail.is_empty() { "" } else { ": " });
        }
    }
}

async fn transforms(config: &Config) -> Result<String> {
    let mut specs = stage_specs(config)?;
    for spec in specs.iter_mut().filter(|spec| is_remote(&spec.path)) {
        let library = Library::find(&config.modules, &config.name)?;
        spec.path = local(&spec.path, &library, config.swap.max_component.as_u64()).await.map_err(|e| e.at("transform", &spec.name))?;
    }
    let flow = config.flow.clone();
    let chain = tokio::task::spawn_blocking(move || Chain::load(&specs, &flow))
        .await
        .map_err(|e| Error::new(Kind::Internal, "loading the chain failed").cause(e))??;
    Ok(chain.provenance().to_owned())
}

async fn database(source: &OutboxSource, report: &mut Report) {
    let found = async {
        let name = TableName::parse(&source.table)?;
        let target = Target::parse(&source.url, "relay/check", source.statement_timeout, source.connect_timeout)?;
        let connection = target.connect().await?;
        let table = Table::find(&connection.client, &name, &source.columns).await?;
        let findings = audit(&connection.client, &table, source.retain).await?;
        Ok((format!("{} table {name}", target.label()), findings))
    };
    match found.await {
        Ok((detail, findings)) if findings.is_empty() => report.add("database", Ok(detail)),
        Ok((_, findings)) => {
            for finding in findings {
                let error = Error::new(Kind::DatabaseUnusable, finding.problem).at("table", &source.table).remedy(finding.remedy);
                report.add("database", Err(error));
            }
        }
        Err(error) => report.add("database", Err(error)),
    }
}

async fn replication(source: &CdcSource, report: &mut Report) {
    let found = async {
        let target = Target::parse(&source.url, "relay/check", source.statement_timeout, source.connect_timeout)?;
        let connection = target.connect().await?;
        let slot = cdc::Slot::find(&connection.client, &source.slot).await?.ok_or_else(|| cdc::missing(&source.slot))?;
        slot.usable(&source.slot, target.database())?;
        let findings = cdc::findings(&connection.client, source).await?;
        let active = slot.active_pid.map_or(String::new(), |pid| format!(", read by process {pid}"));
        let detail = format!(
            "{} slot {} at {}, {} of WAL kept{active}",
            target.label(),
            source.slot,
            cdc::Lsn(slot.confirmed),
            bytesize::ByteSize(u64::try_from(slot.kept).unwrap_or(0))
        );
        Ok::<_, Error>((detail, findings))
    };
    match found.await {
        Ok((detail, findings)) if findings.is_empty() => report.add("database", Ok(detail)),
        Ok((_, findings)) => {
            for finding in findings {
                report.add("database", Err(Error::new(Kind::DatabaseUnusable, finding).at("publication", &source.publication)));
            }
        }
        Err(error) => report.add("database", Err(error.at("slot", &source.slot))),
    }
}

async fn broker(kafka: &KafkaSink, config: &Config) -> Result<String> {
    let template = TopicTemplate::parse(&kafka.topic)?;
    let patterns = allowed_topics(&config.sink, &template);
    let (kafka, runtime) = (kafka.clone(), tokio::runtime::Handle::current());
    let checked = tokio::task::spawn_blocking(move || {
        let topics = Topics::new(&kafka, &patterns, runtime, Arc::new(AtomicBool::new(false)))?;
        let existing = topics.partitions()?;
        for pattern in patterns.iter().filter(|p| !p.contains('*')) {
            if !existing.contains_key(pattern) && kafka.create_topics.is_none() {
                return Err(Error::new(Kind::BrokerUnusable, format!("topic `{pattern}` does not exist"))
                    .at("topic", pattern)
                    .remedy("create it, or let the relay do so: [sink] create_topics = { partitions = 3 }, or --create-topics 3"));
            }
        }
        Ok(format!("{}, {} topics", kafka.brokers, existing.len()))
    });
    checked.await.map_err(|e| Error::new(Kind::Internal, "the check failed").cause(e))?
}
