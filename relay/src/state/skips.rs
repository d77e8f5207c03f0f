//! Events that somebody asked to be skipped, because the relay halts at them.

use super::{Store, read};
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

/// Key of an event's record.
fn key(id: &str) -> String {
    format!("skip/{id}")
}

/// Who asked, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skip {
    /// Who, as they say.
    pub by: String,
    /// When, RFC 3339.
    pub at: String,
}

/// See the module.
pub struct Skips {
    config: Config,
    runtime: Handle,
}

impl Skips {
    /// Those of a pipeline; made within a runtime.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        Self { config: config.clone(), runtime: Handle::current() }
    }

    /// Asks for it.
    ///
    /// # Errors
    /// Those of the store; `Config` where nothing is remembered.
    pub async fn ask(config: &Config, id: &str, skip: &Skip) -> Result<()> {
        let store = Store::open(config)?;
        if matches!(store, Store::Nowhere) {
            return Err(Error::new(Kind::Config, "this pipeline remembers nothing, so it cannot be told").remedy("set state.file"));
        }
        // Makes it, where it is missing.
        store.load().await?;
        store.put(&key(id), skip).await
    }

    /// Whether this event is to be skipped. Looks each time; blocks, not for threads of
    /// the runtime.
    #[must_use]
    pub fn has(&self, id: &str) -> bool {
        let found = self.runtime.block_on(async { read::<Skip>(&Store::open(&self.config)?.peek().await?, &key(id)) });
        match found {
            Ok(Some(Skip { by, at })) => {
                tracing::warn!(id, by, at, "somebody asked that this event be skipped");
                true
            }
            Ok(None) => false,
            Err(error) => {
                tracing::warn!("whether the event is to be skipped cannot be known: {error}");
                false
            }
        }
    }
}
