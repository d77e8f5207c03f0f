//! Reading the log: `pg_recvlogical` to nothing, the relay to nothing, the
//! relay with `redact` to Kafka; the same WAL each time, by copies of one slot.

use crate::events::{Database, PAYLOAD, payload};
use crate::meter::{Meter, Sample};
use crate::relayed::{Topic, sink, transform};
use crate::services::Services;
use anyhow::{Context as _, Result, ensure};
use relay::checkpoint::Ticket;
use relay::config::{CdcSource, Config, LinesSink, Sink as SinkConfig, Source};
use relay::event::Event;
use relay::pipeline::{Options, run_with};
use relay::shutdown::Shutdown;
use relay::sink::Sink;
use std::process::{Command, Stdio};
use std::sync::{Arc, Once};

/// Each run this often, interleaved; the first round warms the broker up.
pub const ROUNDS: usize = 3;

/// What is written, and how much of it in one transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    Rows { per_transaction: u64 },
    Messages,
}

/// In the order of the issue.
pub const LOADS: [Load; 3] = [Load::Rows { per_transaction: 100 }, Load::Rows { per_transaction: 1 }, Load::Messages];

/// In the order of [`LOADS`].
pub const LOAD_NAMES: [&str; 3] = ["outbox, 100 rows a transaction", "outbox, 1 row a transaction", "logical messages, 100 a transaction"];

/// Who reads.
pub const READERS: [&str; 3] = ["pg_recvlogical to nothing", "relay to nothing", "relay, `redact`, to Kafka"];

const PUBLICATION: &str = "bench";

/// The samples of each of [`READERS`] for one load.
pub async fn run(services: &Services, database: &Database, load: Load, rows: u64) -> Result<[Vec<Sample>; 3]> {
    let end = write(database, load, rows).await?;
    let admin = crate::relayed::admin(&services.brokers)?;
    let mut samples: [Vec<Sample>; 3] = Default::default();
    for round in 0..=ROUNDS {
        for (reader, samples) in samples.iter_mut().enumerate() {
            let (meter, slot) = (Arc::new(Meter::new(services)), format!("bench_{round}_{reader}"));
            execute(database, &format!("SELECT pg_copy_logical_replication_slot('base', '{slot}')")).await?;
            let sample = match reader {
                0 => tokio::task::block_in_place(|| receive(database, &slot, &end, &meter))?,
                1 => relay(config(database, &slot, load, None)?, None, &meter, rows).await?,
                _ => {
                    // With a name of its own for each load: the state is named after it.
                    let load = LOADS.iter().position(|l| *l == load).unwrap_or_default();
                    let name = format!("bench-log-{}-{load}-{round}", std::process::id());
                    let topic = Topic::create(&admin, &services.brokers, name).await?;
                    let sample = relay(config(database, &slot, LOADS[load], Some(&topic))?, Some(&topic), &meter, rows).await?;
                    topic.delete().await?;
                    sample
                }
            };
            eprintln!("{load:?} round {round}: {}: {:.0}/s", READERS[reader], rows as f64 / sample.elapsed.as_secs_f64());
            execute(database, &format!("SELECT pg_drop_replication_slot('{slot}')")).await?;
            if round > 0 {
                samples.push(sample);
            }
        }
    }
    execute(database, "SELECT pg_drop_replication_slot('base'); DROP PUBLICATION bench").await?;
    Ok(samples)
}

async fn execute(database: &Database, sql: &str) -> Result<()> {
    Ok(database.target.connect().await?.client.batch_execute(sql).await?)
}

/// Writes the load behind a new slot; returns where the log ends.
async fn write(database: &Database, load: Load, rows: u64) -> Result<String> {
    let text = payload(PAYLOAD, 1_000_000_000).replace('\'', "''");
    let body = match load {
        Load::Rows { .. } => format!(
            "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload) \
             SELECT 'order', 'customer-' || ((n + g) * 7919) % 5000, 'OrderPlaced', '{text}'::jsonb FROM generate_series(1, per) g"
        ),
        Load::Messages => format!(
            "PERFORM pg_logical_emit_message(true, 'bench', \
             format('{{\"id\":\"m%s\",\"aggregate_type\":\"order\",\"aggregate_id\":\"customer-%s\",\"event_type\":\"OrderPlaced\",\"payload\":%s}}', \
             n + g, ((n + g) * 7919) % 5000, '{text}')) FROM generate_series(1, per) g"
        ),
    };
    let per = match load {
        Load::Rows { per_transaction } => per_transaction,
        Load::Messages => 100,
    };
    let client = database.target.connect().await?.client;
    client
        .batch_execute(&format!(
            "TRUNCATE outbox; CREATE PUBLICATION {PUBLICATION} FOR TABLE outbox WITH (publish = 'insert');
             CREATE OR REPLACE PROCEDURE load(total bigint, per bigint) LANGUAGE plpgsql AS $load$
             BEGIN FOR n IN 0 .. total - 1 BY per LOOP {body}; COMMIT; END LOOP; END $load$"
        ))
        .await?;
    client.batch_execute("SELECT pg_create_logical_replication_slot('base', 'pgoutput')").await?;
    client.batch_execute("SET synchronous_commit = off").await?;
    client.batch_execute(&format!("CALL load({rows}, {per})")).await?;
    client.batch_execute("SET synchronous_commit = on; CREATE TABLE flushed (); DROP TABLE flushed").await?;
    Ok(client.query_one("SELECT pg_current_wal_lsn()::text", &[]).await?.get(0))
}

