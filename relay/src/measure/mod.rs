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
use crate::transform::{Engine, Module, StageSpec, Workbench};
use serde::Serialize;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Events of a call where several go together: what a busy lane has.
const BATCH: usize = 64;

/// Instances made to see what one costs, if they are quick.
const INSTANCES: u32 = 50;

/// And if they are not, for so long.
const INSTANTIATING: Duration = Duration::from_secs(1);

/// Part of the time that is spent on warming up.
const WARM_UP: u32 = 10;

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
#[derive(Clone, Debug, Serialize)]
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
    /// An event, when 64 go in one call.
    pub together: Spread,
    /// An event alone in its call.
    pub alone: Spread,
    /// An event's instructions, in wasmtime's fuel: the same on every machine.
    pub fuel: Spread,
    /// Events of one core in a second.
    pub events_per_second: f64,
    /// Bytes of payload of one core in a second.
    pub bytes_per_second: f64,
    /// Linear memory of the instance after all, in bytes; it never shrinks.
    pub memory: usize,
    /// Of `together.p50`, what the null transform costs for the same events.
    pub boundary: f64,
    /// What became of the events.
    pub outcomes: Tally,
}

/// One component at work.
struct Subject<'a> {
    bench: Workbench,
    events: &'a [Event],
    together: Vec<f64>,
    alone: Vec<f64>,
    spent: Duration,
    passed: u64,
}

impl<'a> Subject<'a> {
    fn new(engine: &Engine, module: &Module, spec: &StageSpec, events: &'a [Event]) -> Self {
        let bench = Workbench::new(engine, module, spec);
        Self { bench, events, together: Vec::new(), alone: Vec::new(), spent: Duration::ZERO, passed: 0 }
    }

    fn instantiate(&mut self) -> Result<Spread> {
        let (began, mut samples) = (Instant::now(), Vec::new());
        for _ in 0..INSTANCES {
            let started = Instant::now();
            self.bench.renew()?;
            samples.push(nanos(started.elapsed()));
            if began.elapsed() > INSTANTIATING {
                break;
            }
        }
        Ok(Spread::of(samples))
    }

    /// All events once, `size` in a call; the answers are dropped outside of the
    /// measured time.
    fn round(&mut self, size: usize) -> Result<()> {
        for batch in self.events.chunks(size) {
            let batch: Vec<&Event> = batch.iter().collect();
            let started = Instant::now();
            let answers = self.bench.process(&batch)?;
            let took = started.elapsed();
            drop(answers);
            let each = nanos(took) / batch.len() as f64;
            if size == 1 {
                self.alone.push(each);
            } else {
                self.together.push(each);
                self.spent += took;
                self.passed += batch.len() as u64;
            }
        }
        Ok(())
    }

    fn forget(&mut self) {
        self.together.clear();
        self.alone.clear();
        (self.spent, self.passed) = (Duration::ZERO, 0);
    }
}

fn nanos(time: Duration) -> f64 {
    time.as_secs_f64() * 1e9
}

/// Measures components beside each other for about `time` each, in turn, so that
/// a slow moment hits all alike. To be called on [`crate::suite::on_lane_stack`].
///
/// # Errors
/// When a component cannot be used, or there are no events.
pub fn measure(specs: &[StageSpec], events: &[Event], time: Duration) -> Result<Vec<Cost>> {
    if events.is_empty() {
        return Err(Error::new(Kind::BadEvent, "no events to measure with").remedy("give a file that has some, or leave --events out"));
    }
    let limits: Vec<Limits> = specs.iter().map(|spec| spec.limits.clone()).collect();
    let engine = Engine::uncached(&limits)?;
    let mut modules = Vec::new();
    for spec in specs {
        let started = Instant::now();
        modules.push((engine.load(&spec.path)?, nanos(started.elapsed())));
    }
    let null = engine.compile(&null::component()?)?;
    let all = modules.iter().map(|(module, _)| module).chain([&null]);
    // The null transform works under the limits of the first.
    let mut subjects: Vec<_> =
        all.zip(specs.iter().chain(specs.first())).map(|(module, spec)| Subject::new(&engine, module, spec, events)).collect();
    let mut instantiated = Vec::new();
    for subject in &mut subjects {
        instantiated.push(subject.instantiate()?);
    }
    let whole = time.saturating_mul(u32::try_from(specs.len()).unwrap_or(u32::MAX));
    take_turns(&mut subjects, whole / WARM_UP)?;
    subjects.iter_mut().for_each(Subject::forget);
    take_turns(&mut subjects, whole)?;
    let boundary = subjects.pop().map(|null| Spread::of(null.together).p50).unwrap_or_default();
    let bytes: usize = events.iter().map(|event| event.payload.as_ref().map_or(0, bytes::Bytes::len)).sum();
    let mut costs = Vec::new();
    for (((spec, subject), (module, compile)), instantiate) in specs.iter().zip(subjects).zip(modules).zip(instantiated) {
        let events_per_second = subject.passed as f64 / subject.spent.as_secs_f64();
        let (fuel, outcomes) = count(spec, events)?;
        costs.push(Cost {
            component: spec.path.clone(),
            digest: module.short_digest().to_owned(),
            bytes: module.size(),
            compile,
            instantiate,
            memory: subject.bench.memory(),
            together: Spread::of(subject.together),
            alone: Spread::of(subject.alone),
            fuel,
            events_per_second,
            bytes_per_second: events_per_second * bytes as f64 / events.len() as f64,
            boundary,
            outcomes,
        });
    }
    Ok(costs)
}

fn take_turns(subjects: &mut [Subject<'_>], time: Duration) -> Result<()> {
    let began = Instant::now();
    loop {
        for subject in subjects.iter_mut() {
            subject.round(BATCH)?;
            subject.round(1)?;
        }
        if began.elapsed() >= time {
            return Ok(());
        }
    }
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
        samples.push(bench.fuel() as f64);
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
    fn the_null_transform_passes_everything() {
        let passed = crate::suite::on_lane_stack(|| {
            let engine = Engine::uncached(&[Limits::default()])?;
            let module = engine.compile(&null::component()?)?;
            let spec = StageSpec {
                name: "null".into(),
                path: PathBuf::new(),
                settings: "{}".into(),
                limits: Limits::default(),
                when: crate::config::When::default(),
                topics: Vec::new(),
            };
            let mut bench = Workbench::new(&engine, &module, &spec);
            // More than its first page, twice.
            let events = orders(10_000);
            let events: Vec<&Event> = events.iter().collect();
            bench.process(&events)?;
            bench.process(&events)
        });
        let answers = passed.expect("runs").expect("passes");
        assert!(answers.len() == 256 && answers.iter().all(|answer| *answer == crate::transform::Answer::Pass));
    }
}
