//! Swaps under load: what goes through while they happen, and how long an event
//! takes from its INSERT to a consumer before, during and after.

use crate::events::{Database, PAYLOAD, payload};
use crate::meter::{Meter, Sample};
use crate::relayed::{self, Redacted, Topic};
use crate::services::{Services, component};
use anyhow::{Context as _, Result, bail, ensure};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};
use relay::admin::Client;
use relay::config::Config;
use relay::pipeline::{Options, run};
use relay::shutdown::Shutdown;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A hundred swaps a minute.
const EVERY: Duration = Duration::from_millis(600);

/// How many are made while latency is measured.
const SWAPS: usize = 100;

/// Before and after.
const QUIET: Duration = Duration::from_secs(30);

/// A large component is compiled again and again for so long.
const COMPILING: Duration = Duration::from_secs(40);

/// It has an engine for JavaScript in it.
const LARGE: &str = "js/redact.wasm";

/// Rows of a second while latency is measured, unless `RELAY_BENCH_PACE` says
/// another: an eighth of what two cores drain, with everybody on them.
const PACE: u64 = 5_000;

/// Between two INSERTs.
const TICK: Duration = Duration::from_millis(10);

/// Keys, and the numbers of orders, as `events` makes them.
const KEYS: u64 = 5000;
const FIRST: u64 = 1_000_000_000;

/// For the port, that nobody else has.
const TOKEN: &str = "bench-0123456789abcdef";

/// What is in the place of the first component: the same code, and a custom section
/// of this text behind it.
fn variant(bytes: &[u8], text: &str) -> Vec<u8> {
    // Both lengths are below 128, which LEB128 writes as themselves.
    let length = u8::try_from(text.len()).unwrap_or(0) & 0x3f;
    let mut out = bytes.to_vec();
    out.extend([0, length + 1, length]);
    out.extend(text.bytes().take(usize::from(length)));
    out
}

/// A relay that can be swapped, in this process.
struct Swappable {
    config: Config,
    client: Client,
    _modules: tempfile::TempDir,
}

impl Swappable {
    fn new(database: &Database, topic: &Topic<'_>) -> Result<Self> {
        let mut config = relayed::config(&database.url, topic.brokers, &topic.name, Redacted::Wasm)?;
        // Free a moment ago; the relay takes no port of its own choice.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        config.admin.listen = Some(address);
        config.admin.token = Some(TOKEN.to_owned());
        config.name = format!("bench-{}", topic.name);
        let modules = tempfile::tempdir()?;
        config.modules.directory = Some(modules.path().to_owned());
        config.validate()?;
        relay::swap::compiler::use_program(env!("CARGO_BIN_EXE_relay").into());
        Ok(Self { config, client: Client::new(&address.to_string(), TOKEN.to_owned())?, _modules: modules })
    }

    /// Waits until it holds its pipeline, for a swap before that is refused; or until
    /// it is over.
    async fn ready(&self, over: &AtomicBool) {
        let http = reqwest::Client::new();
        let url = format!("http://{}/readyz", self.config.admin.listen.map(|a| a.to_string()).unwrap_or_default());
        while !over.load(Ordering::Relaxed) && !http.get(&url).send().await.is_ok_and(|answer| answer.status().is_success()) {
            tokio::time::sleep(TICK).await;
        }
    }

    /// Swaps to these in turns until told to stop; the time each swap took.
    async fn swap(&self, versions: &[Vec<u8>; 2], most: usize, over: &AtomicBool) -> Result<Vec<Duration>> {
        let (mut took, mut tick) = (Vec::new(), tokio::time::interval(EVERY));
        while took.len() < most && !over.load(Ordering::Relaxed) {
            tick.tick().await;
            let started = Instant::now();
            let report = match self.client.swap("redact", &[], Some(versions[took.len() % 2].clone())).await {
                Ok(report) => report,
                // The backlog is drained: nobody holds the pipeline, or the port is closed.
                Err(_) if over.load(Ordering::Relaxed) => break,
                Err(error) if most == usize::MAX && error.what().contains(" 409") => break,
                Err(error) => return Err(error.into()),
            };
            ensure!(report["outcome"] == "probation", "swap {}: {report}", took.len());
            took.push(started.elapsed());
        }
        Ok(took)
    }
}

