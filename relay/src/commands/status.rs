//! `relay status`.

use crate::admin::Client;
use crate::config::{CdcSource, Config, Source};
use crate::error::{Error, Kind, Result};
use crate::pipeline::GROUP;
use crate::source::cdc::{self, Progress, ScanProgress};
use crate::source::postgres::{Target, lock};
use crate::state::{Store, read};
use bytesize::ByteSize;
use clap::Args;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Entries of the history that are shown; `--json` has all.
const SHOWN: usize = 5;

/// Arguments of `relay status`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  relay status -c relay.toml
  relay status -c relay.toml --json | jq .slot.wal_kept_bytes")]
pub struct Status {
    /// Configuration file of the pipeline.
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
    /// One JSON object on stdout.
    #[arg(long)]
    json: bool,
}

/// What can be known from outside the relay that runs.
#[derive(Debug, Serialize)]
struct Report {
    pipeline: String,
    database: String,
    #[serde(flatten)]
    owned: Ownership,
    /// `None` if the slot is gone.
    slot: Option<SlotReport>,
    /// Everything before is published; where that is remembered.
    published: Option<String>,
    state: String,
    /// Bytes of log that are not published yet.
    lag_bytes: Option<u64>,
    oldest_transaction: Option<Transaction>,
    snapshots: BTreeMap<String, ScanProgress>,
    /// What the relay itself says, if it can be asked.
    #[serde(flatten)]
    live: Option<Value>,
}

/// The same of a table that is polled.
#[derive(Debug, Serialize)]
struct Polled {
    pipeline: String,
    database: String,
    #[serde(flatten)]
    owned: Ownership,
    #[serde(flatten)]
    live: Option<Value>,
}

/// Who has the pipeline.
#[derive(Debug, Serialize)]
struct Ownership {
    /// Group of lanes: one has all.
    group: u32,
    owner: Option<lock::Owner>,
    standing_by: usize,
}

impl Ownership {
    async fn find(config: &Config, client: &tokio_postgres::Client) -> Result<Self> {
        let (owner, standing_by) = lock::owner(client, &config.name).await?;
        Ok(Self { group: GROUP, owner, standing_by })
    }

    #[expect(clippy::print_stdout, reason = "the report is this command's data")]
    fn print(&self) {
        let owner = self.owner.as_ref().map_or("nobody".to_owned(), |owner| {
            let since = owner.since.as_ref().map(|since| format!(" since {since}")).unwrap_or_default();
            format!("process {} of the server, from {}{since}", owner.pid, owner.address.as_deref().unwrap_or("this machine"))
        });
        println!("owner         {owner}; {} standing by", self.standing_by);
    }
}

#[derive(Debug, Serialize)]
struct SlotReport {
    name: String,
    confirmed: String,
    newest: String,
    read_by: Option<i32>,
    wal_status: Option<String>,
    wal_kept_bytes: i64,
    wal_left_bytes: Option<i64>,
    failover: bool,
}

#[derive(Debug, Serialize)]
struct Transaction {
    seconds: i64,
    who: String,
}

