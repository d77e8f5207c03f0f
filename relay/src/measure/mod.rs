//! What a component costs, on the production engine under the production limits:
//! one thread, everything in cache, no database and no broker.

mod null;
mod report;
mod sample;

pub use report::{lines, table};
pub use sample::orders;

use crate::config::Limits;
use crate::error::{Error, Kind, Result};
use crate::event::Event;
use crate::suite::Tally;
use crate::transform::{Answer, Engine, Module, StageSpec, Workbench};
use serde::Serialize;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Events of a call where several go together.
const BATCH: usize = 64;

/// And their bytes: as in a lane, by the default of `flow.batch_bytes`.
const BATCH_BYTES: usize = 1 << 20;

/// Instances made to see what one costs, if they are quick.
const INSTANCES: u32 = 50;

/// And if they are not, for so long.
const INSTANTIATING: Duration = Duration::from_secs(1);

/// Part of the time that is spent on warming up.
const WARM_UP: u32 = 10;

/// Samples kept of each kind: more say no more, and take memory.
const SAMPLES: usize = 1_000_000;

/// The distribution of a cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Spread {
    /// Half of all are not above it.
    pub p50: f64,
    /// Nine of ten.
    pub p90: f64,
    /// Ninety-nine of a hundred.
    pub p99: f64,
    /// All.
    pub max: f64,
}

impl Spread {
    fn of(mut samples: Vec<f64>) -> Self {
        samples.sort_unstable_by(f64::total_cmp);
        // The nearest rank.
        let at = |percent: usize| {
            let rank = (samples.len() * percent).div_ceil(100).max(1);
            samples.get(rank - 1).copied().unwrap_or_default()
        };
        Self { p50: at(50), p90: at(90), p99: at(99), max: at(100) }
    }
}

/// What one component costs. Times are in nanoseconds.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Cost {
    /// Its file.
    pub component: PathBuf,
    /// The digest's first digits.
    pub digest: String,
    /// Bytes of the file.
    pub bytes: u64,
    /// To read and compile it, without the cache.
    pub compile: f64,
    /// To instantiate it and `create` the transform.
    pub instantiate: Spread,
    /// An event where 64 go in one call, or fewer of a megabyte together: the
    /// spread is that of calls, each divided by its events.
    pub together: Spread,
    /// An event alone in its call.
    pub alone: Spread,
    /// An event's instructions, in wasmtime's fuel: the same on every machine.
    /// Without events over which the component breaks.
    pub fuel: Spread,
    /// Events of one core in a second.
    pub events_per_second: f64,
    /// Bytes of payload of one core in a second.
    pub bytes_per_second: f64,
    /// The most linear memory of an instance, in bytes.
    pub memory: usize,
    /// Of `together.p50`, what the null transform costs, which takes the same in and
    /// gives nothing out: the way in.
    pub boundary: f64,
    /// What became of the events.
    pub outcomes: Tally,
}

/// Events as calls have them.
struct Load<'a> {
    events: &'a [Event],
    batches: Vec<Vec<&'a Event>>,
}

impl<'a> Load<'a> {
    /// Full batches; of few events each comes several times.
    fn new(events: &'a [Event]) -> Self {
        let mut batches = Vec::new();
        let (mut batch, mut bytes): (Vec<&Event>, usize) = (Vec::new(), 0);
        let rounds = BATCH.div_ceil(events.len().max(1));
        for event in std::iter::repeat_n(events, rounds).flatten() {
            if !batch.is_empty() && (batch.len() == BATCH || bytes + event.size() > BATCH_BYTES) {
                batches.push(std::mem::take(&mut batch));
                bytes = 0;
            }
            bytes += event.size();
            batch.push(event);
        }
        // What is left is no full batch, unless it is all there is.
        if batches.is_empty() || batch.len() == BATCH {
            batches.push(batch);
        }
        Self { events, batches }
    }
}

