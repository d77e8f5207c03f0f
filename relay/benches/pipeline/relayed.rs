//! The relay itself, in process, from the first SELECT to the last DELETE.

use crate::events::{Database, event};
use crate::meter::{Meter, Sample};
use crate::native;
use crate::services::component;
use anyhow::{Context as _, Result, bail, ensure};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};
use redact::Redact;
use relay::checkpoint::Ticket;
use relay::config::{Config, DeadLetters, Delivery, KafkaSink, OutboxSource, Sink as SinkConfig, Source, Transform};
use relay::event::Event;
use relay::pipeline::{Options, run_with};
use relay::shutdown::Shutdown;
use relay::sink::Sink;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Settings of `redact` in every run.
pub const SETTINGS: &str = r#"{"fields":["card"]}"#;

/// Partitions of each topic.
pub const PARTITIONS: i32 = 4;

/// One request to the broker.
const REQUEST: Duration = Duration::from_secs(30);

/// What happens between source and sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redacted {
    /// Nothing.
    No,
    /// The component.
    Wasm,
    /// The same code, compiled into this binary.
    Native,
}

/// How it is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deliver {
    /// At least once, and a failure would halt.
    Plainly,
    /// At least once, with dead letters, of which there are none.
    WithLetters,
    /// Exactly once.
    Once,
}

/// A topic for one run, gone with it.
pub struct Topic<'a> {
    /// Name.
    pub name: String,
    admin: &'a AdminClient<DefaultClientContext>,
    /// Where it is.
    pub brokers: &'a str,
}

/// A client that makes and removes topics.
pub fn admin(brokers: &str) -> Result<AdminClient<DefaultClientContext>> {
    Ok(ClientConfig::new().set("bootstrap.servers", brokers).create()?)
}

