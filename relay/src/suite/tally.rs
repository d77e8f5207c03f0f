//! What became of many events, counted; and where two components disagree.

use super::expected;
use super::meaning::Difference;
use super::report::show;
use crate::event::{Event, Position};
use crate::transform::Answer;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// Reasons and codes that are counted one by one: they should be few, and a guest
/// makes them.
const LABELS: usize = 100;

/// All others together.
const OTHERS: &str = "(others)";

/// Counts of what a component did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Tally {
    /// Events that it was given.
    pub events: u64,
    /// Published as they were.
    pub passed: u64,
    /// Published as something else.
    pub emitted: u64,
    /// Messages of all that is published.
    pub messages: u64,
    /// Not published, by reason; empty where there was none.
    pub dropped: BTreeMap<String, u64>,
    /// Failed, or broken over, by code.
    pub failed: BTreeMap<String, Failures>,
    /// What it cost, in wasmtime's fuel.
    pub fuel: u64,
}

/// Failures of one code.
#[derive(Clone, Debug, Serialize)]
pub struct Failures {
    /// How many.
    pub events: u64,
    /// The first event's id.
    pub first: String,
    /// Where it is in the source.
    pub position: String,
}

impl Tally {
    /// Counts one event.
    pub fn add(&mut self, event: &Event, answer: &Answer) {
        self.events += 1;
        match answer {
            Answer::Pass => {
                self.passed += 1;
                self.messages += 1;
            }
            Answer::Emit(made) if made.is_empty() => self.drop(""),
            Answer::Emit(made) => {
                self.emitted += 1;
                self.messages += made.len() as u64;
            }
            Answer::Drop(reason) => self.drop(reason.as_deref().unwrap_or_default()),
            Answer::Fail(failure) => self.failure(event, &failure.code),
            Answer::Fault(fault) => self.failure(event, fault.code),
        }
    }

    fn drop(&mut self, reason: &str) {
        let known = self.dropped.contains_key(reason) || self.dropped.len() < LABELS;
        let label = if known { reason } else { OTHERS };
        *self.dropped.entry(label.to_owned()).or_default() += 1;
    }

    fn failure(&mut self, event: &Event, code: &str) {
        let known = self.failed.contains_key(code) || self.failed.len() < LABELS;
        let code = if known { code } else { OTHERS };
        let first = || Failures { events: 0, first: event.id.to_string(), position: event.position.to_string() };
        self.failed.entry(code.to_owned()).or_insert_with(first).events += 1;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:>9} events, {} messages, {} fuel an event", self.events, self.messages, self.fuel / self.events.max(1))?;
        writeln!(f, "{:>9} passed", self.passed)?;
        writeln!(f, "{:>9} emitted", self.emitted)?;
        for (reason, events) in &self.dropped {
            writeln!(f, "{events:>9} dropped{}{reason}", if reason.is_empty() { "" } else { ": " })?;
        }
        for (code, Failures { events, first, position }) in &self.failed {
            writeln!(f, "{events:>9} failed: {code} (the first: {first} at {position})")?;
        }
        Ok(())
    }
}

/// One event of which two components make something else.
#[derive(Clone, Debug)]
pub struct Disagreement {
    event: String,
    position: Position,
    differences: Vec<Difference>,
}

impl Disagreement {
    /// Where the answers differ, if they do.
    #[must_use]
    pub fn of(event: &Event, first: &Answer, second: &Answer) -> Option<Self> {
        let mut differences = Vec::new();
        expected::between(first, second, &mut differences);
        let differences = differences.into_iter().flat_map(Difference::by_field).collect::<Vec<_>>();
        if differences.is_empty() {
            return None;
        }
        Some(Self { event: event.id.to_string(), position: event.position, differences })
    }

    /// For machines.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        let one = |d: &Difference| serde_json::json!({ "field": d.field, "first": d.expected, "second": d.got });
        let differences: Vec<_> = self.differences.iter().map(one).collect();
        serde_json::json!({ "id": self.event, "position": self.position.to_string(), "differences": differences })
    }
}

/// For a terminal, colours included.
impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(f, &format!("event {} at {}", self.event, self.position), ("first", "second"), &self.differences)
    }
}
