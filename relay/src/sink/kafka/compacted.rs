//! A compacted topic of one partition that is read as a whole: the state of a
//! pipeline, its dead letters.

use super::client_config;
use crate::config::{GUARANTEED, KafkaSink};
use crate::error::{Context as _, Error, Kind, Result};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::types::RDKafkaErrorCode as Code;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use std::time::{Duration, Instant};

/// Between two looks for a topic that was made a moment ago.
const UNKNOWN_PAUSE: Duration = Duration::from_millis(50);

/// How long the broker holds back the answer that there is nothing more: every read ends with
/// one, and a relay that starts waits for it. librdkafka's default is half a second.
const END_WAIT: Duration = Duration::from_millis(10);

/// See the module.
#[derive(Clone)]
pub struct Compacted {
    name: String,
    /// What lies there, for people: `the state`.
    what: &'static str,
    replication: i32,
    /// Without the options that only producers know.
    client: ClientConfig,
    /// One request to the cluster.
    request: Duration,
}

impl Compacted {
    /// Connects lazily.
    ///
    /// # Errors
    /// None today; conflicts were refused when the configuration was read.
    pub fn new(sink: &KafkaSink, name: String, what: &'static str) -> Result<Self> {
        let mut client = client_config(sink)?;
        for (option, _) in GUARANTEED {
            client.remove(option);
        }
        client.remove("linger.ms");
        client.set("group.id", "relay-state").set("enable.auto.commit", "false").set("enable.partition.eof", "true");
        client.set("fetch.wait.max.ms", END_WAIT.as_millis().to_string());
        // Nothing of a transaction that is open or was given up.
        client.set("isolation.level", "read_committed");
        Ok(Self {
            name,
            what,
            replication: sink.create_topics.as_ref().map_or(-1, |c| c.replication),
            client,
            request: sink.request_timeout,
        })
    }

    /// The topic.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What a failure there means.
    #[must_use]
    pub fn failed(&self, doing: &str, error: KafkaError) -> Error {
        let denied = matches!(error.rdkafka_error_code(), Some(Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed));
        let kind = if denied { Kind::BrokerUnusable } else { Kind::BrokerUnavailable };
        Error::new(kind, format!("cannot {doing} {}", self.what)).cause(error).at("topic", &self.name).remedy(
            "let the relay create, describe, read and write this topic, or create it yourself (one partition, cleanup.policy=compact)",
        )
    }

    /// Makes the topic if it is missing, with these options beside the policy.
    ///
    /// # Errors
    /// `BrokerUnavailable` or `BrokerUnusable`.
    pub async fn create(&self, options: &[(&str, &str)]) -> Result<()> {
        let admin: AdminClient<_> = self.client.create().or_kind(Kind::Config, "librdkafka refuses the configuration")?;
        let mut topic = NewTopic::new(&self.name, 1, TopicReplication::Fixed(self.replication)).set("cleanup.policy", "compact");
        for (name, value) in options {
            topic = topic.set(name, value);
        }
        let options = AdminOptions::new().operation_timeout(Some(self.request));
        let made = admin.create_topics([&topic], &options).await.map_err(|e| self.failed("create", e))?;
        match made.into_iter().next() {
            None | Some(Ok(_) | Err((_, Code::TopicAlreadyExists))) => Ok(()),
            Some(Err((_, code))) => Err(self.failed("create", KafkaError::AdminOp(code))),
        }
    }

    /// Shows every record up to the end as it is now to `see`, with its key; a value
    /// of `None` takes back what was there under that key. A topic that is not there
    /// has none, unless it `must` be.
    ///
    /// # Errors
    /// `BrokerUnavailable`, `BrokerUnusable`.
    pub async fn read<T: Send + 'static>(
        &self,
        must: bool,
        mut seen: T,
        see: impl Fn(&mut T, String, Option<&[u8]>) + Send + 'static,
    ) -> Result<T> {
        let topic = self.clone();
        let read = tokio::task::spawn_blocking(move || topic.scan(must, |key, value| see(&mut seen, key, value)).map(|()| seen)).await;
        read.unwrap_or(Err(KafkaError::Canceled)).map_err(|e| self.failed("read", e))
    }

    fn scan(&self, must: bool, mut see: impl FnMut(String, Option<&[u8]>)) -> std::result::Result<(), KafkaError> {
        let consumer: BaseConsumer = self.client.create()?;
        let mut assignment = TopicPartitionList::new();
        assignment.add_partition_offset(&self.name, 0, Offset::Beginning)?;
        let patience = Instant::now() + if must { self.request } else { Duration::ZERO };
        loop {
            match consumer.fetch_watermarks(&self.name, 0, self.request) {
                Ok(_) => break,
                // Made is not yet known everywhere.
                Err(error) if is_unknown(&error) && Instant::now() < patience => std::thread::park_timeout(UNKNOWN_PAUSE),
                Err(error) if is_unknown(&error) && !must => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        consumer.assign(&assignment)?;
        let mut deadline = Instant::now() + self.request;
        loop {
            match consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => {
                    // As long as they come.
                    deadline = Instant::now() + self.request;
                    see(String::from_utf8_lossy(message.key().unwrap_or_default()).into_owned(), message.payload());
                }
                // Also behind records that were compacted away, and marks of transactions.
                Some(Err(KafkaError::PartitionEOF(_))) => break,
                Some(Err(error)) => return Err(error),
                None if Instant::now() >= deadline => return Err(KafkaError::MessageConsumption(Code::OperationTimedOut)),
                None => {}
            }
        }
        Ok(())
    }
}

fn is_unknown(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(Code::UnknownPartition | Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::LeaderNotAvailable)
    )
}
