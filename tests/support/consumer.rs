//! A consumer that reads every message of some topics from the beginning.

use super::services;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers as _, Message as _};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// One message as it stands in Kafka.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    /// Milliseconds since the epoch.
    pub time: i64,
    pub key: Option<String>,
    pub payload: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Received {
    /// First header of a name as text.
    pub fn header(&self, name: &str) -> Option<String> {
        let value = &self.headers.iter().find(|(n, _)| n == name)?.1;
        Some(String::from_utf8_lossy(value.as_deref()?).into_owned())
    }

    /// The header `id`.
    pub fn id(&self) -> String {
        self.header("id").expect("a header id")
    }

    /// The payload as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(self.payload.as_deref().expect("a payload")).expect("JSON")
    }
}

/// Makes a topic on the shared broker.
pub fn create_topic(name: &str, partitions: i32, config: &[(&str, &str)]) {
    create_topic_on(&services::kafka().brokers, name, partitions, config);
}

/// Makes a topic.
pub fn create_topic_on(brokers: &str, name: &str, partitions: i32, config: &[(&str, &str)]) {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new().set("bootstrap.servers", brokers).create().expect("an admin client");
    let topic = config.iter().fold(NewTopic::new(name, partitions, TopicReplication::Fixed(1)), |t, (k, v)| t.set(k, v));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(30)));
    let results = runtime.block_on(admin.create_topics([&topic], &options)).expect("the request");
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    // Made is not yet known everywhere.
    super::eventually(&format!("topic {name}"), Duration::from_secs(30), || {
        let metadata = admin.inner().fetch_metadata(None, Duration::from_secs(10)).expect("metadata");
        metadata.topics().iter().any(|t| t.name() == name && t.partitions().iter().all(|p| p.leader() >= 0))
    });
}

/// Gives a topic more partitions.
pub fn grow_topic(name: &str, partitions: usize) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", &services::kafka().brokers).create().expect("an admin client");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let results = runtime.block_on(admin.create_partitions([&NewPartitions::new(name, partitions)], &AdminOptions::new()));
    assert!(results.expect("the request").iter().all(Result::is_ok));
    super::eventually(&format!("topic {name} grown"), Duration::from_secs(30), || {
        let metadata = admin.inner().fetch_metadata(Some(name), Duration::from_secs(10)).expect("metadata");
        let partitions_now = metadata.topics()[0].partitions();
        partitions_now.len() == partitions && partitions_now.iter().all(|p| p.leader() >= 0)
    });
}

/// Changes an option of a topic.
pub fn limit_topic(name: &str, option: &str, value: &str) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", &services::kafka().brokers).create().expect("an admin client");
    let change = AlterConfig::new(ResourceSpecifier::Topic(name)).set(option, value);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let results = runtime.block_on(admin.alter_configs([&change], &AdminOptions::new())).expect("the request");
    assert!(results.iter().all(Result::is_ok), "{results:?}");
}

/// See the module.
pub struct Consumer {
    consumer: BaseConsumer,
    brokers: String,
    pub received: Vec<Received>,
    /// Partitions of which everything was read; of one topic only, for their numbers are
    /// all that is told.
    ended: Option<HashSet<i32>>,
}

fn connect(brokers: &str) -> BaseConsumer {
    ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "test")
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .set("fetch.wait.max.ms", "50")
        .create()
        .expect("a consumer")
}

impl Consumer {
    /// Of topics on the shared broker.
    pub fn new(topics: &[&str]) -> Self {
        Self::on(&services::kafka().brokers, topics)
    }

    /// Of topics on a broker.
    pub fn on(brokers: &str, topics: &[&str]) -> Self {
        let consumer = connect(brokers);
        let mut list = TopicPartitionList::new();
        for topic in topics {
            let metadata = consumer.fetch_metadata(Some(topic), Duration::from_secs(30)).expect("metadata");
            for partition in metadata.topics()[0].partitions() {
                list.add_partition_offset(topic, partition.id(), Offset::Beginning).expect("a partition");
            }
        }
        consumer.assign(&list).expect("assigned");
        Self { consumer, brokers: brokers.to_owned(), received: Vec::new(), ended: (topics.len() == 1).then(HashSet::new) }
    }