fn receive(database: &Database, slot: &str, end: &str, meter: &Meter) -> Result<Sample> {
    let mut command = Command::new("pg_recvlogical");
    command.args(["-d", &database.url, "-S", slot, "--start", "--endpos", end, "-f", "/dev/null", "--no-loop"]);
    command.args(["-o", "proto_version=1", "-o", &format!("publication_names={PUBLICATION}"), "-o", "messages=true"]);
    meter.mark();
    let status = command.stdin(Stdio::null()).status().context("pg_recvlogical is missing: it comes with Postgres's client programs")?;
    meter.mark();
    ensure!(status.success(), "pg_recvlogical: {status}");
    meter.sample().context("no sample")
}

fn config(database: &Database, slot: &str, load: Load, topic: Option<&Topic<'_>>) -> Result<Config> {
    let source = CdcSource {
        url: database.url.clone(),
        slot: slot.to_owned(),
        publication: PUBLICATION.to_owned(),
        outbox: (load != Load::Messages).then(|| "public.outbox".to_owned()),
        messages: if load == Load::Messages { vec!["bench".to_owned()] } else { Vec::new() },
        ..CdcSource::default()
    };
    let out = match topic {
        Some(topic) => SinkConfig::Kafka(Box::new(sink(topic.brokers)?)),
        None => SinkConfig::Stdout(LinesSink::new(None)),
    };
    let mut config = Config::new(slot.to_owned(), Source::Cdc(Box::new(source)), out);
    config.transforms = if topic.is_some() { vec![transform()?] } else { Vec::new() };
    // Positions of one run mean nothing to the next.
    config.state.topic = topic.map(|topic| format!("{}-state", topic.name));
    if let Some(topic) = topic {
        config.sink.set_topic(topic.name.clone());
    }
    config.validate()?;
    Ok(config)
}

async fn relay(config: Config, topic: Option<&Topic<'_>>, meter: &Arc<Meter>, rows: u64) -> Result<Sample> {
    let (_trigger, shutdown) = Shutdown::channel();
    let real = topic.is_some();
    let clock = Arc::clone(meter);
    let wrap = move |inner| -> Arc<dyn Sink> { Arc::new(Clocked { inner, real, started: Once::new(), meter: Arc::clone(&clock) }) };
    let summary = run_with(&config, Options { until_drained: true, reread: None }, shutdown, Arc::new(wrap)).await?;
    ensure!((summary.events, summary.messages) == (rows, rows), "{summary:?} of {rows}");
    if let Some(topic) = topic {
        topic.verify(rows, true, false)?;
    }
    meter.sample().context("the session did not end in order")
}

/// The sink with a clock that starts at the first message; or nothing instead
/// of the sink.
struct Clocked {
    inner: Arc<dyn Sink>,
    real: bool,
    started: Once,
    meter: Arc<Meter>,
}

impl Sink for Clocked {
    fn publish(&self, message: &Event, made_by: &str, ticket: &Arc<Ticket>) -> relay::error::Result<()> {
        self.started.call_once(|| self.meter.mark());
        if self.real {
            return self.inner.publish(message, made_by, ticket);
        }
        ticket.acknowledge();
        Ok(())
    }

    fn keep(&self, id: &str, letter: Option<&[u8]>, ticket: &Arc<Ticket>) -> relay::error::Result<()> {
        self.inner.keep(id, letter, ticket)
    }

    fn check(&self, message: &Event) -> relay::error::Result<()> {
        self.inner.check(message)
    }

    fn flush(&self) -> relay::error::Result<()> {
        self.meter.batch();
        self.inner.flush()
    }

    fn close(&self) {
        self.meter.mark();
        self.inner.close();
    }

    fn purge(&self) {
        self.inner.purge();
    }
}
