use relay_guest::json::Path;
use relay_guest::{Event, Failure, Operation};
use serde::{Deserialize, Deserializer};
use serde_json::{Number, Value};

/// Holds when every part that is given holds.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Condition {
    pub event_type: Option<Vec<String>>,
    pub entity: Option<Vec<String>>,
    pub operation: Option<Vec<OperationName>>,
    /// A value in the payload; with one of the three below. A plural path
    /// (`items[].sku`) asks whether any of its values does.
    pub field: Option<Path>,
    #[serde(deserialize_with = "present")]
    pub equals: Option<Value>,
    #[serde(rename = "in")]
    pub one_of: Option<Vec<Value>>,
    /// JSON null exists.
    pub exists: Option<bool>,
}

/// `null` is a value to compare with, not an absent setting.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// The contract's name of an operation.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OperationName {
    Insert,
    Update,
    Delete,
    Truncate,
    Snapshot,
    Message,
}

impl OperationName {
    fn is(self, operation: Operation) -> bool {
        let named = match self {
            Self::Insert => Operation::Insert,
            Self::Update => Operation::Update,
            Self::Delete => Operation::Delete,
            Self::Truncate => Operation::Truncate,
            Self::Snapshot => Operation::Snapshot,
            Self::Message => Operation::Message,
        };
        named == operation
    }
}

impl Condition {
    pub(crate) fn check(&self) -> Result<(), String> {
        let tests = [self.equals.is_some(), self.one_of.is_some(), self.exists.is_some()];
        match (self.field.is_some(), tests.iter().filter(|given| **given).count()) {
            (true, 1) => Ok(()),
            (true, _) => Err("`field` needs one of `equals`, `in`, `exists`".to_owned()),
            (false, 0) if self.event_type.is_some() => Ok(()),
            (false, 0) if self.entity.is_some() || self.operation.is_some() => Ok(()),
            (false, 0) => Err("an empty condition would hold for every event".to_owned()),
            (false, _) => Err("`equals`, `in`, `exists` need a `field`".to_owned()),
        }
    }

    pub(crate) fn holds(&self, event: &Event) -> Result<bool, Failure> {
        let names = |names: &Option<Vec<String>>, name: &str| names.as_ref().is_none_or(|names| names.iter().any(|known| known == name));
        let operations = |names: &Vec<OperationName>| names.iter().any(|name| name.is(event.operation()));
        // The payload is read last, and only if the rest holds.
        Ok(names(&self.event_type, event.event_type())
            && names(&self.entity, event.entity())
            && self.operation.as_ref().is_none_or(operations)
            && self.field_holds(event)?)
    }

    fn field_holds(&self, event: &Event) -> Result<bool, Failure> {
        let Some(path) = &self.field else {
            return Ok(true);
        };
        let mut found = false;
        let mut met = false;
        if let Some(payload) = event.payload_str()? {
            path.visit(payload, &mut |value| {
                found = true;
                met = met || self.value_holds(value);
            })?;
        }
        Ok(self.exists.map_or(met, |exists| exists == found))
    }

    fn value_holds(&self, text: &str) -> bool {
        let wanted = || self.equals.iter().chain(self.one_of.iter().flatten());
        if wanted().next().is_none() {
            return false;
        }
        // A number out of range and a string without UTF-8 form equal nothing.
        serde_json::from_str(text).is_ok_and(|value| wanted().any(|wanted| equal(wanted, &value)))
    }
}

/// As JSON readers compare: members in any order, 1.0 is 1. Numbers that are
/// not integers of 64 bits are compared as doubles.
fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => equal_numbers(a, b),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            let same = |(key, value)| b.get(key).is_some_and(|other| equal(value, other));
            a.len() == b.len() && a.iter().all(same)
        }
        _ => a == b,
    }
}

fn equal_numbers(a: &Number, b: &Number) -> bool {
    let integer = |n: &Number| n.as_i128();
    match (integer(a), integer(b)) {
        (Some(a), Some(b)) => a == b,
        _ => a.as_f64().is_some() && a.as_f64() == b.as_f64(),
    }
}
