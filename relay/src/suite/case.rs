//! A case: one file that says what a transform makes of some events.

use super::expected::{Expected, Message, message, outcome};
use crate::config::{Limits, OnFailure, When};
use crate::error::{Context as _, Error, Kind, Result};
use crate::event::{Event, read_line};
use crate::transform::StageSpec;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// How a case's file ends.
pub const ENDINGS: &[&str] = &[".case.yaml", ".case.yml", ".case.json"];

/// Topic of an event that names none.
const TOPIC: &str = "events";

/// Entity of an event that names none.
const ENTITY: &str = "event";

/// One case; `docs/case.schema.json` describes its file.
#[derive(Clone, Debug)]
pub struct Case {
    /// What it shows.
    pub name: String,
    /// Where it is from.
    pub file: PathBuf,
    /// Settings as JSON text.
    pub settings: String,
    /// Which events the transform sees.
    pub when: When,
    /// Topics it may name.
    pub topics: Vec<String>,
    /// Bounds.
    pub limits: Limits,
    /// The most that all events together may cost, in wasmtime's fuel.
    pub fuel: Option<u64>,
    /// What goes in.
    pub events: Vec<Event>,
    /// What must come out.
    pub demand: Demand,
}

/// What a case demands.
#[derive(Clone, Debug)]
pub enum Demand {
    /// An outcome for each event.
    Outcomes(Vec<Expected>),
    /// These messages in this order, from whatever event.
    Messages(Vec<Message>),
    /// That `create` refuses the settings with an error that has this in it.
    Refused(String),
    /// Nothing yet: `--update` writes it.
    Unwritten,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    name: Option<String>,
    #[serde(default)]
    settings: Map<String, Value>,
    #[serde(default)]
    when: When,
    topics: Option<Vec<String>>,
    #[serde(default)]
    limits: Limits,
    fuel: Option<u64>,
    #[serde(default)]
    events: Vec<Map<String, Value>>,
    outcomes: Option<Vec<Value>>,
    messages: Option<Vec<Map<String, Value>>>,
    refused: Option<String>,
}

impl Case {
    /// Reads a file.
    ///
    /// # Errors
    /// `TestBroken`, naming the file, the field and the cause.
    pub fn load(file: &Path) -> Result<Self> {
        let at = |e: Error| e.at("file", file.display()).remedy("docs/case.schema.json in relay's repository describes the form of a case");
        let text = std::fs::read_to_string(file).or_kind(Kind::TestBroken, "cannot read the case").map_err(at)?;
        Self::parse(file, &text).map_err(at)
    }

    fn parse(file: &Path, text: &str) -> Result<Self> {
        let broken = |what: String| Error::new(Kind::TestBroken, what);
        let value = value(file, text)?;
        let document: Document =
            serde_path_to_error::deserialize(value).map_err(|e| broken(e.inner().to_string()).at("field", e.path().to_string()))?;
        let mut events = Vec::with_capacity(document.events.len());
        for (at, event) in document.events.into_iter().enumerate() {
            // It is the case that is broken, not an event of a source.
            let event = read_event(event, at).map_err(|e| broken(e.what().to_owned()).at("field", format!("events[{at}]")))?;
            events.push(event);
        }
        let demand = match (document.outcomes, document.messages, document.refused) {
            (None, None, None) => Demand::Unwritten,
            (Some(outcomes), None, None) => {
                if outcomes.len() != events.len() {
                    return Err(broken(format!("{} outcomes for {} events; each has one", outcomes.len(), events.len())));
                }
                let read = events.iter().zip(outcomes).enumerate().map(|(at, (event, value))| {
                    outcome(event, value).map_err(|(field, what)| broken(what).at("field", format!("outcomes[{at}]{field}")))
                });
                Demand::Outcomes(read.collect::<Result<_>>()?)
            }
            (None, Some(messages), None) => {
                let read = messages.into_iter().enumerate().map(|(at, value)| {
                    message(&events, value).map_err(|(field, what)| broken(what).at("field", format!("messages[{at}]{field}")))
                });
                Demand::Messages(read.collect::<Result<_>>()?)
            }
            (None, None, Some(text)) if events.is_empty() => Demand::Refused(text),
            (None, None, Some(_)) => return Err(broken("`refused` has no events: settings are refused before the first".into())),
            _ => return Err(broken("two of `outcomes`, `messages` and `refused`: keep one".into())),
        };
        Ok(Self {
            name: document.name.unwrap_or_else(|| stem(file)),
            file: file.to_owned(),
            settings: Value::Object(document.settings).to_string(),
            when: document.when,
            topics: document.topics.unwrap_or_else(|| vec!["*".to_owned()]),
            limits: document.limits,
            fuel: document.fuel,
            events,
            demand,
        })
    }

    /// Whether it demands that a limit or the contract is broken.
    pub(super) fn wants_fault(&self) -> bool {
        matches!(&self.demand, Demand::Outcomes(outcomes) if outcomes.iter().any(|o| matches!(o, Expected::Fault(_))))
    }

    /// The transform as this case configures it.
    #[must_use]
    pub fn spec(&self, component: &Path, name: &str) -> StageSpec {
        StageSpec {
            name: name.to_owned(),
            path: component.to_owned(),
            settings: self.settings.clone(),
            limits: self.limits.clone(),
            when: self.when.clone(),
            topics: self.topics.clone(),
            on_poison: OnFailure::Halt,
        }
    }
}

