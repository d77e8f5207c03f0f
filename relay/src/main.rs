//! The `relay` command.

use clap::Parser as _;
use relay::cli::Cli;
use std::process::ExitCode;

fn main() -> ExitCode {
    relay::cli::run(Cli::parse())
}
