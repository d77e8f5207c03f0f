//! Lanes own order: the events of a subset of keys, in order, worked by one
//! thread, with transform instances of their own.

mod isolation;
mod queue;
mod served;
#[cfg(test)]
mod simulation;
mod trial;
mod work;
mod worker;

pub use isolation::Isolation;
pub use queue::LaneQueue;
pub use trial::Trial;
pub use worker::{STACK, Task, Workers};

pub use crate::config::LANES;
