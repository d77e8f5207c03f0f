//! The relays of a pipeline, one after the other: how each ended is remembered, so that
//! an event that kills them is found.

use super::{Background, HEALTHY, Pipeline};
use crate::checkpoint::Ledger;
use crate::config::{Config, OnFailure};
use crate::error::Result;
use crate::lane::Trial;
use std::sync::Arc;

/// A relay that owns its pipeline, for as long as a session.
pub(super) struct Living {
    pub(super) trial: Arc<Trial>,
    well: Background,
}

impl Living {
    /// The session ends by itself.
    pub(super) async fn end(self, well: bool) {
        // Nobody says after that that it lives.
        drop(self.well);
        self.trial.end(well).await;
    }
}

impl Pipeline {
    /// Begins; nothing where there is no place for letters.
    ///
    /// # Errors
    /// Those of [`Trial::begin`].
    pub(super) async fn living(&self, ledger: &Arc<Ledger>) -> Result<Option<Living>> {
        let (Some(letters), Some(store)) = (&self.config.dead_letters, &self.store) else { return Ok(None) };
        let events = self.config.flow.in_flight_events as usize;
        let trial = Arc::new(Trial::begin(Arc::clone(store), &self.relay, letters, events, follows(&self.config)).await?);
        let well = Background(tokio::spawn(live_well(Arc::clone(&trial), Arc::clone(ledger))));
        Ok(Some(Living { trial, well }))
    }
}

/// What the strictest of the transforms says, for it is not known in which one the event
/// is deadly.
fn follows(config: &Config) -> OnFailure {
    let said = config.transforms.iter().map(|t| config.on_failure(t.on_poison));
    said.max().unwrap_or_else(|| config.on_failure(None))
}

/// Says so once the session has lived for a while, and as often as needed.
async fn live_well(trial: Arc<Trial>, ledger: Arc<Ledger>) {
    loop {
        tokio::time::sleep(HEALTHY).await;
        // Of what was in flight when relays died, nothing is left to be run.
        if ledger.progress().in_flight == 0 {
            trial.relax();
        }
        match trial.live_well().await {
            Ok(true) => return,
            Ok(false) => {}
            Err(error) => tracing::debug!(%error, "that the relay lives well was not recorded"),
        }
    }
}