impl<'a> Topic<'a> {
    /// Makes it and waits for its leaders.
    pub async fn create(admin: &'a AdminClient<DefaultClientContext>, brokers: &'a str, name: String) -> Result<Self> {
        let new = NewTopic::new(&name, PARTITIONS, TopicReplication::Fixed(1));
        for made in admin.create_topics([&new], &AdminOptions::new()).await? {
            made.map_err(|(topic, code)| anyhow::anyhow!("cannot create {topic}: {code}"))?;
        }
        let deadline = Instant::now() + REQUEST;
        while !admin
            .inner()
            .fetch_metadata(None, REQUEST)?
            .topics()
            .iter()
            .any(|t| t.name() == name && t.partitions().len() == PARTITIONS as usize && t.partitions().iter().all(|p| p.leader() >= 0))
        {
            ensure!(Instant::now() < deadline, "topic {name} has no leaders");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(Self { name, admin, brokers })
    }

    /// Checks that all messages are there, and whether their cards are hidden.
    /// Ends of transactions take offsets too; there may be a few.
    pub fn verify(&self, rows: u64, hidden: bool, transactions: bool) -> Result<()> {
        let consumer: BaseConsumer = ClientConfig::new().set("bootstrap.servers", self.brokers).set("group.id", "relay-bench").create()?;
        let (mut found, mut all) = (0, TopicPartitionList::new());
        for partition in 0..PARTITIONS {
            let (low, high) = consumer.fetch_watermarks(&self.name, partition, REQUEST)?;
            found += high - low;
            all.add_partition_offset(&self.name, partition, Offset::Beginning)?;
        }
        let found = u64::try_from(found)?;
        ensure!(
            found == rows || (transactions && found > rows && found < rows + rows / 10),
            "{found} messages of {rows} are in {}",
            self.name
        );
        consumer.assign(&all)?;
        let message = consumer.poll(REQUEST).context("no message arrives")??;
        let text = message.payload_view::<str>().context("a tombstone")??;
        ensure!(text.contains(r#""card": "***""#) == hidden, "unexpected payload: {text}");
        Ok(())
    }

    /// Removes it.
    pub async fn delete(self) -> Result<()> {
        self.admin.delete_topics(&[&self.name], &AdminOptions::new()).await?;
        Ok(())
    }
}

/// The transform `redact` with the settings of all runs.
pub fn transform() -> Result<Transform> {
    Ok(Transform::new(component("redact.wasm")?, serde_json::from_str(SETTINGS)?))
}

/// The sink of every run, the bare producer's too, with what
/// `RELAY_BENCH_LIBRDKAFKA` sets: `name=value,name=value`.
pub fn sink(brokers: &str) -> Result<KafkaSink> {
    let mut sink = KafkaSink::new(brokers);
    let options = std::env::var("RELAY_BENCH_LIBRDKAFKA").unwrap_or_default();
    for option in options.split(',').filter(|option| !option.is_empty()) {
        let (name, value) = option.split_once('=').context("RELAY_BENCH_LIBRDKAFKA: no `=`")?;
        sink.librdkafka.insert(name.to_owned(), toml::Value::String(value.to_owned()));
    }
    Ok(sink)
}

/// The relay's, from the outbox there to the topic.
pub fn config(url: &str, brokers: &str, topic: &str, redacted: Redacted) -> Result<Config> {
    let mut sink = SinkConfig::Kafka(Box::new(sink(brokers)?));
    sink.set_topic(topic.to_owned());
    let source = Source::Outbox(Box::new(OutboxSource { url: url.to_owned(), ..OutboxSource::default() }));
    let mut config = Config::new("bench".into(), source, sink);
    config.transforms = if redacted == Redacted::Wasm { vec![transform()?] } else { Vec::new() };
    config.validate()?;
    Ok(config)
}

/// Drains the table into the topic.
pub async fn drain(
    database: &Database,
    topic: &Topic<'_>,
    redacted: Redacted,
    deliver: Deliver,
    meter: &Arc<Meter>,
    rows: u64,
) -> Result<Sample> {
    let mut config = config(&database.url, topic.brokers, &topic.name, redacted)?;
    config.name.clone_from(&topic.name);
    match deliver {
        Deliver::Plainly => {}
        Deliver::WithLetters => config.dead_letters = Some(DeadLetters::default()),
        Deliver::Once => config.delivery = Delivery::ExactlyOnce,
    }
    config.validate()?;
    // Tried once: a session that cannot be wrapped cannot be measured.
    let redact = if redacted == Redacted::Native { Some(Arc::new(native::create()?)) } else { None };
    let (_trigger, shutdown) = Shutdown::channel();
    let clock = Arc::clone(meter);
    let wrap = move |inner| -> Arc<dyn Sink> {
        clock.mark();
        Arc::new(Measured { inner, redact: redact.clone(), meter: Arc::clone(&clock) })
    };
    let summary = run_with(&config, Options { until_drained: true, reread: None }, shutdown, Arc::new(wrap)).await?;
    let left = database.rows().await?;
    ensure!((summary.events, summary.messages, left) == (rows, rows, 0), "{summary:?}, {left} rows left of {rows}");
    topic.verify(rows, redacted != Redacted::No, deliver == Deliver::Once)?;
    meter.sample().context("the session did not end in order")
}

/// A sink whose session starts and stops the clock.
pub fn measured(inner: Arc<dyn Sink>, meter: &Arc<Meter>) -> Arc<dyn Sink> {
    meter.mark();
    Arc::new(Measured { inner, redact: None, meter: Arc::clone(meter) })
}

/// The sink, with a clock and perhaps the native transform in front.
struct Measured {
    inner: Arc<dyn Sink>,
    redact: Option<Arc<Redact>>,
    meter: Arc<Meter>,
}

impl Sink for Measured {
    fn publish(&self, message: &Event, made_by: &str, ticket: &Arc<Ticket>) -> relay::error::Result<()> {
        let Some(redact) = &self.redact else { return self.inner.publish(message, made_by, ticket) };
        let made = native::apply(redact, message)?;
        // A header as long as the component's.
        self.inner.publish(made.as_ref().unwrap_or(message), "redact@native000000", ticket)
    }

    fn keep(&self, id: &str, letter: Option<&[u8]>, ticket: &Arc<Ticket>) -> relay::error::Result<()> {
        self.inner.keep(id, letter, ticket)
    }

    fn check(&self, message: &Event) -> relay::error::Result<()> {
        self.inner.check(message)
    }

    /// Called once a batch.
    fn flush(&self) -> relay::error::Result<()> {
        self.meter.batch();
        self.inner.flush()
    }

    /// The first thing a session does when everything is published; only the
    /// last DELETE may still be under way.
    fn close(&self) {
        self.meter.mark();
        self.inner.close();
    }

    fn purge(&self) {
        self.inner.purge();
    }
}

/// The native call gives what the component gives.
pub fn same_result() -> Result<()> {
    let event = event(1, 500, "OrderPlaced", 0);
    let mut chain = crate::boundary::lane(&transform()?)?;
    let produced = chain.run(std::slice::from_ref(&event));
    let Some((_, wasm)) = produced.messages.first() else { bail!("the component published nothing: {:?}", produced.failure) };
    ensure!(Some(wasm) == native::apply(&native::create()?, &event)?.as_ref(), "Wasm and native differ: {wasm:?}");
    Ok(())
}
