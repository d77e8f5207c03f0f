//! What there is to compare with: the loops one would write by hand, with no
//! lanes, no window, no order across restarts and no transform.

use crate::events::{Database, Stored};
use crate::meter::{Meter, Sample};
use crate::relayed::sink;
use anyhow::{Context as _, Result, ensure};
use futures_util::{StreamExt as _, TryStreamExt as _, pin_mut, stream};
use postgres_types::{FromSql, Type};
use rdkafka::ClientContext;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;
use relay::sink::kafka::client_config;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;

/// Rows of one SELECT and of one DELETE, as in the relay.
const BATCH: i64 = 4096;

/// The columns the relay reads.
const SELECT: &str = "SELECT seq, lane, id::text, aggregate_type, aggregate_id, event_type, payload, headers, created_at \
     FROM outbox WHERE seq > $1 ORDER BY seq LIMIT $2";

const DELETE: &str = "DELETE FROM outbox WHERE seq = ANY ($1)";

/// Batches read and not deleted yet: enough that neither side waits.
const AHEAD: usize = 4;

/// DELETEs sent before the first one is answered.
const PIPELINED: usize = 2;

/// Messages handed over between two looks at the delivery reports.
const POLL_EVERY: u64 = 1024;

/// A value as it came.
struct Raw<'a>(&'a [u8]);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> std::result::Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(raw))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// Reads the table on one connection and deletes it on another.
pub async fn select_delete(database: &Database, meter: &Meter, rows: u64) -> Result<Sample> {
    let (reader, deleter) = (database.target.connect().await?, database.target.connect().await?);
    let select = reader.client.prepare(SELECT).await?;
    let delete = deleter.client.prepare(DELETE).await?;
    let (sender, receiver) = mpsc::channel::<Vec<i64>>(AHEAD);

    let read = async move {
        let (mut last, mut bytes) = (0_i64, 0);
        loop {
            let found = reader.client.query_raw(&select, [last, BATCH]).await?;
            pin_mut!(found);
            let mut seqs = Vec::with_capacity(BATCH as usize);
            while let Some(row) = found.try_next().await? {
                last = row.get(0);
                bytes += black_box(row.get::<_, Raw<'_>>(6)).0.len();
                seqs.push(last);
            }
            if seqs.is_empty() {
                return anyhow::Ok(bytes);
            }
            sender.send(seqs).await.context("the deleting half ended")?;
        }
    };
    let (client, delete) = (&deleter.client, &delete);
    let deleted = stream::unfold(receiver, |mut receiver| async move { Some((receiver.recv().await?, receiver)) })
        .map(|seqs| async move { client.execute(delete, &[&seqs]).await })
        .buffered(PIPELINED)
        .try_fold(0, |sum, n| async move { Ok(sum + n) });

    meter.mark();
    // A task of its own, as the relay's reading half has the runtime's main one.
    let read = tokio::spawn(read);
    let deleted = deleted.await?;
    meter.mark();
    let bytes = read.await??;
    ensure!(deleted == rows && bytes > 0, "deleted {deleted} rows of {rows}");
    meter.sample().context("two marks")
}

/// Counts delivery reports.
#[derive(Default)]
struct Count {
    delivered: AtomicU64,
}

impl ClientContext for Count {}

impl ProducerContext for Count {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if result.is_ok() {
            self.delivered.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Publishes `rows` of the events, over and over, from one thread.
pub fn produce(brokers: &str, topic: &str, events: &[Stored], meter: &Meter, rows: u64) -> Result<Sample> {
    let sink = sink(brokers)?;
    let producer: BaseProducer<Count> = client_config(&sink)?
        // As the sink sets them for a default configuration.
        .set("queue.buffering.max.kbytes", (sink.queue_bytes.as_u64() / 1024).to_string())
        .set("queue.buffering.max.messages", "500000")
        .set("batch.size", "1000000")
        .create_with_context(Count::default())?;
    meter.mark();
    for (n, event) in (0..rows).zip(events.iter().cycle()) {
        let position = format!("{n}/0");
        let headers = OwnedHeaders::new_with_capacity(2)
            .insert(Header { key: "id", value: Some(&event.id) })
            .insert(Header { key: "relay-position", value: Some(&position) });
        let mut record = BaseRecord::to(topic).key(&event.key).payload(&event.payload).headers(headers);
        while let Err((error, back)) = producer.send(record) {
            ensure!(matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)), "{error}");
            producer.poll(Duration::from_millis(10));
            record = back;
        }
        if n % POLL_EVERY == 0 {
            producer.poll(Duration::ZERO);
        }
    }
    // `flush` would wait in steps of 100 ms.
    while producer.in_flight_count() > 0 {
        producer.poll(Duration::from_millis(1));
    }
    meter.mark();
    let delivered = producer.context().delivered.load(Ordering::Relaxed);
    ensure!(delivered == rows, "{delivered} of {rows} messages were delivered");
    meter.sample().context("two marks")
}
