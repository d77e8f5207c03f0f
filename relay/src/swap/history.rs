//! What happened to generations: who asked, what each gate said, what came of it.

use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::fmt;

/// What a new generation has to pass, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gate {
    /// The bytes can be had.
    Fetch,
    /// They are those that were meant.
    Digest,
    /// They are not too many.
    Size,
    /// It is a component of the world, and imports nothing else.
    Imports,
    /// There is room to keep it.
    Keep,
    /// It compiles.
    Compile,
    /// It can be instantiated and created with the real settings.
    Trial,
    /// Its golden cases pass.
    Cases,
    /// Recent events become what they became before.
    Shadow,
    /// The pipeline's state takes note.
    Remember,
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Padded by the caller.
        f.pad(match self {
            Gate::Fetch => "fetch",
            Gate::Digest => "digest",
            Gate::Size => "size",
            Gate::Imports => "imports",
            Gate::Keep => "keep",
            Gate::Compile => "compile",
            Gate::Trial => "trial",
            Gate::Cases => "cases",
            Gate::Shadow => "shadow",
            Gate::Remember => "remember",
        })
    }
}

/// How it went at a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Passage {
    /// It is open.
    Passed,
    /// There was nothing to look at.
    Skipped,
    /// It is shut.
    Refused,
}

/// One gate's word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Which.
    pub gate: Gate,
    /// How it went.
    pub passage: Passage,
    /// In words; no payloads.
    pub detail: String,
    /// How long it took.
    pub millis: u64,
}

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// The relay started with another generation than the last one.
    Start,
    /// `relay swap`.
    Swap,
    /// A watched file changed.
    Watch,
    /// SIGHUP: the whole configuration.
    Reload,
    /// `relay rollback`.
    Rollback,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// A gate was shut; nothing changed.
    Refused,
    /// It was only to be tried; every gate is open.
    DryRun,
    /// It is what is active already.
    Unchanged,
    /// It has some of the lanes.
    Canary,
    /// It has all lanes, and is watched beside the old one.
    Probation,
    /// It has all lanes.
    Active,
    /// It was sent back.
    RolledBack,
    /// Another one came before its probation ended, or the relay stopped.
    Superseded,
}

impl Outcome {
    /// Its name, also in metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Outcome::Refused => "refused",
            Outcome::DryRun => "dry-run",
            Outcome::Unchanged => "unchanged",
            Outcome::Canary => "canary",
            Outcome::Probation => "probation",
            Outcome::Active => "active",
            Outcome::RolledBack => "rolled-back",
            Outcome::Superseded => "superseded",
        }
    }
}

/// One entry.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// When, RFC 3339.
    pub at: String,
    /// Who asked.
    pub by: String,
    /// How.
    pub way: Way,
    /// The number it has; none where it was refused.
    pub generation: Option<u64>,
    /// `name@digest` of each stage it was to have.
    pub stages: Vec<String>,
    /// What came of it.
    pub outcome: Outcome,
    /// Why, where it was refused or sent back.
    pub reason: Option<String>,
    /// What each gate said.
    pub gates: Vec<Finding>,
}

/// The newest entries, the oldest first.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct History(VecDeque<Entry>);

impl History {
    /// Adds one, and keeps `length` of them.
    pub fn add(&mut self, entry: Entry, length: usize) {
        self.0.push_back(entry);
        while self.0.len() > length {
            self.0.pop_front();
        }
    }

    /// Says what became of a generation in the end.
    pub fn conclude(&mut self, generation: u64, outcome: Outcome, reason: Option<String>) {
        if let Some(entry) = self.0.iter_mut().rev().find(|entry| entry.generation == Some(generation)) {
            entry.outcome = outcome;
            entry.reason = reason;
        }
    }

    /// The highest number that a generation ever had.
    #[must_use]
    pub fn newest(&self) -> u64 {
        self.0.iter().filter_map(|entry| entry.generation).max().unwrap_or_default()
    }

    /// Whether nothing ever happened.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Closes what a relay that ended has left open: its canaries are not active.
    pub fn close(&mut self) {
        for entry in self.0.iter_mut().filter(|entry| entry.outcome == Outcome::Canary) {
            entry.outcome = Outcome::Superseded;
            entry.reason = Some("the relay ended before it had all lanes".to_owned());
        }
    }

    /// All, the oldest first.
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.0.iter()
    }
}
