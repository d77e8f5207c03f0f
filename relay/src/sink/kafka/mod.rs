//! Apache Kafka through librdkafka: an idempotent, gapless producer whose
//! delivery reports complete the tickets.

mod accumulator;
mod compacted;
mod context;
mod handover;
mod options;
mod suspects;
mod topics;
mod transaction;
mod wave;

pub use compacted::Compacted;
pub use options::client_config;
pub use suspects::Suspects;
pub use topics::{TopicInfo, Topics};
pub use transaction::Transactional;

use super::{Sink, no_letters};
use crate::checkpoint::Ticket;
use crate::config::KafkaSink;
use crate::error::{Context as _, Error, Kind, Result};
use crate::event::{Event, Shared};
use accumulator::Accumulator;
use bytes::Bytes;
use context::Deliveries;
use handover::{Handover, Outgoing};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, Producer as _, PurgeConfig};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long the poll thread waits for a delivery report at a time: bounds how
/// late it notices that the sink is dropped.
const POLL: Duration = Duration::from_millis(20);

/// Bytes a record needs beside key, value and headers in a batch of its own:
/// batch header 61, lengths and attributes up to 30 (source: Apache Kafka,
/// `org.apache.kafka.common.record.DefaultRecordBatch`).
const RECORD_OVERHEAD: usize = 96;

/// See the module.
pub struct Kafka {
    producer: Arc<BaseProducer<Deliveries>>,
    handover: Arc<Handover>,
    topics: Topics,
    closing: Arc<AtomicBool>,
    /// Whether reports are heard no more: giving up a transaction waits for them.
    ended: Arc<AtomicBool>,
    /// One hears the reports, one hands over what waited.
    threads: Vec<JoinHandle<()>>,
    /// Topic of the dead letters.
    letters: Option<Shared>,
    trace_headers: bool,
    compressed: bool,
    queue_bytes: usize,
}

impl Kafka {
    /// Connects lazily: a broker that is down is waited for, not failed on.
    ///
    /// # Errors
    /// `Config` for options librdkafka refuses.
    pub fn new(
        config: &KafkaSink,
        max_events: u32,
        patterns: &[String],
        runtime: tokio::runtime::Handle,
        transactional: Option<&Transactional>,
        singly: bool,
    ) -> Result<Self> {
        let closing = Arc::new(AtomicBool::new(false));
        let topics = Topics::new(config, patterns, runtime, Arc::clone(&closing))?;
        let mut client = client_config(config)?;
        client
            .set("queue.buffering.max.kbytes", (config.queue_bytes.as_u64() / 1024).max(1).to_string())
            // One event may become many messages; the bound in bytes is the real one.
            .set("queue.buffering.max.messages", max_events.saturating_mul(10).clamp(1, 10_000_000).to_string());
        if !config.librdkafka.contains_key("batch.size") {
            client.set("batch.size", topics.batch_size().to_string());
        }
        if singly {
            client.set("batch.num.messages", "1").set("linger.ms", "0");
        }
        if let Some(Transactional { id, timeout }) = transactional {
            let millis = timeout.as_millis().to_string();
            client.set("transactional.id", id).set("transaction.timeout.ms", &millis).set("message.timeout.ms", &millis);
            // What would leave a gap ends the transaction, and nothing of it is seen.
            client.set("enable.gapless.guarantee", "false");
        }
        let queue_bytes = usize::try_from(config.queue_bytes.as_u64()).unwrap_or(usize::MAX);
        let compressed = ["compression.type", "compression.codec"].iter().any(|o| client.get(o).is_some_and(|v| v != "none"));
        let accumulator = Accumulator::new(&client, config.hold, queue_bytes, Arc::clone(&closing));
        let producer: BaseProducer<Deliveries> = client
            .create_with_context(Deliveries::new(accumulator))
            .or_kind(Kind::Config, "librdkafka refuses the configuration")
            .map_err(|e| e.at("field", "sink.librdkafka").remedy("correct the option it names"))?;
        let producer = Arc::new(producer);
        producer.context().watch(&producer);
        let handover = Arc::new(Handover { producer: Arc::clone(&producer), singly, request_timeout: config.request_timeout });
        let mut this = Self {
            producer,
            handover,
            topics,
            closing,
            ended: Arc::default(),
            threads: Vec::new(),
            letters: None,
            trace_headers: config.trace_headers,
            compressed,
            queue_bytes,
        };
        let (producer, ended) = (Arc::clone(&this.producer), Arc::clone(&this.ended));
        this.start("kafka-poll", move || {
            while !ended.load(Ordering::Acquire) {
                producer.poll(POLL);
            }
        })?;
        let handover = Arc::clone(&this.handover);
        this.start("kafka-send", move || handover.work())?;
        if let Some(transactional) = transactional {
            this.fence(transactional.timeout)?;
            this.begin()?;
        }
        Ok(this)
    }

    fn start(&mut self, name: &str, work: impl FnOnce() + Send + 'static) -> Result<()> {
        let thread = std::thread::Builder::new().name(name.into()).spawn(work);
        self.threads.push(thread.or_kind(Kind::Internal, "cannot start a thread for Kafka")?);
        Ok(())
    }

    /// With dead letters in that topic, if there is one.
    #[must_use]
    pub fn with_letters(mut self, topic: Option<String>) -> Self {
        self.letters = topic.map(Shared::from);
        self
    }

