//! Chooses a topic by event type, entity, header or payload field; see the
//! README.

use std::borrow::Cow;
use std::collections::HashMap;

use relay_guest::json::{Path, decode};
use relay_guest::{Event, Failure, Outcome, Transform, Unused};
use serde::Deserialize;

/// Where in a template the value goes.
const VALUE: &str = "{value}";
/// Kafka's own limit on the length of a topic name.
const TOPIC_MAX: usize = 249;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub by: By,
    /// Topics of known values.
    #[serde(default)]
    pub routes: HashMap<String, String>,
    /// Topic of every other value, with `{value}` in it.
    pub template: Option<String>,
    /// Topic of all that has no value, or none known. Absent: as in the event.
    pub default: Option<String>,
}

/// What the value is that picks the topic.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum By {
    EventType,
    Entity,
    Header(String),
    Field(Path),
}

impl TryFrom<String> for By {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match (text.as_str(), text.split_once(':')) {
            ("event-type", _) => Ok(Self::EventType),
            ("entity", _) => Ok(Self::Entity),
            (_, Some(("header", name))) if !name.is_empty() => Ok(Self::Header(name.to_owned())),
            (_, Some(("field", path))) => {
                let parsed: Path = path.parse().map_err(|error| format!("`{path}`: {error}"))?;
                if parsed.is_plural() {
                    return Err(format!("`{path}`: a topic needs one value, `[]` gives several"));
                }
                Ok(Self::Field(parsed))
            }
            _ => Err(format!("`{text}` is none of `event-type`, `entity`, `header:<name>`, `field:<path>`")),
        }
    }
}

pub struct Route(Settings);

impl Transform for Route {
    type Settings = Settings;

    fn new(settings: Settings) -> Result<Self, String> {
        if let Some(template) = &settings.template
            && !template.contains(VALUE)
        {
            return Err(format!("`template` has no `{VALUE}`: use `default` for a fixed topic"));
        }
        if settings.routes.is_empty() && settings.template.is_none() && settings.default.is_none() {
            return Err("one of `routes`, `template`, `default` is needed".to_owned());
        }
        let fixed = settings.routes.values().chain(&settings.default);
        if let Some(topic) = fixed.filter(|topic| !is_topic(topic)).min() {
            return Err(format!("`{topic}` is not a name that Kafka allows for a topic"));
        }
        Ok(Self(settings))
    }

    fn unused(&self) -> Unused {
        Unused { payload: !matches!(self.0.by, By::Field(_)), before: true, headers: !matches!(self.0.by, By::Header(_)) }
    }

    fn apply(&self, event: &Event) -> Result<Outcome, Failure> {
        let value = self.value(event)?;
        let topic = self.topic(value.as_deref())?;
        Ok(match topic {
            Some(topic) if topic != event.topic() => relay_guest::route(topic),
            _ => Outcome::Pass,
        })
    }
}

impl Route {
    fn value<'a>(&self, event: &'a Event) -> Result<Option<Cow<'a, str>>, Failure> {
        Ok(match &self.0.by {
            By::EventType => Some(event.event_type().into()),
            By::Entity => Some(event.entity().into()),
            By::Header(name) => event.header_str(name).map(Cow::Borrowed),
            By::Field(path) => match event.payload_str()? {
                Some(payload) => path.find(payload)?.and_then(scalar),
                None => None,
            },
        })
    }

    fn topic(&self, value: Option<&str>) -> Result<Option<Cow<'_, str>>, Failure> {
        let Settings { routes, template, default, .. } = &self.0;
        if let Some(topic) = value.and_then(|value| routes.get(value)) {
            return Ok(Some(topic.into()));
        }
        let (Some(value), Some(template)) = (value, template) else {
            return Ok(default.as_deref().map(Cow::Borrowed));
        };
        let topic = template.replace(VALUE, value);
        if is_topic(&topic) {
            Ok(Some(topic.into()))
        } else {
            Err(Failure::poison("invalid-topic", format!("`{topic}` is not a name that Kafka allows for a topic")))
        }
    }
}

/// A string's value, or the text of a number or boolean. Null, objects and
/// arrays name no topic.
fn scalar(text: &str) -> Option<Cow<'_, str>> {
    match text.as_bytes().first()? {
        b'"' => decode(text),
        b'{' | b'[' | b'n' => None,
        _ => Some(text.into()),
    }
}

fn is_topic(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    !name.is_empty() && name.len() <= TOPIC_MAX && name != "." && name != ".." && name.bytes().all(allowed)
}

