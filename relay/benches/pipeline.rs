//! `make bench`: the relay beside the bare loops it is made of, and the Wasm
//! boundary beside native code, in one run. `docs/BENCHMARKS.md` says what each
//! line measures.
//!
//! `RELAY_BENCH_ROWS` sets the rows of a run (1000000); 0 measures the boundary
//! alone. `RELAY_BENCH_LIBRDKAFKA=linger.ms=50,…` sets options of all producers.
//! `DATABASE_URL` and `KAFKA_BROKERS` name services to use; without them
//! scratch ones are started, and stopped in the end.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the table goes to stdout, what is going on to stderr")]

#[path = "pipeline/bare.rs"]
mod bare;
#[path = "pipeline/boundary.rs"]
mod boundary;
#[path = "pipeline/events.rs"]
mod events;
#[path = "pipeline/meter.rs"]
mod meter;
#[path = "pipeline/native.rs"]
mod native;
#[path = "pipeline/relayed.rs"]
mod relayed;
#[path = "pipeline/replication.rs"]
mod replication;
#[path = "pipeline/services.rs"]
mod services;
#[path = "pipeline/swapping.rs"]
mod swapping;

use anyhow::{Context as _, Result};
use events::{Database, PAYLOAD};
use meter::{Meter, Sample};
use relayed::{Deliver, Redacted, Topic};
use services::Services;
use std::sync::Arc;

/// The relay's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// So many that what a start costs once does not count.
const ROWS: u64 = 1_000_000;

/// Each run this often, interleaved, so that a slow minute hits all alike.
const ROUNDS: usize = 3;

/// Events that the bare producer publishes again and again.
const STORED: i64 = 20_000;

const NAMES: [&str; 5] =
    ["bare select → delete", "bare idempotent producer", "relay, no transform", "relay, `redact` in Wasm", "relay, `redact` native"];

fn main() -> Result<()> {
    tracing_subscriber::fmt().with_env_filter("warn").with_writer(std::io::stderr).init();
    let rows = std::env::var("RELAY_BENCH_ROWS").map_or(Ok(ROWS), |rows| rows.parse()).context("RELAY_BENCH_ROWS")?;
    println!("{}\n", machine());
    relayed::same_result()?;
    if rows > 0 {
        let services = Services::start()?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        if wants("polling") {
            let runs = runtime.block_on(pipelines(&services, rows))?;
            print_pipelines(&runs, rows);
        }
        if wants("log") {
            runtime.block_on(logs(&services, rows))?;
        }
        if wants("delivery") {
            runtime.block_on(deliveries(&services, rows))?;
        }
        if wants("swaps") {
            runtime.block_on(swaps(&services, rows))?;
        }
    }
    if wants("boundary") { print_boundary() } else { Ok(()) }
}

/// Whether a part of the benchmark was asked for; all are where none was named.
fn wants(part: &str) -> bool {
    std::env::var("RELAY_BENCH_PARTS").map_or(true, |parts| parts.split(',').any(|p| p == part))
}

/// Reading the log, a table for each load.
async fn logs(services: &Services, rows: u64) -> Result<()> {
    let database = Database::create(&services.url).await?;
    for (load, name) in replication::LOADS.into_iter().zip(replication::LOAD_NAMES) {
        let samples = replication::run(services, &database, load, rows).await?;
        println!("{rows} × {PAYLOAD} B, {name}: median of {} interleaved runs; CPU time in µs a row\n", replication::ROUNDS);
        let rates = print_table(&replication::READERS, &samples, rows);
        if let &[receive, decode, relay] = rates.as_slice() {
            println!();
            ratio("relay to nothing ÷ pg_recvlogical", decode / receive, "aim ≥ 0.9");
            ratio("relay with Wasm `redact` to Kafka ÷ pg_recvlogical", relay / receive, "aim ≥ 0.7");
            println!();
        }
    }
    database.drop().await
}

/// The samples of each of [`NAMES`].
type Runs = [Vec<Sample>; 5];

async fn pipelines(services: &Services, rows: u64) -> Result<Runs> {
    let database = Database::create(&services.url).await?;
    let runs = rounds(services, &database, rows).await;
    database.drop().await?;
    runs
}

