//! Generations at work: which chain each lane uses now, how the new one does
//! beside the old, and when it is to go.
//!
//! A [`Generation`] is a chain with a number. The [`Board`] says, by a [`Plan`],
//! which generation serves which lane; lanes look at it between two batches, so
//! that each event is wholly of one. While a new generation is in [`Probation`],
//! the lanes measure it against the old one, and any of them may condemn it.

mod board;
mod meter;
mod probation;
mod recent;

pub use board::{Board, Plan};
pub use meter::{Meter, Totals};
pub use probation::{Probation, verdict};
pub use recent::Recent;

use crate::transform::Chain;
use std::sync::Arc;

/// A chain with a number; the higher, the later. What it did so far goes with it.
pub struct Generation {
    /// Unique within a pipeline, also over restarts where swaps are remembered.
    pub number: u64,
    /// The chain.
    pub chain: Arc<Chain>,
    /// What it did in this process.
    pub meter: Meter,
}

impl Generation {
    /// A generation that did nothing yet.
    #[must_use]
    pub fn new(number: u64, chain: Arc<Chain>) -> Arc<Self> {
        Arc::new(Self { number, chain, meter: Meter::default() })
    }
}
