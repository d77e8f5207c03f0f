//! Every bound has a default with its reason here, and a field.

use crate::error::{Error, Kind, Result};
use bytesize::ByteSize;
use serde::Deserialize;
use std::time::Duration;

/// Lanes own ordering; their number is fixed for ever, because rows of a table
/// carry their lane (`docs/ARCHITECTURE.md`).
pub const LANES: usize = 64;

/// What one component may use.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Linear memory of one instance. 64 MiB holds a CPython guest (18 MB)
    /// with room, and 64 lanes of it still fit a small machine.
    pub memory: ByteSize,
    /// Percent of `memory` past which an instance is replaced between two batches,
    /// before a slow leak fails an event.
    pub memory_watermark: u8,
    /// Elements of each table. CPython needs about 10,000.
    pub table_elements: u32,
    /// Time one event may take alone. The slowest measured guest needs
    /// 0.1 ms; a thousand times that is a loop.
    #[serde(with = "humantime_serde")]
    pub event_deadline: Duration,
    /// Time one call with a whole batch may take.
    #[serde(with = "humantime_serde")]
    pub batch_deadline: Duration,
    /// Time to instantiate and `create`. CPython needs 1.3 ms once compiled.
    #[serde(with = "humantime_serde")]
    pub create_deadline: Duration,
    /// Bytes of keys, payloads and headers one event may become.
    pub output_bytes: ByteSize,
    /// Messages one event may become: the design's 1→1000 with room.
    pub messages: u32,
    /// Bytes the host copies out of the guest in one call, before it looks at
    /// them: guards the host's memory, not the event.
    pub lifted_bytes: ByteSize,
    /// Log lines a second and instance that reach the log; the rest are counted.
    pub log_rate: u32,
    /// Bytes of one log line; longer ones are cut.
    pub log_line: ByteSize,
    /// Calls after which an instance is replaced, 0 for never. Replacing costs
    /// 5–30 µs for compiled guests and bounds what a slow leak can hold.
    pub recycle_after: u64,
    /// Stack of the guest. Half of a lane thread's stack, so that a deep
    /// recursion traps in the guest.
    pub stack: ByteSize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: ByteSize::mib(64),
            memory_watermark: 75,
            table_elements: 50_000,
            event_deadline: Duration::from_millis(250),
            batch_deadline: Duration::from_secs(2),
            create_deadline: Duration::from_secs(5),
            output_bytes: ByteSize::mib(16),
            messages: 10_000,
            lifted_bytes: ByteSize::mib(64),
            log_rate: 100,
            log_line: ByteSize::kib(4),
            recycle_after: 100_000,
            stack: ByteSize::kib(512),
        }
    }
}

impl Limits {
    pub(super) fn validate(&self) -> Result<()> {
        let least = [
            ("limits.memory", self.memory.as_u64(), 64 << 10),
            ("limits.table_elements", u64::from(self.table_elements), 1),
            ("limits.output_bytes", self.output_bytes.as_u64(), 1),
            ("limits.messages", u64::from(self.messages), 1),
            ("limits.lifted_bytes", self.lifted_bytes.as_u64(), 64 << 10),
            ("limits.stack", self.stack.as_u64(), 64 << 10),
            ("limits.event_deadline (ms)", millis(self.event_deadline), 1),
            ("limits.batch_deadline (ms)", millis(self.batch_deadline), 1),
            ("limits.create_deadline (ms)", millis(self.create_deadline), 1),
        ];
        at_least(&least)?;
        if !(1..=100).contains(&self.memory_watermark) {
            let what = format!("limits.memory_watermark is {}, must be 1 to 100 percent", self.memory_watermark);
            return Err(Error::new(Kind::Config, what).at("field", "limits.memory_watermark"));
        }
        // The engine reserves this much address space for each lane.
        if self.memory.as_u64() > 4 << 30 {
            return Err(Error::new(Kind::Config, "limits.memory is over 4GiB, all that a 32-bit guest can address"));
        }
        // Lane threads have this much stack in all; see lane/worker.rs.
        if self.stack.as_u64() > 4 << 20 {
            return Err(Error::new(Kind::Config, "limits.stack is over 4MiB, half of a lane thread's stack"));
        }
        Ok(())
    }
}