async fn rounds(services: &Services, database: &Database, rows: u64) -> Result<Runs> {
    let admin = relayed::admin(&services.brokers)?;
    let mut runs = Runs::default();
    for round in 0..=ROUNDS {
        for (kind, samples) in runs.iter_mut().enumerate() {
            let meter = Arc::new(Meter::new(services));
            let topic = Topic::create(&admin, &services.brokers, format!("bench-{}-{round}-{kind}", std::process::id())).await?;
            database.fill(rows).await?;
            let sample = match kind {
                0 => bare::select_delete(database, &meter, rows).await?,
                1 => {
                    let events = database.sample(STORED).await?;
                    let sample = tokio::task::block_in_place(|| bare::produce(&services.brokers, &topic.name, &events, &meter, rows))?;
                    topic.verify(rows, false, false)?;
                    sample
                }
                2 => relayed::drain(database, &topic, Redacted::No, Deliver::Plainly, &meter, rows).await?,
                3 => relayed::drain(database, &topic, Redacted::Wasm, Deliver::Plainly, &meter, rows).await?,
                _ => relayed::drain(database, &topic, Redacted::Native, Deliver::Plainly, &meter, rows).await?,
            };
            topic.delete().await?;
            let rate = rows as f64 / sample.elapsed.as_secs_f64();
            let note = if round == 0 { " (not counted: the broker's compiler warms up)" } else { "" };
            eprintln!("round {round}: {}: {rate:.0}/s{note}", NAMES[kind]);
            // The broker's compiler and everybody's caches are cold in the first round.
            if round > 0 {
                samples.push(sample);
            }
        }
    }
    Ok(runs)
}

/// What dead letters and exactly-once cost where nothing fails.
async fn deliveries(services: &Services, rows: u64) -> Result<()> {
    let database = Database::create(&services.url).await?;
    let admin = relayed::admin(&services.brokers)?;
    let names = ["`redact`, at least once", "…, with dead letters", "…, exactly once"];
    let ways = [Deliver::Plainly, Deliver::WithLetters, Deliver::Once];
    let mut runs = [Vec::new(), Vec::new(), Vec::new()];
    for round in 0..=ROUNDS {
        for ((way, samples), name) in ways.into_iter().zip(&mut runs).zip(names) {
            let meter = Arc::new(Meter::new(services));
            let topic = Topic::create(&admin, &services.brokers, format!("bench-{}-{round}-{way:?}", std::process::id())).await?;
            database.fill(rows).await?;
            let sample = relayed::drain(&database, &topic, Redacted::Wasm, way, &meter, rows).await?;
            topic.delete().await?;
            eprintln!("round {round}: {name}: {:.0}/s", rows as f64 / sample.elapsed.as_secs_f64());
            if round > 0 {
                samples.push(sample);
            }
        }
    }
    database.drop().await?;
    println!("{rows} rows of {PAYLOAD} B, median of {ROUNDS} interleaved runs; CPU time in µs a row; events in a lane's batch\n");
    if let &[plain, letters, once] = print_table(&names, &runs, rows).as_slice() {
        println!();
        ratio("with dead letters ÷ without", letters / plain, "");
        ratio("exactly once ÷ at least once", once / plain, "");
    }
    println!();
    Ok(())
}

