//! What follows from an event that fails by itself.

use super::limits::{at_least, at_most, millis};
use super::{Config, Delivery, Sink, Source};
use crate::error::{Error, Kind, Result};
use crate::event::check_topic_name;
use crate::source::postgres::TableName;
use bytesize::ByteSize;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// See the module. Where others wait, in the order of how much of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// It is forgotten, with a line in the log.
    Skip,
    /// It becomes a dead letter, and nobody waits: for topics without an order.
    Continue,
    /// It becomes a dead letter, and later events of its key are held back behind it.
    Park,
    /// The relay ends.
    Halt,
}

impl OnFailure {
    /// Whether a dead letter is written.
    #[must_use]
    pub const fn writes(self) -> bool {
        matches!(self, Self::Continue | Self::Park)
    }
}

/// Where the letters are, and how many there may be.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeadLetters {
    /// Topic, `<name>.dead-letters` where left out; compacted, of one partition. For a
    /// Kafka sink.
    pub topic: Option<String>,
    /// `table` or `schema.table` in the source's database, in place of topic or file; made if
    /// missing. Not with exactly-once: what it holds is not in Kafka's transaction.
    pub table: Option<String>,
    /// File of JSON Lines, relative to the configuration file. For the other sinks.
    pub file: Option<PathBuf>,
    /// Letters, dead and parked, past which the source is paused: each costs about
    /// 300 bytes of memory here, and this many 30 MB.
    pub max_events: u32,
    /// Letters past which a warning is logged, each time that their number doubles.
    pub warn_events: u32,
    /// `max.message.bytes` of a topic that the relay makes: a letter is an event of the
    /// usual limit of 1 MB, by base64 a third more, and what is said about it.
    pub letter_bytes: ByteSize,
    /// Bytes of letters in memory at a time while they are redriven.
    pub redrive_bytes: ByteSize,
    /// How often a letter that failed is tried again by itself, while its key waits and all
    /// others flow. Transforms have no clock and no network: it helps where the machine was
    /// slow, or the broker refused.
    pub retries: u32,
    /// How long after its first failure; doubles with jitter.
    #[serde(with = "humantime_serde")]
    pub retry_min: Duration,
    /// The longest of these pauses.
    #[serde(with = "humantime_serde")]
    pub retry_max: Duration,
    /// Relays that died one after the other, each within seconds, after which events are
    /// run alone to find one that kills: one death happens to everybody.
    pub after_deaths: u32,
    /// Relays that died while they ran the same event alone, after which it is a letter.
    pub attempts: u32,
}

impl Default for DeadLetters {
    fn default() -> Self {
        Self {
            topic: None,
            table: None,
            file: None,
            max_events: 100_000,
            warn_events: 1000,
            letter_bytes: ByteSize::mib(8),
            redrive_bytes: ByteSize::mib(16),
            retries: 0,
            retry_min: Duration::from_secs(1),
            retry_max: Duration::from_secs(300),
            after_deaths: 2,
            attempts: 3,
        }
    }
}

impl Config {
    /// What follows where nothing is said of it.
    #[must_use]
    pub fn on_failure(&self, said: Option<OnFailure>) -> OnFailure {
        said.unwrap_or(if self.dead_letters.is_some() { OnFailure::Park } else { OnFailure::Halt })
    }

    /// The topic of the state, for a Kafka sink.
    #[must_use]
    pub fn state_topic(&self) -> String {
        self.state.topic.clone().unwrap_or_else(|| format!("relay.{}.state", self.name))
    }

    /// The topic of the dead letters, for a Kafka sink that has them.
    #[must_use]
    pub fn dead_letter_topic(&self) -> Option<String> {
        let letters = self.dead_letters.as_ref().filter(|letters| letters.table.is_none() && matches!(self.sink, Sink::Kafka(_)))?;
        Some(letters.topic.clone().unwrap_or_else(|| format!("{}.dead-letters", self.name)))
    }
}

pub(super) fn validate(config: &Config) -> Result<()> {
    let bad =
        |field: &'static str, what: String, remedy: &'static str| Err(Error::new(Kind::Config, what).at("field", field).remedy(remedy));
    let Some(letters) = &config.dead_letters else {
        for (field, said) in
            config.transforms.iter().map(|t| ("transform.on_poison", t.on_poison)).chain([("sink.on_refused", config.sink.on_refused())])
        {
            if said.is_some_and(OnFailure::writes) {
                return bad(field, format!("{field} writes dead letters, and there is no place for them"), "add [dead_letters]");
            }
        }
        return Ok(());
    };
    at_least(&[
        ("dead_letters.max_events", u64::from(letters.max_events), 1),
        ("dead_letters.warn_events", u64::from(letters.warn_events), 1),
        ("dead_letters.letter_bytes", letters.letter_bytes.as_u64(), 1 << 10),
        ("dead_letters.redrive_bytes", letters.redrive_bytes.as_u64(), 1),
        ("dead_letters.retry_min (ms)", millis(letters.retry_min), 1),
        ("dead_letters.after_deaths", u64::from(letters.after_deaths), 1),
        ("dead_letters.attempts", u64::from(letters.attempts), 1),
    ])?;
    at_most(&[("dead_letters.retry_min", letters.retry_min, letters.retry_max)])?;
    // Kafka's own type for it.
    if letters.letter_bytes.as_u64() > 1 << 30 {
        return bad("dead_letters.letter_bytes", "dead_letters.letter_bytes is over 1GiB".into(), "Kafka takes no such record");
    }
    if let Some(table) = &letters.table {
        return place_in(table, letters, config);
    }
    match (&config.sink, &letters.topic, &letters.file) {
        (Sink::Kafka(_), _, Some(_)) => bad(
            "dead_letters.file",
            "with a Kafka sink the dead letters lie in a topic".into(),
            "name it with dead_letters.topic, or leave both out",
        ),
        (Sink::Stdout(_) | Sink::File(_), Some(_), _) => {
            bad("dead_letters.topic", "without a Kafka sink the dead letters lie in a file".into(), "name it with dead_letters.file")
        }
        (Sink::Stdout(_) | Sink::File(_), None, None) => {
            bad("dead_letters.file", "dead_letters.file is missing".into(), "name the file that dead letters are appended to")
        }
        (Sink::Kafka(_), ..) => {
            let name = config.dead_letter_topic().unwrap_or_default();
            check_topic_name(&name)
                .map_err(|e| Error::new(Kind::Config, e.what()).at("field", "dead_letters.topic").remedy("use a-z A-Z 0-9 . _ -"))
        }
        (Sink::Stdout(_) | Sink::File(_), None, Some(_)) => Ok(()),
    }
}

/// Whether letters can lie in that table.
fn place_in(table: &str, letters: &DeadLetters, config: &Config) -> Result<()> {
    let bad = |what: String, remedy: &'static str| Err(Error::new(Kind::Config, what).at("field", "dead_letters.table").remedy(remedy));
    if letters.topic.is_some() || letters.file.is_some() {
        return bad("dead letters lie in one place".into(), "name a table, a topic or a file");
    }
    if matches!(config.source, Source::File(_)) {
        return bad(format!("there is no database for the table `{table}`: the source is a file"), "name a topic or a file instead");
    }
    if let Source::Cdc(cdc) = &config.source
        && cdc.captures(&TableName::parse(table)?.to_string())
    {
        return bad(format!("letters in `{table}` would be events of this pipeline"), "add it to source.exclude, or name a topic");
    }
    if config.delivery == Delivery::ExactlyOnce {
        return bad("under exactly-once, letters are written in the transaction that publishes".into(), "name a topic instead");
    }
    Ok(())
}
