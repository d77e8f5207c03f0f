//! Keeps or drops events by conditions; see the README.

mod condition;

use relay_guest::{Event, Failure, FailureKind, Outcome, Transform, Unused};
use serde::Deserialize;

pub use condition::{Condition, OperationName};

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Drop what meets none of these.
    pub keep: Vec<Condition>,
    /// Drop what meets any of these, kept or not.
    pub drop: Vec<Condition>,
    /// What a payload that is not JSON means where a condition has to read it.
    pub invalid: Invalid,
}

/// The contract's name of a kind of failure.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Invalid {
    #[default]
    Poison,
    Halt,
}

impl From<Invalid> for FailureKind {
    fn from(invalid: Invalid) -> Self {
        match invalid {
            Invalid::Poison => Self::Poison,
            Invalid::Halt => Self::Halt,
        }
    }
}

pub struct Filter(Settings);

impl Transform for Filter {
    type Settings = Settings;

    fn new(settings: Settings) -> Result<Self, String> {
        let named = [("keep", &settings.keep), ("drop", &settings.drop)];
        if named.iter().all(|(_, conditions)| conditions.is_empty()) {
            return Err("`keep` or `drop` must have at least one condition".to_owned());
        }
        for (name, conditions) in named {
            for (index, condition) in conditions.iter().enumerate() {
                condition.check().map_err(|error| format!("{name}[{index}]: {error}"))?;
            }
        }
        Ok(Self(settings))
    }

    fn unused(&self) -> Unused {
        let mut conditions = self.0.keep.iter().chain(&self.0.drop);
        Unused { payload: conditions.all(|c| c.field.is_none()), before: true, headers: true }
    }

    fn apply(&self, event: &Event) -> Result<Outcome, Failure> {
        let Settings { keep, drop, .. } = &self.0;
        if !keep.is_empty() && !self.any(keep, event)? {
            return Ok(Outcome::drop("not-kept"));
        }
        Ok(relay_guest::drop_if(self.any(drop, event)?, "dropped"))
    }
}

impl Filter {
    fn any(&self, conditions: &[Condition], event: &Event) -> Result<bool, Failure> {
        for condition in conditions {
            // The one failure of a condition is a payload that is not JSON.
            let held = condition.holds(event).map_err(|failure| Failure { kind: self.0.invalid.into(), ..failure });
            if held? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

relay_guest::export!(Filter, settings = "../settings.schema.json");

#[cfg(test)]
mod tests;
