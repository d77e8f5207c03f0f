//! `[sink]`.

use super::failures::OnFailure;
use super::limits::{at_least, at_most, millis};
use crate::error::{Error, Kind, Result};
use crate::event::TopicTemplate;
use bytesize::ByteSize;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// Where messages go.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Sink {
    /// Apache Kafka.
    Kafka(Box<KafkaSink>),
    /// JSON Lines on stdout.
    Stdout(LinesSink),
    /// JSON Lines appended to a file.
    File(LinesSink),
}

/// Kafka.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KafkaSink {
    /// `host:port,host:port`.
    pub brokers: String,
    /// Topic template; a transform may choose another.
    #[serde(default = "default_topic")]
    pub topic: String,
    /// Further topics that may be published to; `*` stands for any run of
    /// characters.
    #[serde(default)]
    pub topics: Vec<String>,
    /// Makes missing topics; without it a missing topic stops the relay.
    #[serde(default)]
    pub create_topics: Option<CreateTopics>,
    /// What follows from a message that the broker refuses, or would: `park` where
    /// there are dead letters, else `halt`.
    #[serde(default)]
    pub on_refused: Option<OnFailure>,
    /// Write the headers `relay-position` and `relay-transform` beside `id`.
    #[serde(default = "yes")]
    pub trace_headers: bool,
    /// Bound of librdkafka's own queue, which holds messages beside the events
    /// they came from.
    #[serde(default = "default_queue")]
    pub queue_bytes: ByteSize,
    /// How long a message waits at most for those under way, so that batches are larger;
    /// zero hands each to librdkafka at once.
    #[serde(default = "default_hold", with = "humantime_serde")]
    pub hold: Duration,
    /// One request to the cluster that is not about messages; longer than any healthy
    /// broker needs.
    #[serde(default = "default_request_timeout", with = "humantime_serde")]
    pub request_timeout: Duration,
    /// How often partition counts are compared with what they were.
    #[serde(default = "default_topic_check", with = "humantime_serde")]
    pub topic_check: Duration,
    /// Raw librdkafka options: `security.protocol`, `sasl.*`, `ssl.*`,
    /// `compression.type`, … Those that carry a guarantee are refused.
    #[serde(default)]
    pub librdkafka: BTreeMap<String, toml::Value>,
}

/// How missing topics are made.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateTopics {
    /// Partitions of a new topic.
    pub partitions: i32,
    /// Replicas of each partition.
    #[serde(default = "default_replication")]
    pub replication: i32,
    /// Topic configuration.
    #[serde(default)]
    pub config: BTreeMap<String, String>,
}

/// JSON Lines.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinesSink {
    /// The file; none for stdout.
    #[serde(default)]
    pub path: Option<PathBuf>,
    /// Topic template, as for Kafka.
    #[serde(default = "default_topic")]
    pub topic: String,
    /// Further topics, as for Kafka.
    #[serde(default)]
    pub topics: Vec<String>,
}

/// Debezium's default, so that consumers need not change.
pub(crate) const DEFAULT_TOPIC: &str = "outbox.event.{aggregate_type}";

fn default_topic() -> String {
    DEFAULT_TOPIC.to_owned()
}
const fn yes() -> bool {
    true
}
const fn default_replication() -> i32 {
    -1
}
// Twice the default budget of events: a message carries headers its event has not.
const fn default_queue() -> ByteSize {
    ByteSize::mib(64)
}

/// Options that carry a guarantee and what they are set to; see DESIGN, "Sink".
pub(crate) const GUARANTEED: &[(&str, &str)] = &[
    ("enable.idempotence", "true"),
    ("acks", "all"),
    ("message.timeout.ms", "0"),
    ("enable.gapless.guarantee", "true"),
    ("partitioner", "murmur2_random"),
];

/// The same under librdkafka's other names, or set by a field of ours.
const ALIASES: &[(&str, &str)] = &[
    ("request.required.acks", "acks"),
    ("delivery.timeout.ms", "message.timeout.ms"),
    ("bootstrap.servers", "sink.brokers"),
    ("metadata.broker.list", "sink.brokers"),
    ("queue.buffering.max.kbytes", "sink.queue_bytes"),
    ("queue.buffering.max.messages", "flow.in_flight_events"),
    ("transactional.id", "delivery"),
    ("delivery.report.only.error", "the acknowledgement of each event"),
];

// Some round trips to a broker nearby; one that does not answer holds up the others no longer.
const fn default_hold() -> Duration {
    Duration::from_millis(50)
}
const fn default_request_timeout() -> Duration {
    Duration::from_secs(10)
}
const fn default_topic_check() -> Duration {
    Duration::from_secs(60)
}

