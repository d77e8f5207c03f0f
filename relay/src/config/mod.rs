//! `relay.toml`, strict: an unknown key, a missing variable or a contradiction
//! is refused before anything is opened, with the path of the field.

mod admin;
mod cdc;
mod env;
mod failures;
mod limits;
mod router;
mod sink;
mod source;
mod swap;
mod transactions;

pub use admin::Admin;
pub(crate) use cdc::matches;
pub use cdc::{CdcSource, ColumnFilter, Int8, MessageFormat, Numeric, RowFormat, Rows, SnapshotMode, Truncate};
pub use failures::{DeadLetters, OnFailure};
pub use limits::{Flow, LANES, Limits};
pub use router::{OnUpdate, Place, Placement, Router};
pub use sink::{CreateTopics, KafkaSink, LinesSink, Sink};
pub(crate) use sink::{DEFAULT_TOPIC, GUARANTEED};
pub use source::{Columns, FileSource, OutboxSource, Source};
pub use swap::{Modules, Shadow, Swap, Tolerances, check_canary};
pub use transactions::Transactions;

use crate::error::{Context as _, Error, Kind, Result};
use serde::Deserialize;
use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};

/// The whole file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Name of the pipeline: names its lock in the database and, later, its
    /// slot, transactional id and state topic. One relay at a time owns a name.
    #[serde(default = "default_name")]
    pub name: String,
    /// How sure delivery is.
    #[serde(default)]
    pub delivery: Delivery,
    /// Where events come from.
    pub source: Source,
    /// The chain, in order; may be empty.
    #[serde(default, rename = "transform")]
    pub transforms: Vec<Transform>,
    /// Where messages go.
    pub sink: Sink,
    /// Queues, threads and time bounds.
    #[serde(default)]
    pub flow: Flow,
    /// How exactly-once delivery cuts what it publishes.
    #[serde(default)]
    pub transactions: Transactions,
    /// Where positions are remembered.
    #[serde(default)]
    pub state: State,
    /// Where events go that fail by themselves; without it they halt the relay.
    #[serde(default)]
    pub dead_letters: Option<DeadLetters>,
    /// The HTTP port.
    #[serde(default)]
    pub admin: Admin,
    /// How new code takes the place of old.
    #[serde(default)]
    pub swap: Swap,
    /// Where modules that were swapped in are kept.
    #[serde(default)]
    pub modules: Modules,
    /// What was read, for comparison with what is read later.
    #[serde(skip)]
    written: Written,
}

/// A file as it was read, environment variables put in: it may hold passwords.
#[derive(Clone, Default, PartialEq)]
struct Written(toml::Table);

impl fmt::Debug for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// Where a pipeline that reads the log remembers what it needs to notice that
/// something is missing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct State {
    /// Topic; `relay.<name>.state` where left out. For a Kafka sink.
    pub topic: Option<String>,
    /// File, relative to the configuration file. For the other sinks; beside the
    /// file that the sink writes where left out.
    pub file: Option<PathBuf>,
}

/// Delivery guarantee.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Delivery {
    /// Nothing lost; after a crash an unacknowledged event comes again under
    /// the same id.
    #[default]
    AtLeastOnce,
    /// A reader of committed messages sees each event once, whatever happens.
    ExactlyOnce,
}

/// One component of the chain.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transform {
    /// Name in logs, headers and errors; the file's stem where left out.
    #[serde(default)]
    pub name: String,
    /// The component: a file relative to the configuration file, or `oci://…@sha256:…`.
    pub path: PathBuf,
    /// Swap the component whenever its file changes.
    #[serde(default)]
    pub watch: bool,
    /// Cases that a new component must pass before it is swapped in: a directory or
    /// a file, relative to the configuration file.
    #[serde(default)]
    pub cases: Option<PathBuf>,
    /// Passed to `create` as JSON.
    #[serde(default)]
    pub settings: serde_json::Map<String, serde_json::Value>,
    /// Which events it sees; the rest pass it by.
    #[serde(default)]
    pub when: When,
    /// Topics it may name beside those of the sink's template; `*` stands for
    /// any run of characters.
    #[serde(default)]
    pub topics: Vec<String>,
    /// What follows from an event that fails here: `park` where there are dead
    /// letters, else `halt`.
    #[serde(default)]
    pub on_poison: Option<OnFailure>,
    /// Bounds on what the guest may use.
    #[serde(default)]
    pub limits: Limits,
}

impl Transform {
    /// A component with these settings, everything else as by default.
    #[must_use]
    pub fn new(path: PathBuf, settings: serde_json::Map<String, serde_json::Value>) -> Self {
        Self {
            name: String::new(),
            path,
            watch: false,
            cases: None,
            settings,
            when: When::default(),
            topics: Vec::new(),
            on_poison: None,
            limits: Limits::default(),
        }
    }
}

/// A predicate decided in the host: every list that is given must contain the
/// event's value, exactly.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct When {
    /// Aggregate types or tables.
    #[serde(default)]
    pub entity: Vec<String>,
    /// Event types.
    #[serde(default)]
    pub event_type: Vec<String>,
    /// Operations.
    #[serde(default)]
    pub operation: Vec<crate::event::Operation>,
}

fn differ(prefix: &str, a: &toml::Table, b: &toml::Table, out: &mut Vec<String>) {
    for key in a.keys().chain(b.keys().filter(|key| !a.contains_key(*key))) {
        let field = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match (a.get(key), b.get(key)) {
            (Some(toml::Value::Table(a)), Some(toml::Value::Table(b))) => differ(&field, a, b, out),
            (a, b) if a == b => {}
            _ => out.push(field),
        }
    }
}

