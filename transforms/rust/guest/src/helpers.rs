use serde_json::Value;

use crate::{Event, Failure, Message, Operation, Outcome};

/// Edits the payload as JSON. Tombstones and deletes pass untouched, and so
/// does an event whose JSON text the edit leaves as it was.
///
/// A payload that is not JSON is poison `invalid-json`. The text is written
/// anew: white space goes, key order and (feature `exact-numbers`) the digits
/// of numbers stay, of a repeated key only the last value is kept.
pub fn map_json(event: &Event, edit: impl FnOnce(&mut Value) -> Result<(), Failure>) -> Result<Outcome, Failure> {
    if event.operation() == Operation::Delete || event.payload().is_none() {
        return Ok(Outcome::Pass);
    }
    let mut value = event.json::<Value>()?;
    edit(&mut value)?;
    let message = Message::new().payload_json(&value)?;
    if let Some(crate::Content::Bytes(bytes)) = &message.payload
        && event.payload() == Some(bytes)
    {
        return Ok(Outcome::Pass);
    }
    Ok(message.into())
}

/// The event as it is, to another topic.
pub fn route(topic: impl Into<String>) -> Outcome {
    Message::new().topic(topic).into()
}

/// Drops with that reason if the condition holds, passes otherwise.
pub fn drop_if(condition: bool, reason: &'static str) -> Outcome {
    if condition { Outcome::drop(reason) } else { Outcome::Pass }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Content;

    fn mark(value: &mut Value) -> Result<(), Failure> {
        value["seen"] = Value::Bool(true);
        Ok(())
    }

    #[test]
    fn edits_json_and_keeps_order() {
        let event = Event::new("1").with_payload(r#"{"b": 1, "a": [1.5]}"#);
        let expected = Message::new().payload(Content::Bytes(br#"{"b":1,"a":[1.5],"seen":true}"#.to_vec()));
        assert_eq!(map_json(&event, mark), Ok(expected.into()));
    }

    #[cfg(feature = "exact-numbers")]
    #[test]
    fn numbers_keep_their_digits() {
        let text = r#"{"n":12345678901234567890.123,"m":1.10}"#;
        let event = Event::new("1").with_payload(text);
        assert_eq!(map_json(&event, |_| Ok(())), Ok(Outcome::Pass));
    }

    #[test]
    fn tombstones_and_deletes_pass() {
        assert_eq!(map_json(&Event::new("1"), mark), Ok(Outcome::Pass));
        let delete = Event::new("1").with_operation(Operation::Delete).with_payload("{}");
        assert_eq!(map_json(&delete, mark), Ok(Outcome::Pass));
    }

    #[test]
    fn what_is_not_json_is_poison() {
        let event = Event::new("1").with_payload("{");
        let failure = map_json(&event, mark).unwrap_err();
        assert_eq!(failure.code, "invalid-json");
    }
}
