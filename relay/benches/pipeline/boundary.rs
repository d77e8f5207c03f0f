//! What an event costs at the Wasm boundary: one lane, one thread, batches of
//! 64, everything in cache, no database and no broker.

use crate::events::event;
use crate::native;
use crate::relayed::transform;
use crate::services::component;
use anyhow::{Result, ensure};
use relay::config::{Flow, Transform};
use relay::event::Event;
use relay::transform::{Chain, LaneChain, StageSpec};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Events of one call.
const BATCH: u64 = 64;

/// Batches between two looks at the clock; their results are dropped outside
/// of the measured time.
const BATCHES: usize = 32;

/// Samples of each kind; the median counts.
const SAMPLES: usize = 41;

/// One line of the table.
pub struct Line {
    /// What is measured.
    pub name: String,
    /// Median nanoseconds an event.
    pub nanos: f64,
}

/// A lane of its own with one transform.
pub fn lane(transform: &Transform) -> Result<LaneChain> {
    let spec = StageSpec::new(transform, &["*".to_owned()], relay::config::OnFailure::Halt);
    let flow = Flow { batch_events: BATCH as usize, ..Flow::default() };
    Ok(LaneChain::new(Chain::load(&[spec], &flow)?))
}

fn batch(payload: usize, event_type: &str, headers: usize) -> Vec<Event> {
    (0..BATCH).map(|n| event(n, payload, event_type, headers)).collect()
}

/// Median time of `run` an event; `run` takes a batch and gives its result.
fn measure<T>(events: &[Event], mut run: impl FnMut(Vec<Event>) -> T) -> f64 {
    let mut times: Vec<Duration> = Vec::with_capacity(SAMPLES);
    // A quarter more, to warm up.
    for _ in 0..SAMPLES + SAMPLES / 4 {
        let batches: Vec<Vec<Event>> = (0..BATCHES).map(|_| events.to_vec()).collect();
        let mut results = Vec::with_capacity(BATCHES);
        let started = Instant::now();
        for batch in batches {
            results.push(run(batch));
        }
        times.push(started.elapsed());
        black_box(results);
    }
    let mut times = times.split_off(SAMPLES / 4);
    times.sort_unstable();
    times[SAMPLES / 2].as_secs_f64() * 1e9 / (BATCHES as f64 * events.len() as f64)
}

fn wasm(transform: &Transform, events: &[Event]) -> Result<f64> {
    let mut lane = lane(transform)?;
    let produced = lane.run(events);
    ensure!(produced.failure.is_none(), "{:?}", produced.failure);
    Ok(measure(events, |events| (lane.run(&events), events)))
}

/// All kinds, with the guest of a few lines and 250 B.
pub fn kinds() -> Result<Vec<Line>> {
    let minimal = Transform {
        name: "minimal".into(),
        path: component("guests/minimal-rust.wasm")?,
        settings: serde_json::Map::new(),
        ..transform()?
    };
    let mut lines = Vec::new();
    for kind in ["pass", "drop", "emit2", "edit"] {
        for headers in [0, 2] {
            let name = format!("{kind}, {}", if headers == 0 { "no headers" } else { "two headers" });
            lines.push(Line { name, nanos: wasm(&minimal, &batch(250, kind, headers))? });
        }
    }
    Ok(lines)
}

/// `redact` by its component and by its native code, for payloads of some size.
pub fn redact(payload: usize) -> Result<[Line; 2]> {
    let events = batch(payload, "OrderPlaced", 0);
    let redact = native::create()?;
    let apply = |event: Event| {
        let made = native::apply(&redact, &event).ok().flatten();
        made.unwrap_or(event)
    };
    let wasm = wasm(&transform()?, &events)?;
    let native = measure(&events, |events| events.into_iter().map(apply).collect::<Vec<_>>());
    let line = |how: &str, nanos| Line { name: format!("redact of {payload} B, {how}"), nanos };
    Ok([line("Wasm", wasm), line("native", native)])
}
