//! Lanes own order: the events of a subset of keys, in order, worked by one
//! thread, with transform instances of their own.

mod queue;
mod served;
#[cfg(test)]
mod simulation;
mod work;
mod worker;

pub use queue::LaneQueue;
pub use work::Isolation;
pub use worker::{STACK, Task, Workers};

pub use crate::config::LANES;