fn versions() -> Result<[Vec<u8>; 2]> {
    let bytes = std::fs::read(component("redact.wasm")?)?;
    Ok([variant(&bytes, "second"), variant(&bytes, "first")])
}

/// Drains the table, with a swap every [`EVERY`] or with none; how many.
pub async fn drain(services: &Services, database: &Database, topic: &Topic<'_>, swaps: bool, rows: u64) -> Result<(Sample, usize)> {
    database.fill(rows).await?;
    // Looked for now, and not when half of the time is over.
    component(LARGE)?;
    let (relay, versions, over) = (Swappable::new(database, topic)?, versions()?, AtomicBool::new(false));
    let meter = Arc::new(Meter::new(services));
    let (_trigger, shutdown) = Shutdown::channel();
    let clock = Arc::clone(&meter);
    let wrap = move |inner| relayed::measured(inner, &clock);
    let running = async {
        let summary =
            relay::pipeline::run_with(&relay.config, Options { until_drained: true, reread: None }, shutdown, Arc::new(wrap)).await;
        over.store(true, Ordering::Relaxed);
        summary
    };
    let swapping = async {
        if !swaps {
            return Ok(Vec::new());
        }
        relay.ready(&over).await;
        relay.swap(&versions, usize::MAX, &over).await
    };
    let (summary, took) = tokio::join!(running, swapping);
    let summary = summary?;
    ensure!((summary.events, database.rows().await?) == (rows, 0), "{summary:?} of {rows}");
    topic.verify(rows, true, false)?;
    Ok((meter.sample().context("the session did not end in order")?, took?.len()))
}

/// A stretch of time, and the latencies of what was inserted in it.
pub struct Phase {
    /// What happened meanwhile.
    name: &'static str,
    /// How often.
    times: usize,
    from: Duration,
    to: Duration,
    /// Percent of the machine's time that its host gave to others meanwhile.
    stolen: f64,
    /// Sorted, in ms.
    latencies: Vec<f64>,
}

impl Phase {
    /// So much of the events were faster, in ms.
    pub fn quantile(&self, part: f64) -> f64 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
        let at = ((self.latencies.len() as f64 * part) as usize).min(self.latencies.len().saturating_sub(1));
        self.latencies.get(at).copied().unwrap_or(f64::NAN)
    }

    /// Events a second.
    fn rate(&self) -> f64 {
        self.latencies.len() as f64 / (self.to - self.from).as_secs_f64()
    }
}

/// A line for each.
pub fn print(phases: &[Phase]) -> Result<()> {
    println!("\nms from INSERT to a consumer, {} rows/s of {PAYLOAD} B, of all events inserted meanwhile\n", pace()?);
    println!("{:28} {:>7} {:>9} {:>8} {:>8} {:>8} {:>8} {:>8}", "", "times", "events/s", "p50", "p99", "p99.9", "most", "stolen");
    for phase in phases {
        let ms = |part| format!("{:.1}", phase.quantile(part));
        println!(
            "{:28} {:>7} {:>9.0} {:>8} {:>8} {:>8} {:>8} {:>7.1}%",
            phase.name,
            phase.times,
            phase.rate(),
            ms(0.5),
            ms(0.99),
            ms(0.999),
            ms(1.0),
            phase.stolen
        );
    }
    Ok(())
}

/// Rows a second.
fn pace() -> Result<u64> {
    std::env::var("RELAY_BENCH_PACE").map_or(Ok(PACE), |pace| pace.parse()).context("RELAY_BENCH_PACE")
}

/// When each event was inserted and when it arrived, in µs from the beginning; 0 is never.
struct Times {
    begun: Instant,
    sent: Vec<AtomicU64>,
    arrived: Vec<AtomicU64>,
}

