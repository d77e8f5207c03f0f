//! Postgres outbox rows through WebAssembly components into Kafka: nothing
//! lost, order kept for each key. `docs/ARCHITECTURE.md` has the map.

pub mod admin;
pub mod checkpoint;
pub mod cli;
pub mod commands;
pub mod config;
pub mod crash;
pub mod dead_letters;
pub mod error;
pub mod event;
pub mod generation;
pub mod lane;
pub mod measure;
pub mod metrics;
pub mod modules;
pub mod pipeline;
pub mod priority;
pub mod progress;
pub mod shutdown;
pub mod sink;
pub mod source;
pub mod state;
pub mod suite;
pub mod swap;
pub mod transform;