    /// Takes a record that is no event's message.
    fn put(&self, topic: &Shared, key: &[u8], payload: Option<&[u8]>, ticket: &Arc<Ticket>) -> Result<()> {
        self.handover.take(Outgoing {
            topic: Shared::clone(topic),
            partition: Some(0),
            key: Some(Bytes::copy_from_slice(key)),
            payload: payload.map(Bytes::copy_from_slice),
            headers: None,
            ticket: Arc::clone(ticket),
        })
    }

    fn headers(&self, message: &Event, made_by: &str) -> OwnedHeaders {
        let position = message.position.to_string();
        let mut headers =
            OwnedHeaders::new_with_capacity(message.headers.len() + 3).insert(Header { key: "id", value: Some(&*message.id) });
        if self.trace_headers {
            headers = headers.insert(Header { key: "relay-position", value: Some(&position) });
            if !made_by.is_empty() {
                headers = headers.insert(Header { key: "relay-transform", value: Some(made_by) });
            }
        }
        // Those names are the host's, also where the source carries them.
        let foreign = message.headers.iter().filter(|h| &*h.name != "id" && !h.name.starts_with("relay-"));
        for header in foreign {
            headers = headers.insert(Header { key: &header.name, value: header.value.as_deref() });
        }
        headers
    }

    /// Refuses what the broker would refuse, while it is one event's own
    /// failure and not that of a whole batch.
    fn fits(&self, message: &Event, topic: &TopicInfo) -> Result<()> {
        if let Some(partition) = message.partition
            && partition >= topic.partitions
        {
            return Err(Error::new(Kind::MessageRefused, format!("partition {partition} of a topic with {}", topic.partitions))
                .at("topic", &message.topic)
                .remedy("correct the transform that chose the partition, or add partitions"));
        }
        if message.key.is_none() && topic.compacted {
            return Err(Error::new(Kind::MessageRefused, "a message without a key for a compacted topic")
                .at("topic", &message.topic)
                .remedy("give the event a key (aggregate id), or do not compact the topic"));
        }
        let opt = |b: &Option<Bytes>| b.as_ref().map_or(0, Bytes::len);
        let headers: usize = message.headers.iter().map(|h| h.name.len() + opt(&h.value) + 10).sum();
        let size = RECORD_OVERHEAD + opt(&message.key) + opt(&message.payload) + headers + message.id.len();
        if size > self.queue_bytes {
            return Err(Error::new(Kind::MessageRefused, format!("a message of about {size} bytes for a queue of {}", self.queue_bytes))
                .at("topic", &message.topic)
                .remedy("raise sink.queue_bytes, or let a transform shorten the payload"));
        }
        match topic.max_message_bytes {
            Some(max) if size > max && !self.compressed => Err(Error::new(
                Kind::MessageRefused,
                format!("a message of about {size} bytes for a topic that takes {max} (max.message.bytes)"),
            )
            .at("topic", &message.topic)
            .remedy("raise max.message.bytes of the topic, let a transform shorten the payload, or set compression.type under [sink.librdkafka]")),
            _ => Ok(()),
        }
    }
}

impl Sink for Kafka {
    fn publish(&self, message: &Event, made_by: &str, ticket: &Arc<Ticket>) -> Result<()> {
        self.check(message)?;
        self.handover.take(Outgoing {
            topic: Shared::clone(&message.topic),
            partition: message.partition.map(|partition| i32::try_from(partition).unwrap_or(i32::MAX)),
            key: message.key.clone(),
            payload: message.payload.clone(),
            headers: Some(self.headers(message, made_by)),
            ticket: Arc::clone(ticket),
        })
    }

    fn keep(&self, id: &str, letter: Option<&[u8]>, ticket: &Arc<Ticket>) -> Result<()> {
        let topic = self.letters.as_ref().ok_or_else(no_letters)?;
        let limit = self.topics.get(topic)?.max_message_bytes.unwrap_or(usize::MAX);
        let size = RECORD_OVERHEAD + id.len() + letter.map_or(0, <[u8]>::len);
        if size > limit && !self.compressed {
            return Err(Error::new(Kind::MessageRefused, format!("a dead letter of {size} bytes for a topic that takes {limit}"))
                .at("topic", topic)
                .remedy("raise max.message.bytes of the topic"));
        }
        self.put(topic, id.as_bytes(), letter, ticket)
    }

    fn check(&self, message: &Event) -> Result<()> {
        let mut topic = self.topics.get(&message.topic)?;
        if message.partition.is_some_and(|p| p >= topic.partitions) {
            // It may have grown since.
            topic = self.topics.find(&message.topic)?;
        }
        self.fits(message, &topic)
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }

    fn close(&self) {
        self.closing.store(true, Ordering::Release);
        self.producer.context().accumulator().stop();
    }

    fn purge(&self) {
        self.producer.context().accumulator().give_up();
        self.producer.purge(PurgeConfig::default().queue().inflight());
        // Reports of purged messages drop their tickets.
        self.producer.poll(Duration::ZERO);
    }
}

fn closing() -> Error {
    Error::new(Kind::Interrupted, "the sink is closing")
}

impl Drop for Kafka {
    fn drop(&mut self) {
        self.close();
        self.ended.store(true, Ordering::Release);
        for thread in self.threads.drain(..) {
            let name = thread.thread().name().unwrap_or_default().to_owned();
            if thread.join().is_err() {
                tracing::error!(name, "a thread of the sink panicked");
            }
        }
    }
}
