//! A new chain beside the old one on recent events, and nothing published.

use crate::config::{Shadow as Policy, Swap};
use crate::event::Event;
use crate::generation::{Generation, Totals, verdict};
use crate::suite::compare;
use crate::transform::{Chain, LaneChain};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Characters of such a name.
const NAME: usize = 64;

/// Differing fields that are named.
const NAMED: usize = 5;

/// What the shadow may let pass.
#[derive(Clone, Copy, Debug, Default)]
pub struct Demand {
    /// Other topics, keys and numbers of messages are meant.
    pub accept_changes: bool,
    /// Not even payloads may differ.
    pub expect_same: bool,
}

/// What an event became; `Err` is the code of its failure.
type Became = Result<Vec<Event>, String>;

/// What was found; counts are of events.
#[derive(Debug, Default)]
struct Found {
    compared: u64,
    /// The old chain makes something else of them each time.
    unstable: u64,
    /// They fail in the old chain already.
    failing: u64,
    failures: u64,
    failure: Option<String>,
    counts: u64,
    topics: u64,
    keys: u64,
    contents: u64,
    fields: Vec<String>,
}

/// Compares on these batches. The text says what was found, `Err` that it is not
/// good enough.
pub fn shadow(old: &Arc<Chain>, new: &Arc<Chain>, batches: &[Vec<Event>], config: &Swap, demand: Demand) -> Result<String, String> {
    // What the guests log was logged when the events were real.
    let quiet = tracing::subscriber::NoSubscriber::new();
    let (first, again, made, before, after, fault) = tracing::subscriber::with_default(quiet, || {
        let (first, before, _) = pass(old, batches, config.shadow_time);
        let (again, _, _) = pass(old, batches, config.shadow_time);
        let (made, after, fault) = pass(new, batches, config.shadow_time);
        (first, again, made, before, after, fault)
    });
    let mut found = Found::default();
    let events = batches.iter().flatten();
    for ((event, (first, again)), made) in events.zip(first.iter().zip(&again)).zip(&made) {
        found.add(event, first, again, made);
    }
    found.judge(config.shadow, demand, verdict(&after, &before, &config.tolerate, fault))
}

/// What becomes of the events, batch by batch on one lane's instances.
fn pass(chain: &Arc<Chain>, batches: &[Vec<Event>], patience: Duration) -> (Vec<Became>, Totals, Option<&'static str>) {
    let generation = Generation::new(0, Arc::clone(chain));
    let mut lane = LaneChain::new(Arc::clone(chain));
    let (mut became, mut fault, begun) = (Vec::new(), None, Instant::now());
    for batch in batches {
        let mut from = 0;
        while from < batch.len() {
            if begun.elapsed() > patience {
                return (became, generation.meter.totals(), fault);
            }
            let (rest, started) = (&batch[from..], Instant::now());
            let produced = lane.run(rest);
            generation.meter.add(rest.len(), &produced, started.elapsed());
            fault = produced.strain.fault.or(fault);
            let end = produced.failure.as_ref().map_or(rest.len(), |(index, _)| *index);
            let mut messages = produced.messages.into_iter().peekable();
            for index in 0..end {
                let mut own = Vec::new();
                while let Some((_, message)) = messages.next_if(|(origin, _)| *origin == index) {
                    own.push(message);
                }
                became.push(Ok(own));
            }
            if let Some((_, error)) = &produced.failure {
                became.push(Err(error.line()));
            }
            from += end + usize::from(produced.failure.is_some());
        }
    }
    (became, generation.meter.totals(), fault)
}

impl Found {
    fn add(&mut self, event: &Event, first: &Became, again: &Became, made: &Became) {
        self.compared += 1;
        let (Ok(old), Ok(repeated)) = (first, again) else {
            self.failing += 1;
            return;
        };
        if old != repeated {
            self.unstable += 1;
            return;
        }
        let new = match made {
            Ok(new) => new,
            Err(failure) => {
                self.failures += 1;
                self.failure.get_or_insert_with(|| failure.clone());
                return;
            }
        };
        if old == new {
            return;
        }
        let differ = |what: fn(&Event, &Event) -> bool| old.iter().zip(new).any(|(a, b)| what(a, b));
        let topics = differ(|a, b| (&a.topic, a.partition) != (&b.topic, b.partition));
        let keys = differ(|a, b| a.key != b.key);
        self.counts += u64::from(old.len() != new.len());
        self.topics += u64::from(topics);
        self.keys += u64::from(keys);
        let contents: Vec<String> = old.iter().zip(new).flat_map(|(a, b)| contents(a, b)).collect();
        self.contents += u64::from(!contents.is_empty());
        for field in contents {
            if self.fields.len() < NAMED && !self.fields.contains(&field) {
                self.fields.push(field);
            }
        }
        if self.fields.is_empty() && self.failure.is_none() {
            self.failure = Some(format!("event {} at {}", event.id, event.position));
        }
    }

    fn judge(self, policy: Policy, demand: Demand, verdict: Option<String>) -> Result<String, String> {
        if self.compared == 0 {
            return Ok("no events yet to try it on".to_owned());
        }
        let mut text = format!("{} events", self.compared);
        let mut say = |n: u64, what: &str| {
            if n > 0 {
                text.push_str(&format!("; {n} {what}"));
            }
        };
        say(self.failures, "fail that the old generation can do");
        say(self.counts, "become another number of messages");
        say(self.topics, "go to another topic or partition");
        say(self.keys, "get another key");
        say(self.contents, "get other contents");
        say(self.failing, "left out, for they fail already");
        say(self.unstable, "left out, for the old generation is not deterministic about them");
        if !self.fields.is_empty() {
            text.push_str(&format!("; differing: {}", self.fields.join(", ")));
        }
        if let Some(first) = &self.failure {
            text.push_str(&format!("; the first: {first}"));
        }
        if self.failures == 0
            && let Some(reason) = verdict
        {
            return Err(format!("{reason}; {text}"));
        }
        let changed = self.counts + self.topics + self.keys > 0;
        let gated = changed && policy == Policy::Gate && !demand.accept_changes;
        let refused = self.failures > 0 || gated || (demand.expect_same && (changed || self.contents > 0));
        if refused { Err(text) } else { Ok(text) }
    }
}

/// Names of what differs between two messages beside topic and key. No values.
fn contents(a: &Event, b: &Event) -> Vec<String> {
    let mut out = Vec::new();
    let text = |bytes: &Option<bytes::Bytes>| bytes.as_ref().and_then(|b| std::str::from_utf8(b).ok().map(str::to_owned));
    if a.payload != b.payload {
        match (text(&a.payload), text(&b.payload)) {
            (Some(a), Some(b)) => {
                let mut differences = Vec::new();
                compare("payload", &a, &b, &mut differences);
                // Deeper, and in long names, data may be found: keys by a person's name.
                let member = |field: &str| field.split(['.', '[']).take(2).collect::<Vec<_>>().join(".").chars().take(NAME).collect();
                out.extend(differences.iter().map(|d| member(&d.field)));
            }
            _ => out.push("payload".to_owned()),
        }
    }
    for (differs, name) in [(a.id != b.id, "id"), (a.event_type != b.event_type, "event_type"), (a.headers != b.headers, "headers")] {
        if differs {
            out.push(name.to_owned());
        }
    }
    out
}
