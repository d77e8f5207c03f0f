//! One binary for all integration tests; one file for each property.

mod support;

mod bad_input;
mod boundary;
mod broker;
mod crash;
mod database;
mod files;
mod halting;
mod visibility;
mod volume;
