//! Time, and the CPU time of everybody who takes part: with all of them on two
//! cores, the sum of it is what bounds the rate.

use crate::services::Services;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// `/proc` counts in this many ticks a second on every Linux.
const TICKS: f64 = 100.0;

/// CPU seconds of this process, of Postgres with all its backends, and of the
/// broker; `None` for a service that was not started here.
type Cpu = [Option<f64>; 3];

/// One measured run.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// From first to last.
    pub elapsed: Duration,
    /// CPU seconds used meanwhile; see [`Cpu`].
    pub cpu: Cpu,
    /// Batches that the lanes worked on; 0 where there are no lanes.
    pub batches: u64,
}

/// A stop watch that may be started and stopped from any thread.
pub struct Meter {
    postgres: Option<u32>,
    kafka: Option<u32>,
    marks: Mutex<Vec<(Instant, Cpu)>>,
    batches: AtomicU64,
}

impl Meter {
    /// Not running yet.
    pub fn new(services: &Services) -> Self {
        Self { postgres: services.postgres, kafka: services.kafka, marks: Mutex::default(), batches: AtomicU64::new(0) }
    }

    /// Starts, or stops.
    pub fn mark(&self) {
        let cpu = [own("self"), self.postgres.and_then(family), self.kafka.and_then(|pid| own(&pid.to_string()))];
        self.marks.lock().unwrap_or_else(PoisonError::into_inner).push((Instant::now(), cpu));
    }

    /// A lane has worked on a batch.
    pub fn batch(&self) {
        self.batches.fetch_add(1, Ordering::Relaxed);
    }

    /// Between first and last mark.
    pub fn sample(&self) -> Option<Sample> {
        let marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        let [(begin, before), .., (end, after)] = marks.as_slice() else { return None };
        let cpu = std::array::from_fn(|i| Some(after[i]? - before[i]?));
        Some(Sample { elapsed: *end - *begin, cpu, batches: self.batches.load(Ordering::Relaxed) })
    }
}

/// User and system time of a process, and of its children that have ended.
fn times(pid: &str) -> Option<(f64, f64)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Behind the command, which may hold anything: utime is the 12th field.
    let fields: Vec<f64> = stat.rsplit_once(')')?.1.split_whitespace().skip(11).take(4).filter_map(|f| f.parse().ok()).collect();
    let [user, system, children_user, children_system] = fields[..] else { return None };
    Some(((user + system) / TICKS, (children_user + children_system) / TICKS))
}

fn own(pid: &str) -> Option<f64> {
    times(pid).map(|(own, _)| own)
}

/// A process with its children, alive and ended.
fn family(pid: u32) -> Option<f64> {
    let (own_time, ended) = times(&pid.to_string())?;
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    Some(own_time + ended + children.split_whitespace().filter_map(own).sum::<f64>())
}
