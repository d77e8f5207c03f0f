//! `relay dead-letters`.

use super::swap::Port;
use crate::config::Config;
use crate::dead_letters::{Filter, Letter, State, Store, Wish};
use crate::error::{Context as _, Error, Kind, Result};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::value::RawValue;
use std::path::{Path, PathBuf};

/// Arguments of `relay dead-letters`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  relay dead-letters list -c relay.toml
  relay dead-letters show 0192…@17/0 -c relay.toml
  relay dead-letters redrive --key customer-7 -c relay.toml
  relay dead-letters discard --code poison --transform redact -c relay.toml

list and show read the letters where they lie, also if no relay runs. redrive and discard ask the
relay that runs with this configuration, at its admin port.

Exit codes: 0 done, 7 a letter failed again, 13 the admin port cannot be asked.")]
pub struct DeadLetters {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print a line for each letter.
    List(List),
    /// Print letters whole, their events included, as JSON Lines.
    Show(Show),
    /// Have letters run through the transforms once more, in order, each key's all.
    Redrive(Ask),
    /// Have letters forgotten; their events are lost.
    Discard(Ask),
}

/// Which letters.
#[derive(Clone, Debug, Args)]
struct Which {
    /// Names of letters, or ids of their events.
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    /// Of this key; of this entity, where there is no key.
    #[arg(long)]
    key: Option<String>,
    /// Of this kind of error, such as poison, trap, contract, message-refused.
    #[arg(long)]
    code: Option<String>,
    /// Failed in this transform.
    #[arg(long)]
    transform: Option<String>,
    /// Only those that failed, or only those held back behind them.
    #[arg(long, value_enum)]
    state: Option<Only>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Only {
    Dead,
    Parked,
}

impl Which {
    fn filter(self) -> Filter {
        let state = self.state.map(|only| match only {
            Only::Dead => State::Dead,
            Only::Parked => State::Parked,
        });
        Filter { ids: self.ids, key: self.key, code: self.code, transform: self.transform, state }
    }
}

#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    which: Which,
    /// Configuration file of the pipeline.
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
    /// One JSON object a line, without the events.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Show {
    #[command(flatten)]
    which: Which,
    /// Configuration file of the pipeline.
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
}

#[derive(Debug, Args)]
struct Ask {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    port: Port,
    /// All of them.
    #[arg(long)]
    all: bool,
    /// The answer as one JSON object on stdout.
    #[arg(long)]
    json: bool,
}

impl DeadLetters {
    /// Lists, shows, or asks the relay.
    ///
    /// # Errors
    /// `Config` without dead letters, those of reading them, `Admin`; `Poison` if a
    /// letter failed again.
    pub async fn execute(self) -> Result<()> {
        match self.command {
            Command::List(list) => list.execute().await,
            Command::Show(show) => show.execute().await,
            Command::Redrive(ask) => ask.execute(Wish::Redrive).await,
            Command::Discard(ask) => ask.execute(Wish::Discard).await,
        }
    }
}

/// The letters that a filter means, in order.
async fn find(config: &Path, filter: Filter) -> Result<Vec<Letter>> {
    let at = |e: Error| e.at("file", config.display());
    let store = Store::open(&Config::load(config)?)?;
    let none = || at(Error::new(Kind::Config, "this pipeline has no dead letters").remedy("add [dead_letters] to its configuration"));
    let wanted = move |letter: Letter| Ok(filter.wants(&letter.entry()?).then_some(letter));
    let mut letters: Vec<_> = store.ok_or_else(none)?.read(false, |_| true, wanted).await?.into_iter().flatten().collect();
    letters.sort_by_key(|letter| letter.order);
    Ok(letters)
}

impl List {
    async fn execute(self) -> Result<()> {
        let letters = find(&self.config, self.which.filter()).await?;
        if self.json {
            for letter in letters {
                // Without the event, which is shown when it is asked for.
                let nothing = RawValue::from_string("null".to_owned()).unwrap_or_default();
                anstream::println!("{}", text(&Letter { event: nothing, ..letter })?);
            }
            return Ok(());
        }
        for letter in &letters {
            let entry = letter.entry()?;
            let message =
                letter.error.as_ref().map_or("behind one that failed", |error| error.message.split(';').next().unwrap_or_default());
            let state = if letter.state == State::Dead { "dead" } else { "parked" };
            anstream::println!("{}  key={} {state} attempts={} {}  {message}", letter.id, entry.key.text(), letter.attempts, letter.last);
        }
        anstream::eprintln!("{} letters", letters.len());
        Ok(())
    }
}

impl Show {
    async fn execute(self) -> Result<()> {
        let filter = self.which.filter();
        if filter == Filter::default() {
            return Err(unnamed());
        }
        let letters = find(&self.config, filter).await?;
        for letter in &letters {
            anstream::println!("{}", text(letter)?);
        }
        if letters.is_empty() {
            return Err(Error::new(Kind::Config, "there is no such letter").remedy("`relay dead-letters list` has them all"));
        }
        Ok(())
    }
}

/// The event as it is, to the last digit.
fn text(letter: &Letter) -> Result<String> {
    serde_json::to_string(letter).or_kind(Kind::Internal, "cannot write a letter as JSON")
}

fn unnamed() -> Error {
    Error::new(Kind::Config, "which letters?").remedy("name them by id, --key, --code, --transform or --state")
}

impl Ask {
    async fn execute(self, wish: Wish) -> Result<()> {
        let filter = self.which.filter();
        if (filter == Filter::default()) != self.all {
            return Err(unnamed().remedy("or say --all, and nothing else"));
        }
        let answer = self.port.client()?.dead_letters(wish, &filter).await?;
        if self.json {
            anstream::println!("{}", serde_json::json!(answer));
        } else {
            let (redriven, failed, discarded, left) = (answer.redriven, answer.failed, answer.discarded, answer.left);
            match wish {
                Wish::Redrive => anstream::println!("{redriven} redriven, {failed} failed again or wait behind one that did, {left} left"),
                Wish::Discard => anstream::println!("{discarded} discarded, {left} left"),
            }
        }
        if answer.failed > 0 {
            return Err(Error::new(Kind::Poison, format!("{} letters are still not published", answer.failed))
                .remedy("`relay dead-letters list` says why; correct the transform, swap it in, and redrive once more"));
        }
        Ok(())
    }
}
