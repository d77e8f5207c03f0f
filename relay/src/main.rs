//! The `relay` command.

use clap::Parser as _;
use relay::cli::Cli;
use std::process::ExitCode;

/// Messages are made on one thread and freed on another, a case in which the
/// system's allocator spends more than the relay itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    relay::cli::run(Cli::parse())
}
