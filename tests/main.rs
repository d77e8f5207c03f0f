//! One binary for all integration tests; one file for each property.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "a test fails by panicking")]

mod support;

mod admin;
mod bad_input;
mod boundary;
mod broker;
mod cdc_crash;
mod cdc_init;
mod cdc_messages;
mod cdc_outbox;
mod cdc_rows;
mod cdc_safety;
mod cdc_schema;
mod cdc_shapes;
mod cdc_snapshot;
mod cdc_status;
mod cdc_types;
mod cdc_volume;
mod chaos;
mod compiling;
mod crash;
mod database;
mod dead_letters;
mod dead_letters_file;
mod dead_letters_retries;
mod dead_letters_table;
mod deadly;
mod documents;
mod exactly_once;
mod exactly_once_log;
mod failover;
mod files;
mod full_disk;
mod halting;
mod registry;
mod sinks;
mod stopping;
mod suite;
mod swap;
// The points where a relay dies are in such a build only.
#[cfg(debug_assertions)]
mod swap_crash;
mod trials;
mod tutorial;
mod visibility;
mod volume;