impl Times {
    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX).max(1)
    }
}

/// Inserts at a steady pace while phases follow each other: nothing, a hundred swaps,
/// a large component that is compiled, nothing.
pub async fn latencies(database: &Database, topic: &Topic<'_>) -> Result<Vec<Phase>> {
    database.fill(0).await?;
    ensure!(pace()? >= 1000 / u64::try_from(TICK.as_millis())?, "RELAY_BENCH_PACE is less than a row in {TICK:?}");
    let a_tick = pace()? * u64::try_from(TICK.as_millis())? / 1000;
    let longest = QUIET * 2 + COMPILING * 2 + EVERY * u32::try_from(SWAPS)? * 2;
    let all = usize::try_from(pace()? * longest.as_secs())?;
    let empty = || (0..all).map(|_| AtomicU64::new(0)).collect();
    let times = Arc::new(Times { begun: Instant::now(), sent: empty(), arrived: empty() });
    let (relay, over, stop) = (Swappable::new(database, topic)?, AtomicBool::new(false), Arc::new(AtomicBool::new(false)));
    let (trigger, shutdown) = Shutdown::channel();
    let consumer = {
        let (times, stop, brokers, name) = (Arc::clone(&times), Arc::clone(&stop), topic.brokers.to_owned(), topic.name.clone());
        std::thread::spawn(move || consume(&brokers, &name, &times, &stop))
    };
    let running = async {
        let ran = run(&relay.config, Options::default(), shutdown).await;
        over.store(true, Ordering::Relaxed);
        anyhow::Ok(ran?)
    };
    let work = async {
        relay.ready(&over).await;
        let (phases, inserted) = tokio::join!(phases(&relay, &times, &over), insert(database, &times, a_tick, &over));
        let (phases, inserted) = (phases?, inserted?);
        while !consumer.is_finished() && times.arrived[..inserted].iter().any(|at| at.load(Ordering::Relaxed) == 0) {
            tokio::time::sleep(TICK).await;
        }
        stop.store(true, Ordering::Relaxed);
        trigger.stop();
        anyhow::Ok((phases, inserted))
    };
    let (_, (mut phases, inserted)) = tokio::try_join!(running, work)?;
    let received = consumer.join().map_err(|_| anyhow::anyhow!("the consumer panicked"))??;
    ensure!(received == inserted, "{received} messages of {inserted} events");
    for (sent, arrived) in times.sent.iter().zip(&times.arrived).take(inserted) {
        let (sent, arrived) = (sent.load(Ordering::Relaxed), arrived.load(Ordering::Relaxed));
        let at = Duration::from_micros(sent);
        if let Some(phase) = phases.iter_mut().find(|phase| phase.from <= at && at < phase.to) {
            phase.latencies.push(arrived.saturating_sub(sent) as f64 / 1000.0);
        }
    }
    phases.iter_mut().for_each(|phase| phase.latencies.sort_by(f64::total_cmp));
    Ok(phases)
}

async fn phases(relay: &Swappable, times: &Times, over: &AtomicBool) -> Result<Vec<Phase>> {
    let (versions, large) = (versions()?, std::fs::read(component(LARGE)?)?);
    let mut phases = Vec::new();
    let mut phase = |name, (from, before): (Duration, [f64; 2]), count: usize| {
        let after = host();
        let stolen = 100.0 * (after[0] - before[0]) / (after[1] - before[1]).max(1.0);
        phases.push(Phase { name, times: count, from, to: times.begun.elapsed(), stolen, latencies: Vec::new() });
    };
    let begin = || (times.begun.elapsed(), host());
    // Connections, caches and the broker's compiler get warm.
    tokio::time::sleep(QUIET / 2).await;
    let from = begin();
    tokio::time::sleep(QUIET).await;
    phase("before", from, 0);
    let from = begin();
    let took = relay.swap(&versions, SWAPS, &AtomicBool::new(false)).await?;
    phase("swaps", from, took.len());
    let slowest = took.iter().max().copied().unwrap_or_default();
    eprintln!("{} swaps in {:.1} s, the slowest {slowest:.1?}", took.len(), (times.begun.elapsed() - from.0).as_secs_f64());
    let (from, mut compiled) = (begin(), 0);
    while times.begun.elapsed() - from.0 < COMPILING {
        // Other bytes each time, or they would be found in the cache.
        let other = variant(&large, &format!("{}-{compiled}", std::process::id()));
        let started = Instant::now();
        let report = relay.client.swap("redact", &[("dry_run", "true".to_owned())], Some(other)).await?;
        eprintln!("{} bytes: {} in {:.1?}; {}", large.len(), report["outcome"], started.elapsed(), report["gates"]);
        compiled += 1;
    }
    phase("12 MB compile", from, compiled);
    let from = begin();
    tokio::time::sleep(QUIET).await;
    phase("after", from, 0);
    over.store(true, Ordering::Relaxed);
    Ok(phases)
}

