//! Masks one member of a JSON payload, and drops test events.

use relay_guest::{Event, Failure, Outcome, Transform, map_object};
use serde::Deserialize;

/// Its fields are the settings.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mask {
    #[serde(default = "email")]
    mask: String,
}

fn email() -> String {
    "email".to_owned()
}

impl Transform for Mask {
    type Settings = Self;

    fn new(settings: Self) -> Result<Self, String> {
        Ok(settings)
    }

    /// What becomes of one event.
    fn apply(&self, event: &Event) -> Result<Outcome, Failure> {
        map_object(event, |row| {
            if row.get("test") == Some(&true.into()) {
                return Ok(Some(Outcome::drop("test")));
            }
            if let Some(value) = row.get_mut(&self.mask) {
                *value = "***".into();
            }
            Ok(None)
        })
    }
}

relay_guest::export!(Mask, settings = "../settings.schema.json");

#[cfg(test)]
mod tests {
    use super::*;
    use relay_guest::{Message, check_schema, create};

    fn apply(payload: &str) -> Result<Outcome, Failure> {
        let mask: Mask = create("{}").unwrap();
        mask.apply(&Event::new("1").with_payload(payload))
    }

    #[test]
    fn masks_drops_and_passes() {
        let masked = Message::new().payload(br#"{"id":1.10,"email":"***"}"#.to_vec());
        assert_eq!(apply(r#"{"id":1.10,"email":"a@b"}"#), Ok(masked.into()));
        assert_eq!(apply(r#"{"test":true}"#), Ok(Outcome::drop("test")));
        assert_eq!(apply(r#"{"id":1}"#), Ok(Outcome::Pass));
        assert_eq!(apply("not JSON").unwrap_err().code, "invalid-json");
    }

    #[test]
    fn settings_are_refused_by_name() {
        let error = create::<Mask>(r#"{"maks":"card"}"#).err().unwrap();
        assert!(error.contains("`maks`"), "{error}");
    }

    #[test]
    fn the_schema_is_that_of_the_settings() {
        let schema = include_str!("../settings.schema.json");
        assert_eq!(check_schema::<Mask>(schema), Ok(()));
    }
}