/// Says where, and not what stands there: the line may hold a password.
fn not_toml(text: &str, error: &toml::de::Error) -> Error {
    let before = error.span().map_or("", |span| text.get(..span.start).unwrap_or(""));
    let line = before.lines().count().max(1);
    Error::new(Kind::Config, format!("not TOML: {}", error.message())).at("line", line)
}

fn default_name() -> String {
    "relay".to_owned()
}

impl Config {
    /// Reads, substitutes `${ENV}` and validates a file.
    ///
    /// # Errors
    /// `Config`, naming the file, the field and the remedy.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .or_kind(Kind::Config, "cannot read the configuration")
            .map_err(|e| e.at("file", path.display()).remedy("give an existing file to -c, or use flags alone"))?;
        let base = path.parent().unwrap_or(Path::new(""));
        Self::parse(&text, base, &|name| std::env::var(name).ok()).map_err(|e| e.at("file", path.display()))
    }

    /// Parses a configuration whose relative paths start at `base`; `lookup`
    /// gives the values of environment variables.
    pub fn parse(text: &str, base: &Path, lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        let mut table: toml::Table = toml::from_str(text).map_err(|e: toml::de::Error| not_toml(text, &e))?;
        env::substitute(&mut table, lookup)?;
        let written = Written(table.clone());
        let mut config: Config = serde_path_to_error::deserialize(table).map_err(|e| {
            let path = e.path().to_string();
            Error::new(Kind::Config, e.into_inner().to_string().trim().to_owned())
                .at("field", path)
                .remedy("see the configuration reference in README.md; `relay check --offline` tests a file")
        })?;
        config.written = written;
        for transform in &mut config.transforms {
            if !crate::modules::is_remote(&transform.path) {
                transform.path = base.join(&transform.path);
            }
            if let Some(cases) = &mut transform.cases {
                *cases = base.join(&*cases);
            }
        }
        if let Source::File(file) = &mut config.source
            && file.path != Path::new("-")
        {
            file.path = base.join(&file.path);
        }
        if let Sink::File(lines) = &mut config.sink
            && let Some(path) = &mut lines.path
        {
            *path = base.join(&*path);
        }
        let letters = config.dead_letters.as_mut().map(|letters| &mut letters.file);
        if let Some(Some(path)) = letters {
            *path = base.join(&*path);
        }
        let paths = [&mut config.state.file, &mut config.admin.token_file, &mut config.modules.directory];
        for path in paths.into_iter().flatten() {
            *path = base.join(&*path);
        }
        config.validate()?;
        Ok(config)
    }

    /// The fields, dotted, outside the transforms in which two files differ. What
    /// flags alone say does not change.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let mut out = Vec::new();
        differ("", &self.written.0, &other.written.0, &mut out);
        out.retain(|field| field != "transform");
        out
    }

    /// A configuration without a file.
    #[must_use]
    pub fn new(name: String, source: Source, sink: Sink) -> Self {
        Self {
            name,
            delivery: Delivery::default(),
            source,
            transforms: Vec::new(),
            sink,
            flow: Flow::default(),
            transactions: Transactions::default(),
            state: State::default(),
            dead_letters: None,
            admin: Admin::default(),
            swap: Swap::default(),
            modules: Modules::default(),
            written: Written::default(),
        }
    }

    /// What `--cdc` means without a file: one outbox, read from the log.
    #[must_use]
    pub fn captures(name: Option<&str>, outbox: &str) -> Self {
        let mut source = CdcSource { outbox: Some(outbox.to_owned()), ..CdcSource::default() };
        let name = name.map_or_else(default_name, str::to_owned);
        source.name_after(&name);
        Self::new(name, Source::Cdc(Box::new(source)), Sink::Stdout(LinesSink::new(None)))
    }

    /// Checks what types alone cannot, and fills in names.
    pub fn validate(&mut self) -> Result<()> {
        let bad = |field: String, what: String| Err(Error::new(Kind::Config, what).at("field", field));
        if self.name.is_empty() || !self.name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.')) {
            return bad("name".into(), format!("`{}` is no pipeline name: use a-z A-Z 0-9 _ - .", self.name));
        }
        let mut names = HashSet::new();
        for (i, transform) in self.transforms.iter_mut().enumerate() {
            if transform.name.is_empty() {
                transform.name = crate::modules::name_of(&transform.path).unwrap_or_else(|| format!("transform-{i}"));
            }
            if !names.insert(transform.name.clone()) {
                return bad(format!("transform[{i}].name"), format!("two transforms are called `{}`; names must differ", transform.name));
            }
            if transform.watch && crate::modules::is_remote(&transform.path) {
                return bad(format!("transform[{i}].watch"), "there is no file to watch: the component is at a registry".into());
            }
            transform.limits.validate().map_err(|e| e.at("transform", &transform.name))?;
        }
        if let Source::Cdc(cdc) = &mut self.source {
            cdc.name_after(&self.name);
        }
        if self.state.file.is_some() && matches!(self.sink, Sink::Kafka(_)) {
            return bad(
                "state.file".into(),
                "with a Kafka sink the state lies in a topic: name it with state.topic, or leave both out".into(),
            );
        }
        if self.state.topic.is_some() && !matches!(self.sink, Sink::Kafka(_)) {
            return bad("state.topic".into(), "without a Kafka sink the state lies in a file: name it with state.file".into());
        }
        failures::validate(self)?;
        transactions::validate(self)?;
        self.flow.validate()?;
        self.swap.validate()?;
        self.modules.validate()?;
        self.admin.validate()?;
        self.admin.token()?;
        self.source.validate()?;
        self.sink.validate()
    }
}

#[cfg(test)]
mod tests;
