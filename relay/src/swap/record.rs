//! What is remembered of the active generation, and who wins at a start: an
//! entry of `relay.toml` if it changed since the swap, else what was swapped in.

use crate::error::Result;
use crate::transform::{StageSpec, digest};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Key of the record in the pipeline's state.
pub const ACTIVE: &str = "generation/active";

/// Key of the history.
pub const HISTORY: &str = "generation/history";

/// The active generation. Settings are not in it: they may hold secrets.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// Grows with every change of one writer.
    pub revision: u64,
    /// Which process wrote it.
    pub writer: String,
    /// The generation's number.
    pub generation: u64,
    /// The highest number that was given.
    pub newest: u64,
    /// Its stages.
    pub stages: Vec<StageRecord>,
    /// Since when, RFC 3339.
    pub since: String,
    /// Whether it is still watched beside the one before.
    pub probation: bool,
    /// The one before, if it is kept.
    pub previous: Option<PreviousRecord>,
}

/// The generation before the active one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PreviousRecord {
    /// Its number.
    pub generation: u64,
    /// Its stages.
    pub stages: Vec<StageRecord>,
}

/// One stage of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageRecord {
    /// The transform's name.
    pub name: String,
    /// sha256 of its component.
    pub digest: String,
    /// sha256 of its settings, limits, predicate and topics.
    pub shape: String,
    /// What `relay.toml` said of it at that time; see [`entry`].
    pub entry: String,
}

/// Settings, limits, predicate and topics as one digest.
#[must_use]
pub fn shape(spec: &StageSpec) -> String {
    // Debug output is stable enough within one release; after an update the file wins.
    let StageSpec { settings, limits, when, topics, on_poison, .. } = spec;
    digest(format!("{settings}\n{limits:?}\n{when:?}\n{topics:?}\n{on_poison:?}").as_bytes())
}

/// An entry of `relay.toml` as one digest: where the component is, what is there
/// now, and the shape. `local` is the file, fetched from a registry or not.
#[must_use]
pub fn entry(spec: &StageSpec, local: &Path) -> String {
    let there = std::fs::read(local).map_or_else(|_| "nothing".to_owned(), |bytes| digest(&bytes));
    digest(format!("{}\n{there}\n{}", spec.path.display(), shape(spec)).as_bytes())
}

/// Who wins for one transform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Winner {
    /// `relay.toml`, for the reason given.
    File(&'static str),
    /// What was swapped in: this component.
    Stored(String),
}

/// Decides; `entry` and `shape` are those of `relay.toml` now.
#[must_use]
pub fn winner(name: &str, entry: &str, shape: &str, stages: &[StageRecord]) -> Winner {
    let Some(stored) = stages.iter().find(|stage| stage.name == name) else {
        return Winner::File("it is new there");
    };
    if stored.entry != entry {
        return Winner::File("its entry changed since");
    }
    if stored.shape != shape {
        // The generation before a reload was brought back, and its settings are
        // written nowhere.
        return Winner::File("settings that were rolled back are still there");
    }
    Winner::Stored(stored.digest.clone())
}

/// Reads the record.
///
/// # Errors
/// `Config` if it is of another version of the relay.
pub fn read(records: &crate::state::Records) -> Result<Option<Record>> {
    crate::state::read(records, ACTIVE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_wins() {
        let stage = StageRecord { name: "a".into(), digest: "swapped".into(), shape: "s".into(), entry: "e".into() };
        let record = [stage];
        assert_eq!(winner("a", "e", "s", &record), Winner::Stored("swapped".into()));
        assert!(matches!(winner("a", "changed", "s", &record), Winner::File(_)));
        assert!(matches!(winner("a", "e", "changed", &record), Winner::File(_)));
        assert!(matches!(winner("b", "e", "s", &record), Winner::File(_)));
    }

    #[test]
    fn an_entry_is_all_that_stands_there() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("x.wasm");
        let config = crate::config::Transform::new(path.clone(), serde_json::Map::new());
        let spec = StageSpec::new(&config, &["t".to_owned()], crate::config::OnFailure::Halt);
        let missing = entry(&spec, &path);
        std::fs::write(&path, "one").expect("writes");
        let one = entry(&spec, &path);
        assert_ne!(missing, one);
        assert_eq!(one, entry(&spec, &path));
        assert_ne!(one, entry(&StageSpec { settings: "{\"a\":1}".into(), ..spec.clone() }, &path));
        std::fs::write(&path, "two").expect("writes");
        assert_ne!(one, entry(&spec, &path));
    }
}
