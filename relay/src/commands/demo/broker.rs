//! The demo's broker: the one given, or librdkafka's own, embedded.

use crate::error::{Context as _, Kind, Result};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Headers as _, Message as _};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// One request; a healthy broker needs milliseconds.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Partitions of each topic.
const PARTITIONS: i32 = 3;

/// One published message.
pub(super) struct Published {
    pub(super) topic: String,
    pub(super) id: String,
    pub(super) key: String,
    pub(super) payload: String,
}

/// See the module.
pub(super) struct Broker {
    pub(super) brokers: String,
    embedded: Option<MockCluster<'static, DefaultProducerContext>>,
    topics: Mutex<Vec<String>>,
}

impl Broker {
    /// Uses the given cluster, or embeds one.
    pub(super) fn open(brokers: Option<&str>) -> Result<Self> {
        let topics = Mutex::default();
        if let Some(brokers) = brokers {
            return Ok(Self { brokers: brokers.to_owned(), embedded: None, topics });
        }
        let embedded = MockCluster::new(1).or_kind(Kind::Internal, "cannot embed a broker")?;
        Ok(Self { brokers: embedded.bootstrap_servers(), embedded: Some(embedded), topics })
    }

    /// Whether the broker lives in this process.
    pub(super) fn is_embedded(&self) -> bool {
        self.embedded.is_some()
    }

    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers).set("client.id", "relay-demo");
        config
    }

    /// Makes a topic.
    pub(super) async fn create_topic(&self, name: &str) -> Result<()> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner).push(name.to_owned());
        if let Some(embedded) = &self.embedded {
            return embedded.create_topic(name, PARTITIONS, 1).or_kind(Kind::Internal, "cannot make a topic");
        }
        let admin: AdminClient<DefaultClientContext> = self.client().create().or_kind(Kind::Config, "librdkafka")?;
        let topic = NewTopic::new(name, PARTITIONS, TopicReplication::Fixed(-1));
        let options = AdminOptions::new().operation_timeout(Some(TIMEOUT));
        let results = admin.create_topics([&topic], &options).await.or_kind(Kind::BrokerUnavailable, "cannot make a topic")?;
        for result in results {
            result.map_err(|(_, code)| anyhow::anyhow!("{code}")).or_kind(Kind::BrokerUnusable, format!("cannot make topic {name}"))?;
        }
        Ok(())
    }

    /// Reads topics from their beginning to their end as it is now.
    pub(super) fn read(&self, topics: &[&str]) -> Result<Vec<Published>> {
        let consumer: BaseConsumer =
            self.client().set("group.id", "relay-demo").set("enable.auto.commit", "false").create().or_kind(Kind::Config, "librdkafka")?;
        let mut list = TopicPartitionList::new();
        let mut left = 0;
        for topic in topics {
            for partition in 0..PARTITIONS {
                list.add_partition_offset(topic, partition, Offset::Beginning).or_kind(Kind::Internal, "a partition")?;
                let (low, high) =
                    consumer.fetch_watermarks(topic, partition, TIMEOUT).or_kind(Kind::BrokerUnavailable, "cannot read the topic")?;
                left += high - low;
            }
        }
        consumer.assign(&list).or_kind(Kind::Internal, "cannot read the topics")?;
        let mut found = Vec::new();
        let deadline = Instant::now() + TIMEOUT;
        while left > 0 && Instant::now() < deadline {
            let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) else { continue };
            left -= 1;
            let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
            let id = message.headers().and_then(|h| h.iter().find(|h| h.key == "id").map(|h| text(h.value)));
            found.push(Published {
                topic: message.topic().to_owned(),
                id: id.unwrap_or_default(),
                key: text(message.key()),
                payload: text(message.payload()),
            });
        }
        Ok(found)
    }

    /// Removes the topics from a cluster that was given.
    pub(super) async fn clean_up(self) {
        let topics = std::mem::take(&mut *self.topics.lock().unwrap_or_else(PoisonError::into_inner));
        if self.embedded.is_some() || topics.is_empty() {
            return;
        }
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        let admin: Result<AdminClient<DefaultClientContext>> = self.client().create().or_kind(Kind::Config, "librdkafka");
        let deleted = match admin {
            Ok(admin) => admin.delete_topics(&names, &AdminOptions::new()).await.map(drop).map_err(|e| e.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = deleted {
            tracing::warn!(error, ?topics, "cannot delete the demo's topics");
        }
    }
}
