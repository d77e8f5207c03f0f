//! Publishes each element of an array in the payload as a message; see the
//! README.

use std::collections::HashSet;

use relay_guest::json::{Cursor, Invalid, Kind, Path, decode};
use relay_guest::{Event, Failure, Message, Outcome, Transform, Unused};
use serde::Deserialize;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// Where the array stands.
    pub path: Path,
    /// A value in each element that tells it from the others of its event; the
    /// message's id is the event's, `:` and this value.
    pub id_field: Option<Path>,
    pub event_type: Option<String>,
    pub topic: Option<String>,
    /// Values of the payload to put into each element, under their last name.
    #[serde(default)]
    pub copy: Vec<Path>,
}

pub struct Split(Settings);

impl Transform for Split {
    type Settings = Settings;

    fn new(settings: Settings) -> Result<Self, String> {
        let single = |name: &str, path: &Path| {
            if path.is_plural() {
                return Err(format!("{name}: `[]` gives several values, one is needed"));
            }
            Ok(())
        };
        single("path", &settings.path)?;
        if let Some(path) = &settings.id_field {
            single("id-field", path)?;
        }
        let mut names = HashSet::new();
        for (index, path) in settings.copy.iter().enumerate() {
            single(&format!("copy[{index}]"), path)?;
            if let Some(name) = path.last_name()
                && !names.insert(name)
            {
                return Err(format!("copy[{index}]: another one is named `{name}`"));
            }
        }
        Ok(Self(settings))
    }

    fn unused(&self) -> Unused {
        Unused { before: true, headers: true, ..Unused::default() }
    }

    fn apply(&self, event: &Event) -> Result<Outcome, Failure> {
        let Some(payload) = event.payload_str()? else {
            return Ok(Outcome::Pass);
        };
        let Some(list) = self.0.path.find(payload)?.filter(|found| *found != "null") else {
            return Ok(Outcome::drop("empty"));
        };
        let mut cursor = Cursor::new(list);
        if cursor.kind() != Kind::Array {
            return Err(Failure::poison("not-an-array", "`path` leads to something else"));
        }
        let copies = self.copies(payload)?;
        let mut messages = Vec::new();
        let mut ids = HashSet::new();
        cursor.array(|cursor| {
            let span = cursor.value()?;
            let element = cursor.text(span);
            let mut message = Message::new().payload(extended(element, &copies)?);
            message.event_type.clone_from(&self.0.event_type);
            message.topic.clone_from(&self.0.topic);
            if let Some(path) = &self.0.id_field {
                let id = id(path, element)?;
                message.id = Some(format!("{}:{id}", event.id()));
                if !ids.insert(id) {
                    return Err(Failure::poison("repeated-id", "two elements have the same id"));
                }
            }
            messages.push(message);
            Ok(())
        })?;
        if messages.is_empty() { Ok(Outcome::drop("empty")) } else { Ok(Outcome::Emit(messages)) }
    }
}

impl Split {
    /// Name and JSON text of what is copied into each element; what the
    /// payload does not have is left out.
    fn copies<'a>(&'a self, payload: &'a str) -> Result<Vec<(&'a str, &'a str)>, Failure> {
        let mut copies = Vec::with_capacity(self.0.copy.len());
        for path in &self.0.copy {
            if let (Some(name), Some(value)) = (path.last_name(), path.find(payload)?) {
                copies.push((name, value));
            }
        }
        Ok(copies)
    }
}

/// The element with the copies in front; a member of its own goes before a
/// copy of the same name.
fn extended(element: &str, copies: &[(&str, &str)]) -> Result<String, Failure> {
    if copies.is_empty() {
        return Ok(element.to_owned());
    }
    let mut cursor = Cursor::new(element);
    if cursor.kind() != Kind::Object {
        return Err(Failure::poison("not-an-object", "`copy` needs elements that are objects"));
    }
    let mut own = vec![false; copies.len()];
    let mut members = false;
    cursor.object(|cursor, key| {
        members = true;
        for (own, (name, _)) in own.iter_mut().zip(copies) {
            *own |= key.name == *name;
        }
        cursor.value().map(drop)
    })?;
    let mut out = String::with_capacity(element.len() + 64);
    for (_, (name, value)) in own.iter().zip(copies).filter(|(own, _)| !**own) {
        out.push(if out.is_empty() { '{' } else { ',' });
        out.push_str(&serde_json::Value::from(*name).to_string());
        out.push(':');
        out.push_str(value);
    }
    if out.is_empty() {
        return Ok(element.to_owned());
    }
    if members {
        out.push(',');
    }
    out.push_str(element.strip_prefix('{').unwrap_or(element));
    Ok(out)
}

