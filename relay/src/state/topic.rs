//! A compacted topic of one partition.

use super::Records;
use crate::config::KafkaSink;
use crate::error::{Context as _, Error, Kind, Result};
use crate::sink::kafka::{Compacted, client_config};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::util::Timeout;
use serde_json::Value;

/// See the module.
pub struct Topic {
    topic: Compacted,
    producer: FutureProducer,
}

impl Topic {
    pub(super) fn new(sink: &KafkaSink, name: String) -> Result<Self> {
        let bad = |e: Error| e.at("field", "sink.librdkafka").remedy("correct the option it names");
        let producer = client_config(sink)?
            .set("linger.ms", "0")
            .create()
            .or_kind(Kind::Config, "librdkafka refuses the configuration")
            .map_err(bad)?;
        Ok(Self { topic: Compacted::new(sink, name, "the state topic, where positions are")?, producer })
    }

    pub(super) fn name(&self) -> &str {
        self.topic.name()
    }

    pub(super) async fn load(&self) -> Result<Records> {
        self.topic.create(&[]).await?;
        self.read(true).await
    }

    /// Nothing is remembered where there is no topic.
    pub(super) async fn peek(&self) -> Result<Records> {
        self.read(false).await
    }

    async fn read(&self, must: bool) -> Result<Records> {
        let keep =
            |records: &mut Records, key: String, value: Option<&[u8]>| match value.and_then(|bytes| serde_json::from_slice(bytes).ok()) {
                Some(value) => drop(records.insert(key, value)),
                None => drop(records.remove(&key)),
            };
        self.topic.read(must, Records::new(), keep).await
    }

    pub(super) async fn put(&self, key: &str, value: &Value) -> Result<()> {
        let text = value.to_string();
        let record = FutureRecord::to(self.name()).partition(0).key(key).payload(&text);
        let sent = self.producer.send(record, Timeout::Never).await;
        sent.map(drop).map_err(|(error, _)| self.topic.failed("write", error))
    }
}