/// Queues, threads and time bounds of the flow.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Flow {
    /// Worker threads, mapped onto the lanes; 0 is one for each core.
    pub threads: usize,
    /// Bytes of events between source and acknowledgement, all queues
    /// together. At 500 B an event this is a third of a second of 50,000 events,
    /// and keeps the process under 150 MB.
    pub in_flight_bytes: ByteSize,
    /// Events between source and acknowledgement.
    pub in_flight_events: u32,
    /// Events in one call of a transform. Boundary cost per event is flat
    /// from 64 on; more only adds latency and work to redo after a trap.
    pub batch_events: usize,
    /// Bytes in one call of a transform.
    pub batch_bytes: ByteSize,
    /// Events handed to the lanes together at most. Waking a worker for each row
    /// cost more than all its work: a lane then had 1.5 events a batch where it now
    /// has a dozen, and a row 28 µs of CPU.
    pub hand_over_events: usize,
    /// How long a shutdown waits for acknowledgements before it gives up;
    /// what is not acknowledged comes again at the next start.
    #[serde(with = "humantime_serde")]
    pub drain_timeout: Duration,
    /// First wait before trying again; doubles with jitter to `retry_max`.
    #[serde(with = "humantime_serde")]
    pub retry_min: Duration,
    /// Longest wait between two tries.
    #[serde(with = "humantime_serde")]
    pub retry_max: Duration,
}

impl Default for Flow {
    fn default() -> Self {
        Self {
            threads: 0,
            in_flight_bytes: ByteSize::mib(32),
            in_flight_events: 50_000,
            batch_events: 256,
            batch_bytes: ByteSize::mib(1),
            hand_over_events: 1024,
            drain_timeout: Duration::from_secs(30),
            retry_min: Duration::from_millis(200),
            retry_max: Duration::from_secs(15),
        }
    }
}

impl Flow {
    pub(super) fn validate(&self) -> Result<()> {
        at_least(&[
            ("flow.in_flight_bytes", self.in_flight_bytes.as_u64(), 64 << 10),
            ("flow.in_flight_events", u64::from(self.in_flight_events), 1),
            ("flow.batch_events", self.batch_events as u64, 1),
            ("flow.batch_bytes", self.batch_bytes.as_u64(), 1),
            ("flow.hand_over_events", self.hand_over_events as u64, 1),
            ("flow.retry_min (ms)", millis(self.retry_min), 1),
            ("flow.retry_max (ms)", millis(self.retry_max), millis(self.retry_min)),
        ])?;
        // More would only hide that the sink is too slow.
        if self.in_flight_bytes.as_u64() > 1 << 31 {
            return Err(Error::new(Kind::Config, "flow.in_flight_bytes is over 2GiB"));
        }
        Ok(())
    }

    /// The number of worker threads, resolved.
    #[must_use]
    pub fn workers(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        (if self.threads == 0 { cores } else { self.threads }).clamp(1, LANES)
    }
}

/// No longer than `most`, for what must not outlive something else.
pub(super) fn at_most(rules: &[(&'static str, Duration, Duration)]) -> Result<()> {
    for (field, value, most) in rules {
        if value > most {
            return Err(Error::new(Kind::Config, format!("{field} is {value:?}, must be at most {most:?}")).at("field", field));
        }
    }
    Ok(())
}

pub(super) fn millis(d: Duration) -> u64 {
    u64::try_from(d.as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn at_least(rules: &[(&'static str, u64, u64)]) -> Result<()> {
    for (field, value, least) in rules {
        if value < least {
            return Err(Error::new(Kind::Config, format!("{field} is {value}, must be at least {least}")).at("field", field));
        }
    }
    Ok(())
}