/// A string's value, or the text of a number or boolean.
fn id(path: &Path, element: &str) -> Result<String, Failure> {
    let found = path.find(element).map_err(|Invalid { .. }| missing())?;
    match found.and_then(|text| text.as_bytes().first().map(|first| (text, first))) {
        Some((text, b'"')) => decode(text).map(Into::into).ok_or_else(missing),
        Some((_, b'{' | b'[' | b'n')) | None => Err(missing()),
        Some((text, _)) => Ok(text.to_owned()),
    }
}

fn missing() -> Failure {
    Failure::poison("missing-id", "an element has no string or number at `id-field`")
}

relay_guest::export!(Split, settings = "../settings.schema.json");

#[cfg(test)]
mod tests {
    use super::*;
    use relay_guest::create;

    fn split(settings: &str, payload: &str) -> Result<Outcome, Failure> {
        let event = Event::new("7").with_payload(payload);
        create::<Split>(settings).expect("settings").apply(&event)
    }

    fn payloads<const N: usize>(texts: [&str; N]) -> Result<Outcome, Failure> {
        Ok(Outcome::emit(texts.map(|text| Message::new().payload(text))))
    }

    #[test]
    fn one_message_for_each_element() {
        let payload = r#"{"order_id":1,"lines":[ {"n":1.10}, 2 ,[] ]}"#;
        let expected = payloads([r#"{"n":1.10}"#, "2", "[]"]);
        assert_eq!(split(r#"{"path":"lines"}"#, payload), expected);
    }

    #[test]
    fn sets_id_type_and_topic() {
        let settings = r#"{"path":"o.lines","id-field":"id","event-type":"Line","topic":"lines"}"#;
        let line = |id: &str, text: &str| Message::new().payload(text).id(id).event_type("Line").topic("lines");
        let expected = Outcome::emit([line("7:a", r#"{"id":"a"}"#), line("7:2", r#"{"id":2}"#)]);
        assert_eq!(split(settings, r#"{"o":{"lines":[{"id":"a"},{"id":2}]}}"#), Ok(expected));
        let code = |payload: &str| split(settings, payload).unwrap_err().code;
        assert_eq!(code(r#"{"o":{"lines":[{"id":null}]}}"#), "missing-id");
        assert_eq!(code(r#"{"o":{"lines":[3]}}"#), "missing-id");
        assert_eq!(code(r#"{"o":{"lines":[{"id":1},{"id":"1"}]}}"#), "repeated-id");
    }

    #[test]
    fn copies_into_each_element() {
        let settings = r#"{"path":"lines","copy":["order_id","customer.id","absent"]}"#;
        let payload = r#"{"order_id":12345678901234567890.10,"customer":{"id":"c"},"lines":[{"n":1},{},{"id":5}, {"id":6,"order_id":7}]}"#;
        let expected = payloads([
            r#"{"order_id":12345678901234567890.10,"id":"c","n":1}"#,
            r#"{"order_id":12345678901234567890.10,"id":"c"}"#,
            r#"{"order_id":12345678901234567890.10,"id":5}"#,
            r#"{"id":6,"order_id":7}"#,
        ]);
        assert_eq!(split(settings, payload), expected);
        let failure = split(settings, r#"{"order_id":1,"lines":[1]}"#).unwrap_err();
        assert_eq!(failure.code, "not-an-object");
    }

    #[test]
    fn nothing_to_split() {
        let settings = r#"{"path":"lines"}"#;
        for payload in ["{}", r#"{"lines":[]}"#, r#"{"lines":null}"#, "[]"] {
            assert_eq!(split(settings, payload), Ok(Outcome::drop("empty")), "{payload}");
        }
        assert_eq!(split(settings, r#"{"lines":{}}"#).unwrap_err().code, "not-an-array");
        assert_eq!(split(settings, "{").unwrap_err().code, "invalid-json");
        let tombstone = create::<Split>(settings).expect("settings").apply(&Event::new("7"));
        assert_eq!(tombstone, Ok(Outcome::Pass));
    }

    #[test]
    fn settings_are_refused_by_name() {
        let refusal = |settings: &str| create::<Split>(settings).err().expect("refused");
        assert!(refusal("{}").contains("`path`"));
        assert!(refusal(r#"{"path":"a[]"}"#).contains("path"));
        assert!(refusal(r#"{"path":"a","id_field":"b"}"#).contains("`id_field`"));
        assert!(refusal(r#"{"path":"a","copy":["x.id","id"]}"#).contains("copy[1]"));
    }

    #[test]
    fn the_schema_is_that_of_the_settings() {
        assert_eq!(relay_guest::check_schema::<Settings>(include_str!("../settings.schema.json")), Ok(()));
    }
}