/// One component at work.
struct Subject {
    bench: Workbench,
    together: Vec<f64>,
    alone: Vec<f64>,
    /// Of the calls with many events.
    spent: Duration,
    measured: u64,
    /// Of all calls.
    worked: Duration,
    memory: usize,
    turns: usize,
}

impl Subject {
    fn new(engine: &Engine, module: &Module, spec: &StageSpec) -> Self {
        Self {
            bench: Workbench::new(engine, module, spec),
            together: Vec::new(),
            alone: Vec::new(),
            spent: Duration::ZERO,
            measured: 0,
            worked: Duration::ZERO,
            memory: 0,
            turns: 0,
        }
    }

    fn instantiate(&mut self) -> Result<Spread> {
        let (began, mut samples) = (Instant::now(), Vec::new());
        for _ in 0..INSTANCES {
            self.bench.discard();
            let started = Instant::now();
            self.bench.renew()?;
            samples.push(nanos(started.elapsed()));
            if began.elapsed() > INSTANTIATING {
                break;
            }
        }
        Ok(Spread::of(samples))
    }

    /// A call with many events, and one with one.
    fn turn(&mut self, load: &Load<'_>) -> Result<()> {
        let batch = &load.batches[self.turns % load.batches.len()];
        let took = self.call(batch)?;
        self.spent += took;
        self.measured += batch.len() as u64;
        if self.together.len() < SAMPLES {
            self.together.push(nanos(took) / batch.len() as f64);
        }
        let event = &load.events[self.turns % load.events.len()];
        let took = self.call(&[event])?;
        if self.alone.len() < SAMPLES {
            self.alone.push(nanos(took));
        }
        self.turns += 1;
        Ok(())
    }

    /// The answers are dropped outside of the measured time.
    fn call(&mut self, events: &[&Event]) -> Result<Duration> {
        let started = Instant::now();
        let answers = self.bench.process(events)?;
        let took = started.elapsed();
        drop(answers);
        self.worked += took;
        self.memory = self.memory.max(self.bench.memory());
        Ok(took)
    }

    fn forget(&mut self) {
        self.together.clear();
        self.alone.clear();
        (self.spent, self.measured, self.worked) = (Duration::ZERO, 0, Duration::ZERO);
    }
}

fn nanos(time: Duration) -> f64 {
    time.as_secs_f64() * 1e9
}

/// Measures components beside each other, each for about `time`, in turn, so that
/// a slow moment hits all alike. To be called on [`crate::suite::on_lane_stack`].
///
/// # Errors
/// When a component cannot be used, or there are no events.
pub fn measure(specs: &[StageSpec], events: &[Event], time: Duration) -> Result<Vec<Cost>> {
    if events.is_empty() {
        return Err(Error::new(Kind::Config, "no events to measure with").remedy("give a file that has some, or leave --events out"));
    }
    let load = Load::new(events);
    let limits: Vec<Limits> = specs.iter().map(|spec| spec.limits.clone()).collect();
    let engine = Engine::uncached(&limits)?;
    let null = engine.compile(&null::component()?)?;
    let mut costs = Vec::new();
    let mut subjects = Vec::new();
    for spec in specs {
        let started = Instant::now();
        let module = engine.load(&spec.path)?;
        let compile = nanos(started.elapsed());
        let mut subject = Subject::new(&engine, &module, spec);
        let instantiate = subject.instantiate()?;
        // Beside it a null transform that takes in what this one does.
        let settings = null::settings(subject.bench.unused());
        let mut beside = Subject::new(&engine, &null, &StageSpec { settings, ..spec.clone() });
        beside.bench.renew()?;
        subjects.extend([subject, beside]);
        let (fuel, outcomes) = count(spec, events)?;
        costs.push(Cost {
            component: spec.path.clone(),
            digest: module.short_digest().to_owned(),
            bytes: module.size(),
            compile,
            instantiate,
            fuel,
            outcomes,
            ..Cost::default()
        });
    }
    take_turns(&mut subjects, &load, time / WARM_UP)?;
    subjects.iter_mut().for_each(Subject::forget);
    take_turns(&mut subjects, &load, time)?;
    let bytes: usize = events.iter().map(|event| event.payload.as_ref().map_or(0, bytes::Bytes::len)).sum();
    let mut subjects = subjects.into_iter();
    for cost in &mut costs {
        let (Some(subject), Some(beside)) = (subjects.next(), subjects.next()) else { break };
        cost.boundary = Spread::of(beside.together).p50;
        cost.events_per_second = subject.measured as f64 / subject.spent.as_secs_f64();
        cost.bytes_per_second = cost.events_per_second * bytes as f64 / events.len() as f64;
        cost.memory = subject.memory;
        cost.together = Spread::of(subject.together);
        cost.alone = Spread::of(subject.alone);
    }
    Ok(costs)
}