relay_guest::export!(Route, settings = "../settings.schema.json");

#[cfg(test)]
mod tests {
    use super::*;
    use relay_guest::create;

    fn route(settings: &str, event: Event) -> Result<Outcome, Failure> {
        create::<Route>(settings).expect("settings").apply(&event)
    }

    fn to(topic: &str) -> Result<Outcome, Failure> {
        Ok(relay_guest::route(topic))
    }

    #[test]
    fn by_event_type_with_default() {
        let settings = r#"{"by":"event-type","routes":{"OrderPlaced":"orders.placed"},"default":"orders.other"}"#;
        let event = |kind| Event::new("1").with_event_type(kind).with_topic("t");
        assert_eq!(route(settings, event("OrderPlaced")), to("orders.placed"));
        assert_eq!(route(settings, event("OrderPaid")), to("orders.other"));
        let same = event("OrderPaid").with_topic("orders.other");
        assert_eq!(route(settings, same), Ok(Outcome::Pass));
    }

    #[test]
    fn an_unknown_value_without_default_passes() {
        let settings = r#"{"by":"entity","routes":{"order":"orders"}}"#;
        assert_eq!(route(settings, Event::new("1").with_entity("order")), to("orders"));
        assert_eq!(route(settings, Event::new("1").with_entity("user")), Ok(Outcome::Pass));
    }

    #[test]
    fn by_field() {
        let settings = r#"{"by":"field:customer.tier","template":"orders.{value}","routes":{"7":"seven"},"default":"none"}"#;
        let event = |payload: &str| Event::new("1").with_payload(payload);
        assert_eq!(route(settings, event(r#"{"customer":{"tier":"g\u006fld"}}"#)), to("orders.gold"));
        assert_eq!(route(settings, event(r#"{"customer":{"tier":7}}"#)), to("seven"));
        assert_eq!(route(settings, event(r#"{"customer":{"tier":true}}"#)), to("orders.true"));
        for without in [r#"{"customer":{"tier":null}}"#, "{}", "[]", r#"{"customer":{"tier":[]}}"#] {
            assert_eq!(route(settings, event(without)), to("none"), "{without}");
        }
        assert_eq!(route(settings, Event::new("1")), to("none"));
        assert_eq!(route(settings, event("{")).unwrap_err().code, "invalid-json");
        let failure = route(settings, event(r#"{"customer":{"tier":"a/b"}}"#)).unwrap_err();
        assert_eq!(failure.code, "invalid-topic");
    }

    #[test]
    fn by_header() {
        let settings = r#"{"by":"header:region","template":"orders.{value}"}"#;
        let event = Event::new("1").with_header("region", "eu");
        assert_eq!(route(settings, event), to("orders.eu"));
        assert_eq!(route(settings, Event::new("1")), Ok(Outcome::Pass));
    }

    #[test]
    fn reads_only_what_it_needs() {
        let unused = |settings: &str| create::<Route>(settings).expect("settings").unused();
        let by_type = unused(r#"{"by":"event-type","default":"t"}"#);
        assert_eq!(by_type, Unused { payload: true, before: true, headers: true });
        let by_field = unused(r#"{"by":"field:a","default":"t"}"#);
        assert_eq!(by_field, Unused { payload: false, before: true, headers: true });
        let by_header = unused(r#"{"by":"header:a","default":"t"}"#);
        assert_eq!(by_header, Unused { payload: true, before: true, headers: false });
    }

    #[test]
    fn settings_are_refused_by_name() {
        let refusal = |settings: &str| create::<Route>(settings).err().expect("refused");
        assert!(refusal("{}").contains("`by`"));
        assert!(refusal(r#"{"by":"key","default":"t"}"#).contains("by: "));
        assert!(refusal(r#"{"by":"field:a[].b","default":"t"}"#).contains("`a[].b`"));
        assert!(refusal(r#"{"by":"entity"}"#).contains("`routes`"));
        assert!(refusal(r#"{"by":"entity","template":"x"}"#).contains("`template`"));
        assert!(refusal(r#"{"by":"entity","default":"a b"}"#).contains("`a b`"));
        assert!(refusal(r#"{"by":"entity","topic":"t"}"#).contains("`topic`"));
    }

    #[test]
    fn the_schema_is_that_of_the_settings() {
        assert_eq!(relay_guest::check_schema::<Settings>(include_str!("../settings.schema.json")), Ok(()));
    }
}
