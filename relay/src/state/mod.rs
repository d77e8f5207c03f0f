//! What a pipeline remembers outside its source: which server it reads, how far
//! it is published, how far snapshots are. A compacted topic beside a Kafka
//! sink, a file beside a file; with stdout as the sink nothing is remembered.

mod file;
mod life;
mod server;
mod skips;
mod topic;

pub use life::{LIFE, Life, is_of};
pub use server::Server;
pub use skips::{Skip, Skips};

use crate::config::{Config, Sink};
use crate::error::{Context as _, Error, Kind, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Records by key.
pub type Records = BTreeMap<String, Value>;

/// See the module.
pub enum Store {
    /// A topic with one partition, compacted.
    Topic(Box<topic::Topic>),
    /// A file of JSON, replaced as a whole.
    File(file::File),
    /// Nowhere: what is put is gone with the process.
    Nowhere,
}

impl Store {
    /// The store that goes with a configuration. Connects lazily.
    ///
    /// # Errors
    /// `Config` for options librdkafka refuses.
    pub fn open(config: &Config) -> Result<Self> {
        let beside = |path: &PathBuf| {
            let mut name = path.file_name().unwrap_or_default().to_owned();
            name.push(format!(".{}.state.json", config.name));
            path.with_file_name(name)
        };
        Ok(match &config.sink {
            Sink::Kafka(kafka) => Self::Topic(Box::new(topic::Topic::new(kafka, config.state_topic())?)),
            Sink::File(lines) if config.state.file.is_none() => {
                lines.path.as_ref().map_or(Self::Nowhere, |path| Self::File(file::File::new(beside(path))))
            }
            Sink::File(_) | Sink::Stdout(_) => config.state.file.clone().map_or(Self::Nowhere, |path| Self::File(file::File::new(path))),
        })
    }

    /// Where it is, for logs.
    #[must_use]
    pub fn place(&self) -> String {
        match self {
            Self::Topic(topic) => format!("topic {}", topic.name()),
            Self::File(file) => file.0.display().to_string(),
            Self::Nowhere => "nowhere".to_owned(),
        }
    }

    /// Everything that is remembered; makes the topic if it is missing.
    ///
    /// # Errors
    /// `BrokerUnavailable`, `BrokerUnusable` or `Io`.
    pub async fn load(&self) -> Result<Records> {
        match self {
            Self::Topic(topic) => topic.load().await,
            Self::File(file) => file.load(),
            Self::Nowhere => Ok(Records::new()),
        }
    }

    /// Everything that is remembered, without making anything.
    ///
    /// # Errors
    /// As [`Store::load`].
    pub async fn peek(&self) -> Result<Records> {
        match self {
            Self::Topic(topic) => topic.peek().await,
            Self::File(_) | Self::Nowhere => self.load().await,
        }
    }

    /// Remembers a record; durable when this returns.
    ///
    /// # Errors
    /// As [`Store::load`].
    pub async fn put(&self, key: &str, value: &impl Serialize) -> Result<()> {
        let value = serde_json::to_value(value).or_kind(Kind::Internal, "a state record is no JSON")?;
        match self {
            Self::Topic(topic) => topic.put(key, &value).await,
            Self::File(file) => file.put(key, value),
            Self::Nowhere => Ok(()),
        }
    }
}

/// Reads one record.
///
/// # Errors
/// `Config` if it is of another version of the relay.
pub fn read<T: DeserializeOwned>(records: &Records, key: &str) -> Result<Option<T>> {
    let Some(value) = records.get(key) else { return Ok(None) };
    serde_json::from_value(value.clone()).map(Some).map_err(|cause| {
        Error::new(Kind::Config, format!("the state record `{key}` is not one this relay understands"))
            .cause(cause)
            .remedy("was it written by a newer relay? use that one, or another pipeline name")
    })
}
