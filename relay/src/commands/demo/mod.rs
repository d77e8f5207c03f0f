//! `relay demo`: the pattern's own story on a real Postgres. First a service
//! that publishes by itself, killed and rolled back at the wrong moments; then
//! the same service writing an outbox, relayed through two components.

mod broker;
mod scratch;
mod service;
mod story;

use crate::error::{Error, Kind, Result};
use broker::Broker;
use clap::Args;
use scratch::Database;
use std::path::PathBuf;

/// Arguments of `relay demo`.
#[derive(Debug, Args)]
#[command(after_help = "Everything the demo makes (a schema, some topics) is removed at its end.\n\
Examples:
  relay demo                                               starts a scratch Postgres and an embedded broker
  relay demo --source postgres://me@localhost/test --brokers localhost:9092")]
pub struct Demo {
    /// Postgres to use; without it a scratch server is started.
    #[arg(long, value_name = "URL", env = "DATABASE_URL", hide_env_values = true)]
    source: Option<String>,
    /// Kafka to use; without it a broker is embedded in this process.
    #[arg(long, value_name = "LIST", env = "KAFKA_BROKERS")]
    brokers: Option<String>,
    /// Where redact.wasm and route.wasm are.
    #[arg(long, value_name = "DIR", default_value = "target/components")]
    components: PathBuf,
    /// Changes the service makes in each act.
    #[arg(long, default_value_t = 300)]
    changes: u32,
    /// Play the service instead of directing it; used by the demo itself.
    #[arg(long, hide = true)]
    play: Option<service::Part>,
    /// Topic of the part.
    #[arg(long, hide = true, default_value = "")]
    play_topic: String,
}

impl Demo {
    /// Runs the story, or one part of it.
    pub async fn execute(self) -> Result<()> {
        if let Some(part) = self.play {
            let (source, brokers) = self
                .source
                .as_deref()
                .zip(self.brokers.as_deref())
                .ok_or_else(|| Error::new(Kind::Config, "--play is for the demo itself").remedy("run `relay demo` without it"))?;
            return service::play(part, source, brokers, &self.play_topic, self.changes).await;
        }
        for name in ["redact.wasm", "route.wasm"] {
            let path = self.components.join(name);
            if !path.is_file() {
                return Err(Error::new(Kind::Component, "a transform of the demo is missing")
                    .at("file", path.display())
                    .remedy("run `make transforms`, or name their directory with --components"));
            }
        }
        let database = Database::open(self.source.as_deref()).await?;
        let broker = Broker::open(self.brokers.as_deref())?;
        let stage = story::Stage { database: &database, broker: &broker, components: &self.components, changes: self.changes };
        let result = story::tell(&stage).await;
        broker.clean_up().await;
        database.clean_up().await;
        result
    }
}