impl KafkaSink {
    /// A sink with every default.
    #[must_use]
    pub fn new(brokers: &str) -> Self {
        Self {
            brokers: brokers.to_owned(),
            topic: default_topic(),
            topics: Vec::new(),
            create_topics: None,
            on_refused: None,
            trace_headers: true,
            queue_bytes: default_queue(),
            hold: default_hold(),
            request_timeout: default_request_timeout(),
            topic_check: default_topic_check(),
            librdkafka: BTreeMap::new(),
        }
    }

    /// The raw options as librdkafka takes them.
    #[must_use]
    pub fn raw(&self) -> Vec<(&str, String)> {
        let text = |v: &toml::Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
        self.librdkafka.iter().map(|(k, v)| (k.as_str(), text(v))).collect()
    }

    fn validate(&self) -> Result<()> {
        if self.brokers.trim().is_empty() {
            return Err(Error::new(Kind::Config, "sink.brokers is empty")
                .at("field", "sink.brokers")
                .remedy("give host:port, or --brokers"));
        }
        at_least(&[
            ("sink.queue_bytes", self.queue_bytes.as_u64(), 1 << 20),
            ("sink.request_timeout (ms)", millis(self.request_timeout), 1),
            ("sink.topic_check (ms)", millis(self.topic_check), 1),
        ])?;
        at_most(&[
            // All that librdkafka takes.
            ("sink.request_timeout", self.request_timeout, Duration::from_secs(3600)),
            // A second more on each event is what nobody wants.
            ("sink.hold", self.hold, Duration::from_secs(1)),
        ])?;
        for (name, value) in self.raw() {
            let owner = GUARANTEED.iter().chain(ALIASES).find(|(n, _)| *n == name);
            if let Some((_, owner)) = owner
                && *owner != value
            {
                return Err(Error::new(Kind::Config, format!("sink.librdkafka.\"{name}\" = \"{value}\" would undo a guarantee ({owner})"))
                    .at("field", "sink.librdkafka")
                    .remedy(format!("delete \"{name}\" from [sink.librdkafka]")));
            }
        }
        if let Some(create) = &self.create_topics
            && (create.partitions < 1 || create.replication == 0 || create.replication < -1)
        {
            return Err(Error::new(
                Kind::Config,
                "sink.create_topics: partitions must be 1 or more, replication 1 or more (or -1 for the broker's default)",
            ));
        }
        Ok(())
    }
}

impl LinesSink {
    /// A sink with every default.
    #[must_use]
    pub fn new(path: Option<PathBuf>) -> Self {
        Self { path, topic: default_topic(), topics: Vec::new() }
    }
}

impl Sink {
    pub(super) fn validate(&self) -> Result<()> {
        TopicTemplate::parse(self.topic()).map_err(|e| e.at("field", "sink.topic"))?;
        match self {
            Sink::Kafka(kafka) => kafka.validate(),
            Sink::Stdout(lines) if lines.path.is_some() => {
                Err(Error::new(Kind::Config, "sink.path with kind = \"stdout\"").remedy("write kind = \"file\", or delete path"))
            }
            Sink::File(lines) if lines.path.is_none() => Err(Error::new(Kind::Config, "sink.path is missing")
                .at("field", "sink.path")
                .remedy("name the file that lines are appended to")),
            Sink::Stdout(_) | Sink::File(_) => Ok(()),
        }
    }

    /// The topic template.
    #[must_use]
    pub fn topic(&self) -> &str {
        match self {
            Sink::Kafka(kafka) => &kafka.topic,
            Sink::Stdout(lines) | Sink::File(lines) => &lines.topic,
        }
    }

    /// Sets the topic template.
    pub fn set_topic(&mut self, topic: String) {
        match self {
            Sink::Kafka(kafka) => kafka.topic = topic,
            Sink::Stdout(lines) | Sink::File(lines) => lines.topic = topic,
        }
    }

    /// What follows from a message that can never be published.
    #[must_use]
    pub fn on_refused(&self) -> Option<OnFailure> {
        match self {
            Sink::Kafka(kafka) => kafka.on_refused,
            Sink::Stdout(_) | Sink::File(_) => None,
        }
    }

    /// Topics allowed beside the template's.
    #[must_use]
    pub fn topics(&self) -> &[String] {
        match self {
            Sink::Kafka(kafka) => &kafka.topics,
            Sink::Stdout(lines) | Sink::File(lines) => &lines.topics,
        }
    }
}