impl Status {
    /// Looks at the database and the state, and changes nothing.
    ///
    /// # Errors
    /// `Config` for a file as the source; those of the database and the state.
    #[expect(clippy::print_stdout, reason = "the report is this command's data")]
    pub async fn execute(self) -> Result<()> {
        let config = Config::load(&self.config)?;
        // Asked only where the relay lets itself be asked.
        let live = match Client::of(&config, &self.config) {
            Ok(client) => Some(client.status().await),
            Err(_) => None,
        };
        let source = match &config.source {
            Source::Cdc(source) => source,
            Source::Outbox(source) => {
                let live = live.and_then(|live| live.inspect_err(|error| tracing::warn!("{error}")).ok());
                let target = Target::parse(&source.url, "relay/status", source.statement_timeout, source.connect_timeout)?;
                let owned = Ownership::find(&config, &target.connect().await?.client).await?;
                if self.json {
                    println!("{}", serde_json::json!(Polled { pipeline: config.name, database: target.label().to_owned(), owned, live }));
                } else {
                    println!("pipeline      {} ({})", config.name, target.label());
                    owned.print();
                    live.as_ref().inspect(|live| generations(live));
                }
                return Ok(());
            }
            Source::File(_) => {
                return Err(Error::new(Kind::Config, "a pipeline that reads a file has no status").at("file", self.config.display()));
            }
        };
        let mut report = report(&config, source).await?;
        report.live = live.and_then(Result::ok);
        if self.json {
            println!("{}", serde_json::json!(report));
            return Ok(());
        }
        let bytes = |n: i64| ByteSize(u64::try_from(n).unwrap_or(0));
        println!("pipeline      {} ({})", report.pipeline, report.database);
        report.owned.print();
        match &report.slot {
            Some(slot) => {
                println!("read by       {}", slot.read_by.map_or("nobody".to_owned(), |pid| format!("process {pid}")));
                println!("slot          {} at {} of {}", slot.name, slot.confirmed, slot.newest);
                let left = slot.wal_left_bytes.map_or(String::new(), |left| format!(", lost after {} more", bytes(left)));
                println!("WAL kept      {}{left}", bytes(slot.wal_kept_bytes));
            }
            None => println!("slot          there is none: {}", cdc::missing(&source.slot)),
        }
        println!("published     {} (in {})", report.published.as_deref().unwrap_or("nothing is remembered"), report.state);
        if let Some(lag) = report.lag_bytes {
            println!("lag           {}", ByteSize(lag));
        }
        if let Some(oldest) = &report.oldest_transaction {
            println!("oldest writer {} for {} s", oldest.who, oldest.seconds);
        }
        report.live.as_ref().inspect(|live| generations(live));
        for (table, scan) in &report.snapshots {
            println!("snapshot      {table}: {} rows{}", scan.rows, if scan.done { "" } else { ", going on" });
        }
        Ok(())
    }
}

/// The active generation, and the newest of the history first.
#[expect(clippy::print_stdout, reason = "the report is this command's data")]
fn generations(live: &Value) {
    let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let Some(all) = live.get("generations") else { return };
    let number = |name: &str| all.pointer(&format!("/{name}/number")).and_then(Value::as_u64);
    let stages: Vec<String> = (all.pointer("/active/stages").and_then(Value::as_array).into_iter().flatten())
        .map(|stage| format!("{}@{:.12} ({})", text(stage, "name"), text(stage, "digest"), text(stage, "from")))
        .collect();
    println!("generation    {} since {}: {}", number("active").unwrap_or_default(), text(all, "since"), stages.join(", "));
    if let Some(candidate) = number("candidate") {
        println!("canary        {candidate} has {} lanes", all.get("lanes").and_then(Value::as_u64).unwrap_or_default());
    }
    if let Some(previous) = number("previous") {
        println!("previous      {previous}, kept warm");
    }
    for entry in all.get("history").and_then(Value::as_array).into_iter().flatten().rev().take(SHOWN) {
        let reason = entry.get("reason").and_then(Value::as_str).map(|reason| format!(": {reason}")).unwrap_or_default();
        println!("history       {} {} by {}: {}{reason}", text(entry, "at"), text(entry, "way"), text(entry, "by"), text(entry, "outcome"));
    }
}

async fn report(config: &Config, source: &CdcSource) -> Result<Report> {
    let target = Target::parse(&source.url, "relay/status", source.statement_timeout, source.connect_timeout)?;
    let connection = target.connect().await?;
    let slot = cdc::Slot::find(&connection.client, &source.slot).await?;
    let oldest = cdc::oldest_transaction(&connection.client).await?;
    let store = Store::open(config)?;
    let records = store.peek().await?;
    let published = Progress::find(&records)?;
    let mut snapshots = BTreeMap::new();
    for key in records.keys() {
        if let Some(table) = key.strip_prefix("snapshot/") {
            snapshots.insert(table.to_owned(), read(&records, key)?.unwrap_or_default());
        }
    }
    Ok(Report {
        pipeline: config.name.clone(),
        database: target.label().to_owned(),
        owned: Ownership::find(config, &connection.client).await?,
        lag_bytes: slot.as_ref().map(|slot| slot.current.saturating_sub(published.as_ref().map_or(slot.confirmed, Progress::lsn))),
        published: published.as_ref().map(|p| p.position.clone()),
        state: store.place(),
        oldest_transaction: oldest.map(|(seconds, who)| Transaction { seconds, who }),
        snapshots,
        live: None,
        slot: slot.map(|slot| SlotReport {
            name: source.slot.clone(),
            confirmed: cdc::Lsn(slot.confirmed).to_string(),
            newest: cdc::Lsn(slot.current).to_string(),
            read_by: slot.active_pid,
            wal_status: slot.wal_status,
            wal_kept_bytes: slot.kept,
            wal_left_bytes: slot.safe,
            failover: slot.failover,
        }),
    })
}
