//! The command line as data, and what every command shares: logging, runtime,
//! exit code.

use crate::commands::{
    attempt, bench, capture, check, compile, dead_letters, demo, init, inspect, new, replay, run, skip, snapshot, status, swap, test,
};
use crate::error::{Context as _, Error, Kind, Result};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

/// Exit codes, shown by `--help`; the table is `error::Kind::policy`.
const EXIT_CODES: &str = "Exit codes: 0 done, 1 internal error, 2 wrong command line, 3 configuration, 4 component, \
5 database, 6 broker, 7 halted at an event, 8 local file, 9 not drained in time, \
10 a case of `relay test` failed or `relay replay --against` found a difference, 11 a case cannot be read, \
12 a swap was refused, 13 the admin port cannot be asked, 130 interrupted before the end.\n\
Data goes to stdout, everything else to stderr. RUST_LOG sets the log filter.";

/// Relays outbox rows of Postgres through WebAssembly components into Kafka.
#[derive(Debug, Parser)]
#[command(name = "relay", version, after_help = EXIT_CODES, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Log more: once for debug, twice for trace.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Form of the log on stderr.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Relay events until stopped (or, with --until-drained, until the backlog is published).
    Run(run::Run),
    /// Check configuration, components, database and topics, and change nothing.
    Check(check::Check),
    /// Print the SQL that makes or mends the outbox table, or apply it.
    Init(init::Init),
    /// Say how far a pipeline that reads the log is, and what its slot costs.
    Status(status::Status),
    /// Swap a transform's component in a running relay, or see whether it could be.
    Swap(swap::Swap),
    /// Go back to the generation before the active one.
    Rollback(swap::Rollback),
    /// Have the relay go on past an event at which it halts.
    Skip(skip::Skip),
    /// List, show, redrive or discard the events that failed.
    DeadLetters(dead_letters::DeadLetters),
    /// Have a table read as it is, beside its changes, by the relay that reads the log.
    Snapshot(snapshot::Snapshot),
    /// Start a transform in the language of your choice.
    New(new::New),
    /// Run a transform's cases, without database or broker.
    Test(test::Test),
    /// Pass events through a transform and print what becomes of them.
    Try(attempt::Try),
    /// Say what a component is, and whether it can be used.
    Inspect(inspect::Inspect),
    /// Compile components ahead of time, so that starts and swaps need not.
    Compile(compile::Compile),
    /// Measure what a transform costs, or compare two.
    Bench(bench::Bench),
    /// Write real rows into a file, and change nothing.
    Capture(capture::Capture),
    /// Pass real rows through a transform and publish nothing; or compare two transforms on them.
    Replay(replay::Replay),
    /// Show the whole story on a real Postgres: the dual-write problem, and the outbox that solves it.
    Demo(demo::Demo),
}

/// Flags of the simple case; they override the configuration file.
#[derive(Clone, Debug, Default, Args)]
pub struct Flags {
    /// Configuration file.
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// postgres://user@host/database, or a file of JSON Lines (- for stdin).
    /// Without it and without a file: the environment's DATABASE_URL.
    #[arg(long, value_name = "URL|FILE")]
    pub source: Option<String>,
    /// Outbox table [default: public.outbox].
    #[arg(long, value_name = "[SCHEMA.]TABLE")]
    pub table: Option<String>,
    /// Read the outbox table from the log, by logical replication, instead of polling it.
    #[arg(long)]
    pub cdc: bool,
    /// Component to pass events through; may be given several times, in order.
    #[arg(long, value_name = "WASM")]
    pub transform: Vec<PathBuf>,
    /// Settings of the transforms as JSON objects, in the same order.
    #[arg(long, value_name = "JSON")]
    pub settings: Vec<String>,
    /// Kafka brokers, host:port[,host:port]. Without it and without a file: the
    /// environment's KAFKA_BROKERS.
    #[arg(long, value_name = "LIST")]
    pub brokers: Option<String>,
    /// Topic template [default: outbox.event.{aggregate_type}].
    #[arg(long, value_name = "TEMPLATE")]
    pub topic: Option<String>,
    /// Further topics that transforms may choose; * matches any run of characters.
    #[arg(long, value_name = "PATTERN")]
    pub allow_topic: Vec<String>,
    /// Make missing topics, with this many partitions.
    #[arg(long, value_name = "PARTITIONS")]
    pub create_topics: Option<i32>,
    /// Write JSON Lines to stdout instead of Kafka.
    #[arg(long, conflicts_with_all = ["out"])]
    pub stdout: bool,
    /// Append JSON Lines to a file instead of Kafka.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// librdkafka option, such as security.protocol=SASL_SSL.
    #[arg(short = 'X', value_name = "NAME=VALUE")]
    pub option: Vec<String>,
    /// Name of the pipeline; one relay at a time owns it.
    #[arg(long)]
    pub name: Option<String>,
}

/// Runs a command and turns its end into an exit code.
#[must_use]
pub fn run(cli: Cli) -> ExitCode {
    log(cli.verbose, cli.log_format);
    crate::swap::compiler::use_this_program();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let result = runtime.or_kind(Kind::Internal, "cannot start the runtime").and_then(|runtime| {
        let result = runtime.block_on(execute(cli.command));
        // Blocking reads of stdin would hold up the end.
        runtime.shutdown_background();
        result
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::from(error.kind().exit_code())
        }
    }
}

async fn execute(command: Command) -> Result<()> {
    match command {
        Command::Run(command) => command.execute().await,
        Command::Check(command) => command.execute().await,
        Command::Init(command) => command.execute().await,
        Command::Status(command) => command.execute().await,
        Command::Swap(command) => command.execute().await,
        Command::Rollback(command) => command.execute().await,
        Command::Skip(command) => command.execute().await,
        Command::DeadLetters(command) => command.execute().await,
        Command::Snapshot(command) => command.execute().await,
        Command::New(command) => command.execute().await,
        Command::Test(command) => command.execute().await,
        Command::Try(command) => command.execute().await,
        Command::Inspect(command) => command.execute().await,
        Command::Compile(command) => command.execute().await,
        Command::Bench(command) => command.execute().await,
        Command::Capture(command) => command.execute().await,
        Command::Replay(command) => command.execute().await,
        Command::Demo(command) => command.execute().await,
    }
}

fn report(error: &Error) {
    // Where nobody can hear it, the exit code says it.
    drop(writeln!(std::io::stderr(), "error: {error}"));
}

fn log(verbose: u8, format: LogFormat) {
    // The replication library logs as an error what is returned to us, and said
    // once with coordinates and remedy.
    let default = match verbose {
        0 => "info,pgwire_replication=off",
        1 => "info,pgwire_replication=off,relay=debug",
        _ => "debug,relay=trace,librdkafka=trace",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(verbose > 0);
    // It would panic where stderr cannot be written, such as on a full disk.
    let builder = builder.log_internal_errors(false);
    // A subscriber set before (by a test) stays.
    let set = match format {
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    drop(set);
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn verify_cli() {
        Cli::command().debug_assert();
    }
}
