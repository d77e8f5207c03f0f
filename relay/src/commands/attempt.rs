//! `relay try`.

use super::component::{Component, Setup, locate};
use crate::error::{Context as _, Kind, Result};
use crate::event::{Event, read_line_of, write_line};
use crate::suite::{on_lane_stack, outcome};
use crate::transform::{Answer, Engine, Workbench};
use clap::Args;
use std::io::{BufRead, Write};
use std::path::PathBuf;

/// Entity of an event that names none.
const ENTITY: &str = "event";

/// Arguments of `relay try`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  echo '{\"payload\":{\"email\":\"a@b.c\"}}' | relay try mask.wasm
  relay try mask.wasm events.jsonl --settings '{\"mask\":\"phone\"}' --messages")]
pub struct Try {
    /// The component, the directory it is in, or oci://…@sha256:….
    #[arg(value_name = "DIR|WASM")]
    component: PathBuf,
    /// Events as JSON Lines; - is stdin.
    #[arg(default_value = "-")]
    events: PathBuf,
    #[command(flatten)]
    setup: Setup,
    /// Print the messages that would be published, instead of an outcome for each event.
    #[arg(long)]
    messages: bool,
}

impl Try {
    /// Passes events through and prints what becomes of them.
    ///
    /// # Errors
    /// For a component or an event that cannot be used; a failure of an event is
    /// an outcome like any other.
    pub async fn execute(self) -> Result<()> {
        let component = locate(&self.component).await?;
        tokio::task::block_in_place(|| on_lane_stack(|| self.run(&component)))?
    }

    fn run(&self, component: &Component) -> Result<()> {
        let spec = self.setup.stage(component)?;
        let engine = Engine::metered(std::slice::from_ref(&spec.limits))?;
        let module = engine.load(&component.path)?;
        let mut bench = Workbench::new(&engine, &module, &spec);
        bench.renew()?;
        let failed = |e: crate::error::Error| e.at("file", self.events.display());
        let input: Box<dyn BufRead> = if self.events.as_os_str() == "-" {
            Box::new(std::io::stdin().lock())
        } else {
            let file = std::fs::File::open(&self.events).or_kind(Kind::Io, "cannot read the events").map_err(failed)?;
            Box::new(std::io::BufReader::new(file))
        };
        let mut out = std::io::stdout().lock();
        for (at, line) in (1..).zip(input.lines()) {
            let line = line.or_kind(Kind::Io, "cannot read the events").map_err(failed)?;
            if line.trim().is_empty() {
                continue;
            }
            let event = read_line_of(&line, at, Some(ENTITY)).map_err(failed)?;
            for answer in bench.process(&[&event])? {
                let written =
                    if self.messages { print_messages(&event, &answer, &mut out) } else { print(&event, &answer, bench.fuel(), &mut out) };
                written.or_kind(Kind::Io, "cannot write to stdout")?;
            }
        }
        Ok(())
    }
}

fn print(event: &Event, answer: &Answer, fuel: u64, out: &mut impl Write) -> std::io::Result<()> {
    if let Answer::Fault(fault) = answer {
        tracing::warn!(id = &*event.id, "{fault}{}", fault.stack.as_ref().map(|stack| format!("\n{stack}")).unwrap_or_default());
    }
    writeln!(out, "{}", serde_json::json!({ "id": &*event.id, "outcome": outcome(event, Some(answer)), "fuel": fuel }))
}

fn print_messages(event: &Event, answer: &Answer, out: &mut impl Write) -> std::io::Result<()> {
    match answer {
        Answer::Pass => write_line(event, out),
        Answer::Emit(made) => made.iter().try_for_each(|message| write_line(message, out)),
        Answer::Drop(_) => Ok(()),
        Answer::Fail(failure) => {
            tracing::warn!(id = &*event.id, code = failure.code, "the transform failed the event: {}", failure.detail);
            Ok(())
        }
        Answer::Fault(fault) => {
            tracing::warn!(id = &*event.id, "{fault}");
            Ok(())
        }
    }
}
