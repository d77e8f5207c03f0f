use serde_json::{Map, Value};

use crate::{Event, Failure, Message, Operation, Outcome};

/// Edits the payload as JSON. Tombstones and deletes pass untouched, and so
/// does an event that the edit leaves as it was.
///
/// A payload that is not JSON is poison `invalid-json`. The text of an edited
/// one is written anew: white space goes, key order and (feature
/// `exact-numbers`) the digits of numbers stay, of a repeated key only the last
/// value is kept.
pub fn map_json(event: &Event, edit: impl FnOnce(&mut Value) -> Result<(), Failure>) -> Result<Outcome, Failure> {
    map(event, |value| edit(value).map(|()| None))
}

/// As [`map_json`], for payloads that are objects; all other JSON passes. What
/// the edit returns is the outcome; `None` publishes the edited object.
pub fn map_object(
    event: &Event,
    edit: impl FnOnce(&mut Map<String, Value>) -> Result<Option<Outcome>, Failure>,
) -> Result<Outcome, Failure> {
    map(event, |value| value.as_object_mut().map_or(Ok(Some(Outcome::Pass)), edit))
}

fn map(event: &Event, edit: impl FnOnce(&mut Value) -> Result<Option<Outcome>, Failure>) -> Result<Outcome, Failure> {
    if event.operation() == Operation::Delete || event.payload().is_none() {
        return Ok(Outcome::Pass);
    }
    let mut value = event.json::<Value>()?;
    // As it would be written anew, for the text of the event may be in another
    // form and say nothing of an edit.
    let before = Message::new().payload_json(&value)?;
    if let Some(outcome) = edit(&mut value)? {
        return Ok(outcome);
    }
    let after = Message::new().payload_json(&value)?;
    Ok(if after == before { Outcome::Pass } else { after.into() })
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
    fn what_is_not_edited_keeps_its_bytes() {
        let event = Event::new("1").with_payload(r#"{ "a" : 1, "a" : [ ] }"#);
        assert_eq!(map_json(&event, |_| Ok(())), Ok(Outcome::Pass));
    }

    #[test]
    fn objects_are_edited_and_all_else_passes() {
        let apply = |payload: &str| {
            map_object(&Event::new("1").with_payload(payload), |object| {
                if object.remove("test").is_some() {
                    return Ok(Some(Outcome::drop("test")));
                }
                object.insert("seen".to_owned(), true.into());
                Ok(None)
            })
        };
        let expected = Message::new().payload(Content::Bytes(br#"{"a":1,"seen":true}"#.to_vec()));
        assert_eq!(apply(r#"{"a":1}"#), Ok(expected.into()));
        assert_eq!(apply(r#"{"test":1}"#), Ok(Outcome::drop("test")));
        for other in [r#"[{"a":1}]"#, "null", "1", r#"{"seen":true}"#] {
            assert_eq!(apply(other), Ok(Outcome::Pass), "{other}");
        }
        assert_eq!(apply("{").unwrap_err().code, "invalid-json");
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
