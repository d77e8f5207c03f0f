//! The Wasm boundary: components loaded, checked, instantiated and called.
//!
//! [`engine`] turns a file into a [`Module`]; a [`Chain`] is the immutable
//! ordered list of modules with settings and limits; a [`LaneChain`] is one
//! lane's instances of it. Nothing here knows a source or a sink.

mod anatomy;
mod answer;
mod bindings;
pub mod cache;
mod chain;
mod contract;
mod convert;
mod engine;
mod fault;
mod instance;
mod stage;
mod workbench;

pub use anatomy::{Anatomy, Manifest};
pub use answer::{Answer, Failure};
pub use chain::{Chain, LaneChain, Produced, StageSpec};
pub use engine::{Engine, Module, check_contract, digest, read};
pub use fault::Fault;
pub use instance::{Instance, Unused};
pub use stage::Strain;
pub use workbench::Workbench;