/// Whoever has worked least goes next, until all have worked for so long, and once
/// at least.
fn take_turns(subjects: &mut [Subject], load: &Load<'_>, time: Duration) -> Result<()> {
    while let Some(next) = subjects.iter_mut().min_by_key(|subject| subject.worked)
        && (next.worked < time || next.measured == 0)
    {
        next.turn(load)?;
    }
    Ok(())
}

/// Instructions of each event alone, and what becomes of it. On an engine of its
/// own: counting makes code slower.
fn count(spec: &StageSpec, events: &[Event]) -> Result<(Spread, Tally)> {
    let engine = Engine::metered(std::slice::from_ref(&spec.limits))?;
    let module = engine.load(&spec.path)?;
    let mut bench = Workbench::new(&engine, &module, spec);
    bench.renew()?;
    let (mut samples, mut tally) = (Vec::new(), Tally::default());
    for event in events {
        let answers = bench.process(&[event])?;
        tally.fuel += bench.fuel();
        if !answers.iter().any(|answer| matches!(answer, Answer::Fault(_))) {
            samples.push(bench.fuel() as f64);
        }
        answers.iter().for_each(|answer| tally.add(event, answer));
    }
    Ok((Spread::of(samples), tally))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let hundred = Spread::of((1..=100).rev().map(f64::from).collect());
        assert_eq!(hundred, Spread { p50: 50.0, p90: 90.0, p99: 99.0, max: 100.0 });
        assert_eq!(Spread::of(vec![7.0]), Spread { p50: 7.0, p90: 7.0, p99: 7.0, max: 7.0 });
        assert_eq!(Spread::of(Vec::new()), Spread::default());
    }

    #[test]
    fn batches_are_full_and_bounded_in_bytes() {
        let few = orders(500);
        let sizes = |events: &[Event]| Load::new(events).batches.iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes(&few[..3]), [64]);
        assert_eq!(sizes(&few), [64; 4]);
        assert_eq!(sizes(&few[..100]), [64]);
        assert!(sizes(&orders(100_000)).iter().all(|size| *size == 10));
        assert!(sizes(&orders(1_000_000)).iter().all(|size| *size == 1));
    }

    #[test]
    fn the_null_transform_passes_everything() {
        let passed = crate::suite::on_lane_stack(|| {
            let engine = Engine::uncached(&[Limits::default()])?;
            let module = engine.compile(&null::component()?)?;
            let spec = StageSpec {
                name: "null".into(),
                path: PathBuf::new(),
                settings: null::settings(crate::transform::Unused { headers: true, ..Default::default() }),
                limits: Limits::default(),
                when: crate::config::When::default(),
                topics: Vec::new(),
                on_poison: crate::config::OnFailure::Halt,
            };
            let mut bench = Workbench::new(&engine, &module, &spec);
            // More than its first page, twice.
            let events = orders(10_000);
            let events: Vec<&Event> = events.iter().collect();
            bench.process(&events)?;
            assert!(bench.unused().headers && !bench.unused().payload);
            bench.process(&events)
        });
        let answers = passed.expect("runs").expect("passes");
        assert!(answers.len() == 256 && answers.iter().all(|answer| *answer == Answer::Pass));
    }
}
