//! What a generation did: counted by the lanes, a few additions a batch.

use crate::transform::{Produced, Strain};
use serde::Serialize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counters of one generation, in this process.
#[derive(Debug, Default)]
pub struct Meter {
    events: AtomicU64,
    messages: AtomicU64,
    bytes_out: AtomicU64,
    nanos: AtomicU64,
    faults: AtomicU64,
    outgrown: AtomicU64,
}

/// A look at them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Events that went in.
    pub events: u64,
    /// Messages that came out.
    pub messages: u64,
    /// Bytes of their keys, payloads and headers.
    pub bytes_out: u64,
    /// Time in the chain, instances made on the way included.
    pub nanos: u64,
    /// Calls that trapped, overran a limit or broke the contract.
    pub faults: u64,
    /// Instances replaced because their memory passed the watermark.
    pub outgrown: u64,
}

impl Meter {
    /// Counts a batch.
    pub fn add(&self, events: usize, produced: &Produced, took: Duration) {
        let add = |counter: &AtomicU64, n: u64| counter.fetch_add(n, Ordering::Relaxed);
        // Those behind a failure were not dealt with.
        let events = produced.failure.as_ref().map_or(events, |(index, _)| index + 1);
        add(&self.events, events as u64);
        add(&self.messages, produced.messages.len() as u64);
        add(&self.bytes_out, produced.messages.iter().map(|(_, m)| m.size() as u64).sum());
        add(&self.nanos, u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        add(&self.faults, u64::from(produced.strain.faults));
        add(&self.outgrown, u64::from(produced.strain.outgrown));
    }

    /// Takes faults back that are an event's own.
    pub fn forgive(&self, strain: Strain) {
        self.faults.fetch_sub(u64::from(strain.faults), Ordering::Relaxed);
        self.outgrown.fetch_sub(u64::from(strain.outgrown), Ordering::Relaxed);
    }

    /// The numbers now.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Totals {
            events: get(&self.events),
            messages: get(&self.messages),
            bytes_out: get(&self.bytes_out),
            nanos: get(&self.nanos),
            faults: get(&self.faults),
            outgrown: get(&self.outgrown),
        }
    }
}