/// What swaps cost: the rate of a drain with and without, and latencies.
async fn swaps(services: &Services, rows: u64) -> Result<()> {
    let database = Database::create(&services.url).await?;
    let admin = relayed::admin(&services.brokers)?;
    let names = ["relay, no swaps", "relay, 100 swaps a minute"];
    let (mut runs, mut made) = ([Vec::new(), Vec::new()], 0);
    for round in 0..=ROUNDS {
        for (kind, samples) in runs.iter_mut().enumerate() {
            let topic = Topic::create(&admin, &services.brokers, format!("bench-swaps-{}-{round}-{kind}", std::process::id())).await?;
            let (sample, swaps) = swapping::drain(services, &database, &topic, kind == 1, rows).await?;
            eprintln!("round {round}: {}: {:.0}/s, {swaps} swaps", names[kind], rows as f64 / sample.elapsed.as_secs_f64());
            if round > 0 {
                samples.push(sample);
                made += swaps;
            }
            topic.delete().await?;
        }
    }
    let topic = Topic::create(&admin, &services.brokers, format!("bench-swaps-{}", std::process::id())).await?;
    let phases = swapping::latencies(&database, &topic).await?;
    topic.delete().await?;
    database.drop().await?;
    println!("{rows} rows of {PAYLOAD} B, median of {ROUNDS} interleaved runs, {made} swaps; CPU time in µs a row\n");
    let rates = print_table(&names, &runs, rows);
    swapping::print(&phases)?;
    println!();
    if let (&[without, with], [before, swaps, compile, after]) = (rates.as_slice(), phases.as_slice()) {
        ratio("rate with swaps ÷ without", with / without, "aim ≥ 0.9");
        let p99 = |phase: &swapping::Phase| phase.quantile(0.99) / before.quantile(0.99);
        ratio("p99 during swaps ÷ before", p99(swaps), "");
        ratio("p99 while 12 MB compile ÷ before", p99(compile), "");
        ratio("p99 after ÷ before", p99(after), "");
    }
    println!();
    Ok(())
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn print_pipelines(runs: &Runs, rows: u64) {
    println!("{rows} rows of {PAYLOAD} B, median of {ROUNDS} interleaved runs; CPU time in µs a row; events in a lane's batch\n");
    let rates = print_table(&NAMES, runs, rows);
    let &[select_delete, produce, relay, wasm, native] = rates.as_slice() else { return };
    let slower = select_delete.min(produce);
    println!();
    ratio("relay without transform ÷ slower bare loop", relay / slower, "");
    ratio("relay with Wasm `redact` ÷ slower bare loop", wasm / slower, "aim ≥ 0.5");
    ratio("time with Wasm `redact` ÷ with native, end to end", native / wasm, "aim ≤ 1.5");
    println!();
}

/// A line for each name; returns the rates.
fn print_table(names: &[&str], runs: &[Vec<Sample>], rows: u64) -> Vec<f64> {
    let micros = |seconds: f64| seconds * 1e6 / rows as f64;
    println!(
        "{:28} {:>9} {:>19} {:>8} {:>9} {:>7} {:>7} {:>6}",
        "", "rows/s", "least – most", "process", "Postgres", "Kafka", "all", "batch"
    );
    let mut rates = Vec::new();
    for (name, samples) in names.iter().zip(runs) {
        let rate = |s: &Sample| rows as f64 / s.elapsed.as_secs_f64();
        let rates_here = || samples.iter().map(rate);
        let (least, most) = (rates_here().fold(f64::INFINITY, f64::min), rates_here().fold(0.0, f64::max));
        let cpu: Vec<f64> = (0..3).map(|who| median(samples.iter().map(|s| s.cpu[who].map_or(f64::NAN, micros)))).collect();
        rates.push(median(rates_here()));
        let batch = median(samples.iter().map(|s| rows as f64 / s.batches as f64));
        println!(
            "{name:28} {:>9.0} {:>19} {:>8.2} {:>9.2} {:>7.2} {:>7.2} {:>6}",
            median(rates_here()),
            format!("{least:.0} – {most:.0}"),
            cpu[0],
            cpu[1],
            cpu[2],
            cpu.iter().sum::<f64>(),
            if batch.is_finite() { format!("{batch:.0}") } else { String::new() }
        );
    }
    rates
}

fn ratio(name: &str, value: f64, aim: &str) {
    println!("{name:52} {value:>6.2}  {aim}");
}

fn print_boundary() -> Result<()> {
    println!("ns an event at the Wasm boundary, 64 events a call, one thread; `minimal` with 250 B\n");
    let line = |line: &boundary::Line| println!("{:28} {:>9.0}", line.name, line.nanos);
    boundary::kinds()?.iter().for_each(line);
    let mut ratios = Vec::new();
    for payload in [250, PAYLOAD] {
        let lines = boundary::redact(payload)?;
        lines.iter().for_each(line);
        ratios.push((payload, lines[0].nanos / lines[1].nanos));
    }
    println!();
    for (payload, value) in ratios {
        ratio(&format!("`redact` of {payload} B, Wasm ÷ native, an event"), value, "aim ≤ 1.5");
    }
    Ok(())
}

/// Where and of what the numbers are.
fn machine() -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).map_or("", |rest| rest.trim_start_matches(['\t', ':', ' ']));
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let git = |args: &[&str]| {
        let output = std::process::Command::new("git").arg("-C").arg(services::root()).args(args).output();
        output.map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned()).unwrap_or_default()
    };
    let changed = if git(&["status", "--porcelain", "-uno"]).is_empty() { "" } else { " with changes" };
    format!(
        "relay {}, commit {}{changed}\n{cores} cores of {model}, Linux {}, load {}",
        env!("CARGO_PKG_VERSION"),
        git(&["rev-parse", "--short", "HEAD"]),
        read("/proc/sys/kernel/osrelease").trim(),
        read("/proc/loadavg").split(' ').next().unwrap_or_default()
    )
}