    /// Reads on until the condition holds.
    pub fn until(&mut self, what: &str, within: Duration, mut condition: impl FnMut(&[Received]) -> bool) -> &[Received] {
        let deadline = Instant::now() + within;
        while !condition(&self.received) {
            assert!(Instant::now() < deadline, "after {within:?} and {} messages still not: {what}", self.received.len());
            self.poll();
        }
        &self.received
    }

    /// Counts messages without keeping them, until there are enough.
    pub fn count_until(&mut self, wanted: u64, within: Duration) {
        let deadline = Instant::now() + within;
        let mut count = 0;
        while count < wanted {
            assert!(Instant::now() < deadline, "after {within:?} only {count} of {wanted} messages");
            count += u64::from(matches!(self.consumer.poll(Duration::from_millis(200)), Some(Ok(_))));
        }
    }

    /// Reads up to the end as it is now.
    pub fn read_to_end(&mut self) -> &[Received] {
        let ends: Vec<_> = self
            .consumer
            .assignment()
            .expect("an assignment")
            .elements()
            .iter()
            .map(|e| {
                let (low, high) = self.consumer.fetch_watermarks(e.topic(), e.partition(), Duration::from_secs(30)).expect("watermarks");
                (e.topic().to_owned(), e.partition(), low, high)
            })
            .collect();
        self.read_on();
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let read = |(topic, partition, low, high): &(String, i32, i64, i64)| {
                let last = |r: &Received| r.topic == *topic && r.partition == *partition && r.offset + 1 >= *high;
                // What is last may be the mark of a transaction.
                high == low || self.received.iter().rev().any(last) || self.ended.as_ref().is_some_and(|ended| ended.contains(partition))
            };
            if ends.iter().all(read) {
                return &self.received;
            }
            assert!(Instant::now() < deadline, "after a minute and {} messages still not the end of the topics", self.received.len());
            self.poll();
        }
    }

    /// Goes on behind what was read, so that the end is told again: what was told of it
    /// before is not true any more.
    fn read_on(&mut self) {
        let Some(ended) = &mut self.ended else { return };
        ended.clear();
        let mut list = TopicPartitionList::new();
        for element in self.consumer.assignment().expect("an assignment").elements() {
            let of = |r: &&Received| r.topic == element.topic() && r.partition == element.partition();
            let next = self.received.iter().rev().find(of).map_or(Offset::Beginning, |last| Offset::Offset(last.offset + 1));
            list.add_partition_offset(element.topic(), element.partition(), next).expect("a partition");
        }
        // To assign the same partitions once more, librdkafka may take amiss.
        self.consumer = connect(&self.brokers);
        self.consumer.assign(&list).expect("assigned");
    }

    fn poll(&mut self) {
        while let Some(message) = self.consumer.poll(Duration::from_millis(50)) {
            if let (Err(KafkaError::PartitionEOF(partition)), Some(ended)) = (&message, &mut self.ended) {
                ended.insert(*partition);
            }
            // The broker may be down for a while in some tests.
            let Ok(message) = message else { continue };
            if let Some(ended) = &mut self.ended {
                ended.remove(&message.partition());
            }
            let headers = message.headers().map(|h| h.iter().map(|h| (h.key.to_owned(), h.value.map(<[u8]>::to_vec))).collect());
            self.received.push(Received {
                topic: message.topic().to_owned(),
                partition: message.partition(),
                offset: message.offset(),
                time: message.timestamp().to_millis().unwrap_or_default(),
                key: message.key().map(|k| String::from_utf8_lossy(k).into_owned()),
                payload: message.payload().map(<[u8]>::to_vec),
                headers: headers.unwrap_or_default(),
            });
        }
    }
}
