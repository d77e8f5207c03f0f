//! Topic templates such as `outbox.event.{aggregate_type}` and the patterns a
//! chain may publish to.

use crate::error::{Error, Kind, Result};

/// Kafka's own limit on a topic's name.
const TOPIC_NAME_MAX: usize = 249;

/// Checks Kafka's rules for a topic name: 1–249 of `[a-zA-Z0-9._-]`, not `.`
/// or `..` (source: Apache Kafka, `org.apache.kafka.common.internals.Topic`).
pub fn check_topic_name(name: &str) -> Result<()> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if name.is_empty() || name.len() > TOPIC_NAME_MAX || name == "." || name == ".." || !name.bytes().all(legal) {
        return Err(Error::new(Kind::Contract, format!("`{name}` is no Kafka topic name"))
            .remedy("use 1 to 249 of the characters a-z A-Z 0-9 . _ - in topic, template or routed value"));
    }
    Ok(())
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    AggregateType,
    EventType,
}

/// A parsed topic template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicTemplate {
    parts: Vec<Part>,
}

impl TopicTemplate {
    /// Parses a template; placeholders are `{aggregate_type}` (also written
    /// `{entity}`) and `{event_type}`.
    pub fn parse(text: &str) -> Result<Self> {
        let bad = |why: String| {
            Error::new(Kind::Config, format!("topic template `{text}`: {why}"))
                .remedy("placeholders are {aggregate_type} (or {entity}) and {event_type}")
        };
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            if open > 0 {
                parts.push(Part::Text(rest[..open].to_owned()));
            }
            let close = rest[open..].find('}').ok_or_else(|| bad("`{` without `}`".into()))? + open;
            parts.push(match &rest[open + 1..close] {
                "aggregate_type" | "entity" => Part::AggregateType,
                "event_type" => Part::EventType,
                other => return Err(bad(format!("unknown placeholder `{{{other}}}`"))),
            });
            rest = &rest[close + 1..];
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        let template = Self { parts };
        // A sample shows illegal characters in the fixed parts at start.
        check_topic_name(&template.render("a", "a")).map_err(|_| bad("has characters Kafka refuses, or is empty".into()))?;
        Ok(template)
    }

    /// The topic of one event.
    #[must_use]
    pub fn render(&self, entity: &str, event_type: &str) -> String {
        let mut out = String::with_capacity(64);
        for part in &self.parts {
            out.push_str(match part {
                Part::Text(text) => text,
                Part::AggregateType => entity,
                Part::EventType => event_type,
            });
        }
        out
    }

    /// The topics it can name, as a pattern with `*` for each placeholder.
    #[must_use]
    pub fn pattern(&self) -> String {
        self.render("*", "*")
    }

    /// The topic itself where the template has no placeholder.
    #[must_use]
    pub fn fixed(&self) -> Option<String> {
        let pattern = self.pattern();
        (!pattern.contains('*')).then_some(pattern)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renders_and_derives_the_pattern() {
        let t = TopicTemplate::parse("outbox.event.{aggregate_type}.{event_type}").expect("parses");
        assert_eq!(t.render("order", "Placed"), "outbox.event.order.Placed");
        assert_eq!(t.pattern(), "outbox.event.*.*");
        assert_eq!(t.fixed(), None);
        assert_eq!(TopicTemplate::parse("all").expect("parses").fixed().as_deref(), Some("all"));
    }

    #[test]
    fn refuses_what_kafka_would_refuse() {
        for bad in ["", "a b", "x.{nope}", "x.{entity", ".", "a/b"] {
            assert!(TopicTemplate::parse(bad).is_err(), "{bad}");
        }
        assert!(check_topic_name(&"a".repeat(249)).is_ok());
        assert!(check_topic_name(&"a".repeat(250)).is_err());
    }
}