/// The document, whichever of the two forms it is in.
fn value(file: &Path, text: &str) -> Result<Value> {
    let broken = |what: String| Error::new(Kind::TestBroken, what);
    if file.extension().is_some_and(|e| e == "json") {
        return serde_json::from_str(text).map_err(|e| broken(format!("not JSON: {e}")));
    }
    // `yes` and `on` are words, as in JSON and in YAML 1.2.
    let options = serde_saphyr::options! { strict_booleans: true };
    serde_saphyr::from_str_with_options(text, options)
        .map_err(|e| broken(format!("not YAML: {}", e.to_string().trim_start_matches("error: "))))
}

/// The file's name without its ending.
fn stem(file: &Path) -> String {
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    ENDINGS.iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(&name).to_owned()
}

/// An event of a case; what it leaves out has a default.
fn read_event(mut event: Map<String, Value>, at: usize) -> Result<Event> {
    let mut default = |name: &str, other: &str, value: Value| {
        if !event.contains_key(name) && !event.contains_key(other) {
            event.insert(name.to_owned(), value);
        }
    };
    default("entity", "aggregate_type", ENTITY.into());
    default("topic", "topic", TOPIC.into());
    default("id", "id", (at + 1).to_string().into());
    let number = u64::try_from(at).unwrap_or(u64::MAX).saturating_add(1);
    read_line(&Value::Object(event).to_string(), number)
}

/// The case files under a directory, or the file itself, sorted.
///
/// # Errors
/// `TestBroken` where there are none, or the path cannot be read.
pub fn find(path: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    search(path, 0, &mut found).or_kind(Kind::TestBroken, "cannot look for cases").map_err(|e| e.at("path", path.display()))?;
    if found.is_empty() {
        return Err(Error::new(Kind::TestBroken, "no cases")
            .at("path", path.display())
            .remedy("a case is a file that ends in .case.yaml or .case.json"));
    }
    found.sort();
    Ok(found)
}

/// Directories below this depth are not searched: a link may lead in circles.
const DEPTH: usize = 16;

fn search(path: &Path, depth: usize, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if path.is_dir() {
        if depth < DEPTH {
            for entry in std::fs::read_dir(path)? {
                search(&entry?.path(), depth + 1, found)?;
            }
        }
    } else if depth == 0 || ENDINGS.iter().any(|ending| path.to_string_lossy().ends_with(ending)) {
        std::fs::metadata(path)?;
        found.push(path.to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Case> {
        Case::parse(Path::new("a b.case.yaml"), text)
    }

    #[test]
    fn defaults_make_a_short_case() {
        let case = parse("events: [{payload: {n: 1}}, {}]\noutcomes: [pass, drop]").expect("reads");
        assert_eq!(case.name, "a b");
        let event = &case.events[1];
        assert_eq!((&*event.id, &*event.topic, &*event.entity, event.position.commit), ("2", "events", "event", 2));
        assert_eq!(case.events[0].payload.as_deref(), Some(br#"{"n":1}"#.as_slice()));
        assert!(matches!(case.demand, Demand::Outcomes(ref o) if o.len() == 2));
    }

    #[test]
    fn errors_name_the_field() {
        for (text, named) in [
            ("event: []", "event"),
            ("events: [{paylod: 1}]", "events[0]"),
            ("events: [{}]\noutcomes: []", "0 outcomes"),
            ("events: [{}]\noutcomes: [passed]", "outcomes[0]"),
            ("events: [{}]\noutcomes: [{emit: [{paylod: 1}]}]", "outcomes[0].emit[0]"),
            ("limits: {memory: 1}\nwhen: {entity: x}", "when.entity"),
            ("refused: x\noutcomes: []", "keep one"),
            ("events: [{}, {}]\nmessages: [{}]", "from"),
            ("a: b: c", "not YAML"),
        ] {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.contains(named), "{text}: {error}");
        }
    }

    /// What serde says it would take instead of `zzz`.
    fn fields(text: &str) -> Vec<String> {
        let error = parse(text).expect_err(text).to_string();
        let (_, known) = error.split_once("expected").unwrap_or_else(|| panic!("{text}: {error}"));
        let mut names: Vec<_> = known.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn the_schema_has_the_fields_that_are_read() {
        let schema = include_str!("../../../docs/case.schema.json");
        let schema: Value = serde_json::from_str(schema).expect("the schema is JSON");
        for (place, text) in [
            ("", "zzz: 1"),
            ("/properties/when", "when: {zzz: 1}"),
            ("/$defs/limits", "limits: {zzz: 1}"),
            ("/$defs/event", "events: [{zzz: 1}]"),
            ("/$defs/header", "events: [{headers: [{zzz: 1}]}]"),
            ("/$defs/message", "events: [{}]\noutcomes: [{emit: [{zzz: 1}]}]"),
            ("/$defs/published", "events: [{}]\nmessages: [{zzz: 1}]"),
            ("/$defs/outcome-in-full/properties/fail", "events: [{}]\noutcomes: [{fail: {zzz: 1}}]"),
        ] {
            let properties = schema.pointer(place).and_then(|s| s["properties"].as_object()).unwrap_or_else(|| panic!("{place}"));
            let mut described: Vec<_> = properties.keys().cloned().collect();
            if place == "/$defs/message" {
                // Read by one type with those of `messages`, and refused.
                described.push("from".to_owned());
            }
            described.sort_unstable();
            assert_eq!(described, fields(text), "{place}");
        }
    }
}
