//! Masks, removes and renames fields of a JSON payload; see the README.
//!
//! The payload is read once and written once; all that is not named is copied
//! by its text, so digits, escapes, order and white space stay.

mod tree;
mod walk;

use std::collections::BTreeMap;

use relay_guest::json::Path;
use relay_guest::{Event, Failure, Message, Outcome, Transform, Unused};
use serde::Deserialize;

use tree::Node;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// What to mask or remove.
    pub fields: Vec<Path>,
    /// What stands in a masked field; `"***"` if not set.
    #[serde(deserialize_with = "present")]
    pub replace: Option<serde_json::Value>,
    /// Remove the fields instead of masking them.
    pub remove: bool,
    /// New names for keys, by path; each key stays where it is.
    pub rename: BTreeMap<String, String>,
}

/// `null` is a value to replace with, not an absent setting.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<serde_json::Value>, D::Error> {
    serde_json::Value::deserialize(deserializer).map(Some)
}

pub struct Redact {
    root: Node,
    /// JSON text put in place of a field; `None` removes it.
    replace: Option<String>,
}

impl Transform for Redact {
    type Settings = Settings;

    fn new(settings: Settings) -> Result<Self, String> {
        if settings.fields.is_empty() && settings.rename.is_empty() {
            return Err("`fields` or `rename` must name at least one path".to_owned());
        }
        if settings.remove && settings.replace.is_some() {
            return Err("`replace` has no use with `remove`: give one of them".to_owned());
        }
        let mut root = Node::default();
        for path in &settings.fields {
            root.add(path.steps()).hit = true;
        }
        for (path, name) in &settings.rename {
            root.rename(path, name, settings.remove).map_err(|error| format!("rename.{path}: {error}"))?;
        }
        let replace = match settings.replace {
            _ if settings.remove => None,
            None => Some("\"***\"".to_owned()),
            Some(value) => Some(value.to_string()),
        };
        Ok(Self { root, replace })
    }

    fn unused(&self) -> Unused {
        Unused { before: true, headers: true, ..Unused::default() }
    }

    fn apply(&self, event: &Event) -> Result<Outcome, Failure> {
        let Some(text) = event.payload_str()? else {
            return Ok(Outcome::Pass);
        };
        Ok(match walk::rewrite(text, &self.root, self.replace.as_deref())? {
            None => Outcome::Pass,
            Some(text) => Message::new().payload(text).into(),
        })
    }
}

relay_guest::export!(Redact, settings = "../settings.schema.json");

#[cfg(test)]
mod tests;