/// Ticks that the host gave to others, and all ticks (source: proc(5), `/proc/stat`).
fn host() -> [f64; 2] {
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let ticks: Vec<f64> = stat.lines().next().unwrap_or_default().split_whitespace().skip(1).filter_map(|t| t.parse().ok()).collect();
    [ticks.get(7).copied().unwrap_or_default(), ticks.iter().take(8).sum()]
}

/// Inserts until it is over; how many.
async fn insert(database: &Database, times: &Times, a_tick: u64, over: &AtomicBool) -> Result<usize> {
    let session = database.target.connect().await?;
    let insert = "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload) \
         SELECT 'order', 'customer-' || g % 5000, 'OrderPlaced', \
         replace($1::text, '1000000000', (1000000000 + g)::text)::jsonb FROM generate_series($2::bigint, $3::bigint) g";
    let (insert, payload) = (session.client.prepare(insert).await?, payload(PAYLOAD, FIRST));
    let (mut next, mut tick) = (0, tokio::time::interval(TICK));
    // What could not be inserted in time is made up for.
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
    while !over.load(Ordering::Relaxed) {
        tick.tick().await;
        let end = next + a_tick;
        ensure!(usize::try_from(end)? <= times.sent.len(), "the phases took too long");
        let now = times.now();
        (next..end).for_each(|n| times.sent[n as usize].store(now, Ordering::Relaxed));
        session.client.execute(&insert, &[&payload, &i64::try_from(next)?, &i64::try_from(end - 1)?]).await?;
        next = end;
    }
    Ok(usize::try_from(next)?)
}

/// Reads until told to stop; demands each event once and those of a key in order.
fn consume(brokers: &str, topic: &str, times: &Times, stop: &AtomicBool) -> Result<usize> {
    let consumer: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", brokers).set("group.id", "relay-bench").set("fetch.wait.max.ms", "5").create()?;
    let mut all = TopicPartitionList::new();
    for partition in 0..relayed::PARTITIONS {
        all.add_partition_offset(topic, partition, Offset::Beginning)?;
    }
    consumer.assign(&all)?;
    let (mut last, mut received) = (vec![None; usize::try_from(KEYS)?], 0);
    while !stop.load(Ordering::Relaxed) {
        // What passes by itself is none of its business.
        let Some(Ok(message)) = consumer.poll(TICK) else { continue };
        let now = times.now();
        let payload = message.payload_view::<str>().context("a tombstone")??;
        let digits = payload.split_once("order-").map(|(_, rest)| rest.split('"').next().unwrap_or_default()).unwrap_or_default();
        let number = digits.parse::<u64>().context("an event without a number")? - FIRST;
        let Some(arrived) = times.arrived.get(usize::try_from(number)?) else { bail!("event {number} was never inserted") };
        ensure!(arrived.swap(now, Ordering::Relaxed) == 0, "event {number} arrived twice");
        let before = last[usize::try_from(number % KEYS)?].replace(number);
        ensure!(before < Some(number), "event {number} arrived after {before:?}");
        received += 1;
    }
    Ok(received)
}
