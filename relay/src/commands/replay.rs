//! `relay replay`.

use super::component::{Setup, locate};
use super::origin::{IN_FLIGHT, Origin};
use crate::error::{Context as _, Error, Kind, Result};
use crate::event::Event;
use crate::suite::{Disagreement, Tally, on_lane_stack, outcome};
use crate::transform::{Engine, Module, StageSpec, Workbench};
use clap::Args;
use std::io::Write as _;
use std::path::PathBuf;
use tokio::sync::mpsc;

/// Events of a call.
const BATCH: usize = 64;

/// Arguments of `relay replay`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  relay replay mask.wasm --source events.jsonl --settings '{\"mask\":\"phone\"}'
  relay replay mask.wasm -c relay.toml                       the rows that are in the outbox now
  relay replay mask.wasm -c relay.toml --against new.wasm    only what the new one makes otherwise

Nothing is published, acknowledged or changed. Exit codes: 0 done, 10 they differ.")]
pub struct Replay {
    /// The component, the directory it is in, or oci://…@sha256:….
    #[arg(value_name = "DIR|WASM")]
    component: PathBuf,
    #[command(flatten)]
    origin: Origin,
    #[command(flatten)]
    setup: Setup,
    /// Show only what this component makes of the events otherwise.
    #[arg(long, value_name = "WASM", conflicts_with = "outcomes")]
    against: Option<PathBuf>,
    /// Settings of that one, if they are others.
    #[arg(long, value_name = "JSON", requires = "against")]
    against_settings: Option<String>,
    /// Print what becomes of each event, as JSON Lines.
    #[arg(long)]
    outcomes: bool,
    /// Print the counts, and the differences, as one JSON object.
    #[arg(long, conflicts_with = "outcomes")]
    json: bool,
}

/// Differences kept to be shown; the others are counted.
const SHOWN: usize = 100;

/// Where two components differ.
#[derive(Default)]
struct Differences {
    shown: Vec<Disagreement>,
    events: u64,
}

/// One component and what it did so far.
struct Side {
    spec: StageSpec,
    module: Module,
    tally: Tally,
}

impl Side {
    fn load(engine: &Engine, spec: StageSpec) -> Result<Self> {
        let module = engine.load(&spec.path)?;
        Ok(Self { spec, module, tally: Tally::default() })
    }

    fn json(&self) -> serde_json::Value {
        serde_json::json!({ "component": self.spec.path, "digest": self.module.short_digest(), "tally": self.tally })
    }
}

impl Replay {
    /// Passes events through and says what became of them.
    ///
    /// # Errors
    /// When a component or the source cannot be used; `TestFailed` where two
    /// components differ.
    pub async fn execute(self) -> Result<()> {
        let config = self.origin.configure()?;
        let engine = Engine::metered(&[crate::config::Limits::default()])?;
        let mut sides = vec![Side::load(&engine, self.setup.stage(&locate(&self.component).await?)?)?];
        if let Some(path) = &self.against {
            let settings = self.against_settings.clone().unwrap_or_else(|| self.setup.settings.clone());
            let setup = Setup { settings, ..self.setup.clone() };
            sides.push(Side::load(&engine, setup.stage(&locate(path).await?)?)?);
        }
        let (sender, events) = mpsc::channel(IN_FLIGHT);
        let outcomes = self.outcomes;
        let work =
            tokio::task::spawn_blocking(move || on_lane_stack(move || pass(&engine, &mut sides, events, outcomes).map(|d| (sides, d)))?);
        let read = self.origin.read(&config, sender).await;
        let (sides, differences) = work.await.or_kind(Kind::Internal, "the replay panicked")??;
        read?;
        self.print(&sides, &differences)?;
        let events = sides.first().map_or(0, |side| side.tally.events);
        match differences.events {
            0 => Ok(()),
            some => Err(Error::new(Kind::TestFailed, format!("the components differ in {some} of {events} events"))
                .remedy("what differs is shown above; if it is what you want, use the new one")),
        }
    }

    fn print(&self, sides: &[Side], differences: &Differences) -> Result<()> {
        if self.outcomes {
            return Ok(());
        }
        if self.json {
            let sides: Vec<_> = sides.iter().map(Side::json).collect();
            let shown: Vec<_> = differences.shown.iter().map(Disagreement::json).collect();
            anstream::println!("{}", serde_json::json!({ "components": sides, "differing": differences.events, "differences": shown }));
            return Ok(());
        }
        differences.shown.iter().for_each(|difference| anstream::print!("{difference}"));
        let more = differences.events - differences.shown.len() as u64;
        if more > 0 {
            anstream::println!("     and {more} more events");
        }
        for side in sides {
            anstream::print!("{} {}\n{}", side.spec.path.display(), side.module.short_digest(), side.tally);
        }
        Ok(())
    }
}

/// Takes events until there are no more.
fn pass(engine: &Engine, sides: &mut [Side], mut events: mpsc::Receiver<Event>, outcomes: bool) -> Result<Differences> {
    let mut benches = Vec::new();
    for side in sides.iter() {
        let mut bench = Workbench::new(engine, &side.module, &side.spec);
        bench.renew()?;
        benches.push(bench);
    }
    let mut differences = Differences::default();
    while let Some(first) = events.blocking_recv() {
        let mut batch = vec![first];
        while batch.len() < BATCH
            && let Some(next) = events.blocking_recv()
        {
            batch.push(next);
        }
        let borrowed: Vec<&Event> = batch.iter().collect();
        let mut answers = Vec::new();
        for (side, bench) in sides.iter_mut().zip(&mut benches) {
            let made = bench.process(&borrowed)?;
            side.tally.fuel += bench.fuel();
            batch.iter().zip(&made).for_each(|(event, answer)| side.tally.add(event, answer));
            answers.push(made);
        }
        if outcomes {
            let mut out = std::io::stdout().lock();
            for (event, answer) in batch.iter().zip(answers.iter().flatten()) {
                let line = serde_json::json!({ "id": &*event.id, "outcome": outcome(event, Some(answer)) });
                writeln!(out, "{line}").or_kind(Kind::Io, "cannot write to stdout")?;
            }
        }
        if let [first, second] = answers.as_slice() {
            let pairs = batch.iter().zip(first).zip(second);
            for found in pairs.filter_map(|((event, a), b)| Disagreement::of(event, a, b)) {
                differences.events += 1;
                if differences.shown.len() < SHOWN {
                    differences.shown.push(found);
                }
            }
        }
    }
    Ok(differences)
}
