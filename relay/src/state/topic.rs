//! A compacted topic of one partition.

use super::Records;
use crate::config::{GUARANTEED, KafkaSink};
use crate::error::{Context as _, Error, Kind, Result};
use crate::sink::kafka::client_config;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::types::RDKafkaErrorCode as Code;
use rdkafka::util::Timeout;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::Value;
use std::time::{Duration, Instant};

/// Between two looks for a topic that was made a moment ago.
const UNKNOWN_PAUSE: Duration = Duration::from_millis(50);

/// See the module.
pub struct Topic {
    name: String,
    replication: i32,
    /// Without the options that only producers know.
    client: ClientConfig,
    producer: FutureProducer,
    /// One request to the cluster.
    request: Duration,
}

impl Topic {
    pub(super) fn new(sink: &KafkaSink, name: String) -> Result<Self> {
        let mut client = client_config(sink)?;
        let bad = |e: Error| e.at("field", "sink.librdkafka").remedy("correct the option it names");
        let producer = client.create().or_kind(Kind::Config, "librdkafka refuses the configuration").map_err(bad)?;
        for (option, _) in GUARANTEED {
            client.remove(option);
        }
        client.remove("linger.ms");
        client.set("group.id", "relay-state").set("enable.auto.commit", "false").set("enable.partition.eof", "false");
        Ok(Self {
            name,
            replication: sink.create_topics.as_ref().map_or(-1, |c| c.replication),
            client,
            producer,
            request: sink.request_timeout,
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    fn failed(&self, what: &str, error: KafkaError) -> Error {
        let denied = matches!(error.rdkafka_error_code(), Some(Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed));
        let kind = if denied { Kind::BrokerUnusable } else { Kind::BrokerUnavailable };
        Error::new(kind, what).cause(error).at("topic", &self.name).remedy(
            "the relay keeps its positions there: let it create, describe, read and write this topic, or create it yourself \
             (one partition, cleanup.policy=compact)",
        )
    }

    /// Makes the topic if it is missing.
    async fn create(&self) -> Result<()> {
        let admin: AdminClient<_> = self.client.create().or_kind(Kind::Config, "librdkafka refuses the configuration")?;
        let topic = NewTopic::new(&self.name, 1, TopicReplication::Fixed(self.replication)).set("cleanup.policy", "compact");
        let options = AdminOptions::new().operation_timeout(Some(self.request));
        let made = admin.create_topics([&topic], &options).await.map_err(|e| self.failed("cannot create the state topic", e))?;
        match made.into_iter().next() {
            None | Some(Ok(_) | Err((_, Code::TopicAlreadyExists))) => Ok(()),
            Some(Err((_, code))) => Err(self.failed("cannot create the state topic", KafkaError::AdminOp(code))),
        }
    }

    pub(super) async fn load(&self) -> Result<Records> {
        self.create().await?;
        self.read(self.request).await.map_err(|e| self.failed("cannot read the state topic", e))
    }

    /// Nothing is remembered where there is no topic.
    pub(super) async fn peek(&self) -> Result<Records> {
        match self.read(Duration::ZERO).await {
            Err(error) if is_unknown(&error) => Ok(Records::new()),
            read => read.map_err(|e| self.failed("cannot read the state topic", e)),
        }
    }

    /// `patience` is how long a topic may be unknown.
    async fn read(&self, patience: Duration) -> std::result::Result<Records, KafkaError> {
        let (client, name, request) = (self.client.clone(), self.name.clone(), self.request);
        let read = tokio::task::spawn_blocking(move || read(&client, &name, patience, request)).await;
        read.unwrap_or(Err(KafkaError::Canceled))
    }

    pub(super) async fn put(&self, key: &str, value: &Value) -> Result<()> {
        let text = value.to_string();
        let record = FutureRecord::to(&self.name).partition(0).key(key).payload(&text);
        let sent = self.producer.send(record, Timeout::Never).await;
        sent.map(drop).map_err(|(error, _)| self.failed("cannot write the state topic", error))
    }
}

fn is_unknown(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(Code::UnknownPartition | Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::LeaderNotAvailable)
    )
}

/// Everything up to the end of the partition as it is now.
fn read(client: &ClientConfig, name: &str, patience: Duration, request: Duration) -> std::result::Result<Records, KafkaError> {
    let consumer: BaseConsumer = client.create()?;
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset(name, 0, Offset::Beginning)?;
    let (patience, deadline) = (Instant::now() + patience, Instant::now() + request);
    let end = loop {
        match consumer.fetch_watermarks(name, 0, request) {
            Ok((_, end)) => break end,
            // Made is not yet known everywhere.
            Err(error) if is_unknown(&error) && Instant::now() < patience => std::thread::park_timeout(UNKNOWN_PAUSE),
            Err(error) => return Err(error),
        }
    };
    consumer.assign(&assignment)?;
    let mut records = Records::new();
    let mut next = 0;
    while next < end {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                next = message.offset() + 1;
                let key = String::from_utf8_lossy(message.key().unwrap_or_default()).into_owned();
                match message.payload().and_then(|bytes| serde_json::from_slice(bytes).ok()) {
                    Some(value) => drop(records.insert(key, value)),
                    None => drop(records.remove(&key)),
                }
            }
            Some(Err(error)) => return Err(error),
            // The records at the end may have been compacted away, or be markers.
            None => next = consumer.position()?.find_partition(name, 0).and_then(|p| p.offset().to_raw()).unwrap_or(next).max(next),
        }
        if next < end && Instant::now() >= deadline {
            return Err(KafkaError::MessageConsumption(Code::OperationTimedOut));
        }
    }
    Ok(records)
}
