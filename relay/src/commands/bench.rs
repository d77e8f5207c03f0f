//! `relay bench`.

use super::component::{Setup, locate};
use crate::config::{DEFAULT_TOPIC, FileSource};
use crate::error::Result;
use crate::event::{Event, TopicTemplate};
use crate::measure::{lines, measure, orders, table};
use crate::source::{Names, file};
use crate::suite::on_lane_stack;
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::mpsc;

/// Most events of a file: they stand in memory, and more would say no more.
const EVENTS: u64 = 100_000;

/// Largest made-up order, in bytes: 256 of them stand in memory.
const LARGEST: i64 = 1_000_000;

/// Arguments of `relay bench`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  relay bench mask.wasm --settings '{\"mask\":\"card\"}'
  relay bench mask.wasm --events events.jsonl      events of `relay capture`
  relay bench mask.wasm --against new.wasm         both in turn, with the ratio

Spreads are p50 · p90 · p99 · max, of calls; a call's time is divided by its events. The way
in is what a transform costs that reads the same and passes everything. Fuel counts the
guest's instructions and is the same on every machine.")]
pub struct Bench {
    /// The component, the directory it is in, or oci://…@sha256:….
    #[arg(value_name = "DIR|WASM", default_value = ".")]
    component: PathBuf,
    #[command(flatten)]
    setup: Setup,
    /// A component to compare with; may be given several times, which makes one line each.
    #[arg(long, value_name = "WASM")]
    against: Vec<PathBuf>,
    /// Events as JSON Lines [default: made-up orders].
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
    /// Size of a made-up order.
    #[arg(long, value_name = "BYTES", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=LARGEST), conflicts_with = "events")]
    payload: u32,
    /// How long each component is measured.
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = humantime::parse_duration)]
    time: Duration,
    /// One JSON object on stdout; times in nanoseconds.
    #[arg(long)]
    json: bool,
}

impl Bench {
    /// Measures and prints.
    ///
    /// # Errors
    /// When a component or the events cannot be used.
    pub async fn execute(self) -> Result<()> {
        let mut specs = Vec::new();
        for path in std::iter::once(&self.component).chain(&self.against) {
            specs.push(self.setup.stage(&locate(path).await?)?);
        }
        let events = self.read().await?;
        let costs = tokio::task::block_in_place(|| on_lane_stack(|| measure(&specs, &events, self.time)))??;
        if cfg!(debug_assertions) {
            tracing::warn!("this is a debug build: the host's side of the boundary is slow; measure with a release build");
        }
        if self.json {
            anstream::println!("{}", serde_json::json!({ "events": events.len(), "components": costs }));
            return Ok(());
        }
        anstream::print!("{}", if costs.len() > 2 { lines(&costs) } else { table(&costs) });
        for cost in &costs {
            let failed: u64 = cost.outcomes.failed.values().map(|failures| failures.events).sum();
            if failed > 0 {
                tracing::warn!(component = %cost.component.display(), failed, of = events.len(), "events fail, and that is what was measured");
            }
        }
        Ok(())
    }

    async fn read(&self) -> Result<Vec<Event>> {
        let Some(path) = &self.events else { return Ok(orders(self.payload as usize)) };
        let template = TopicTemplate::parse(DEFAULT_TOPIC)?;
        let (sender, mut receiver) = mpsc::channel(super::origin::IN_FLIGHT);
        let mut names = Names::new(&template);
        let source = FileSource { path: path.clone() };
        let collect = async {
            let mut events = Vec::new();
            while let Some(event) = receiver.recv().await {
                events.push(event);
            }
            events
        };
        let read = async {
            let sender = sender;
            file::capture(&source, EVENTS, &mut names, &sender).await
        };
        let (read, events) = tokio::join!(read, collect);
        read.map(|()| events)
    }
}
