//! `[source.router]`: how rows of an outbox table, read from the log, become events.

use crate::error::{Error, Kind, Result};
use serde::Deserialize;

/// The columns of an outbox table. Left out, Debezium's names are taken
/// (`id`, `aggregateid`, `aggregatetype`, `type`, `payload`), else the relay's
/// own (`id`, `aggregate_id`, …). `docs/debezium.md` compares option by option.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Router {
    /// Unique id of the event.
    pub id: Option<String>,
    /// Key of the message.
    pub key: Option<String>,
    /// Value for `{aggregate_type}` in the topic template.
    pub route_by: Option<String>,
    /// Type of the event, where the column exists.
    pub event_type: Option<String>,
    /// Payload.
    pub payload: Option<String>,
    /// Headers, a JSON object.
    pub headers: Option<String>,
    /// Time of the event; the commit's where left out.
    pub timestamp: Option<String>,
    /// Version of the payload's schema, added as header `schemaVersion`.
    pub schema_version: Option<String>,
    /// `column:header[:alias]`, `column:envelope[:alias]`, `column:partition`.
    pub additional: Vec<String>,
    /// Whether a payload that is a JSON object or array stands in the envelope as
    /// such, instead of as a string.
    pub expand_json: bool,
    /// Whether an empty payload makes a tombstone.
    pub tombstone_on_empty: bool,
    /// What an UPDATE of the table does; it is never an event.
    pub on_update: OnUpdate,
}

/// What an update of an outbox row means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnUpdate {
    /// Log a warning and go on.
    #[default]
    Warn,
    /// Log an error and go on.
    Error,
    /// Stop the relay.
    Fatal,
}

impl Router {
    /// The envelope's members have names of their own.
    pub(super) fn validate(&self) -> Result<()> {
        let mut members = vec!["payload".to_owned()];
        for (n, text) in self.additional.iter().enumerate() {
            let at = |e: Error| e.at("field", format!("source.router.additional[{n}]"));
            if let Place::Envelope(alias) = Placement::parse(text).map_err(at)?.place {
                if members.contains(&alias) {
                    return Err(at(Error::new(Kind::Config, format!("two members of the envelope are called `{alias}`"))
                        .remedy("give the column an alias")));
                }
                members.push(alias);
            }
        }
        Ok(())
    }
}

/// Where an additional column of the outbox goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The column.
    pub column: String,
    /// What becomes of it.
    pub place: Place,
}

/// See [`Placement`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A header of this name.
    Header(String),
    /// A field of this name beside `payload`.
    Envelope(String),
    /// The number of the partition.
    Partition,
}

impl Placement {
    /// Reads `column:place[:alias]`.
    ///
    /// # Errors
    /// `Config`.
    pub fn parse(text: &str) -> Result<Self> {
        let mut parts = text.split(':').map(str::trim);
        let (column, place, alias, rest) = (parts.next(), parts.next(), parts.next(), parts.next());
        let column = column.unwrap_or_default();
        let alias = alias.unwrap_or(column).to_owned();
        let place = match place.map(str::to_ascii_lowercase).as_deref() {
            // The sink writes these itself.
            Some("header") if alias == "id" || alias.starts_with("relay-") => {
                return Err(Error::new(Kind::Config, format!("the header `{alias}` is the relay's own")).remedy("give the column an alias"));
            }
            Some("header") => Some(Place::Header(alias)),
            Some("envelope") => Some(Place::Envelope(alias)),
            Some("partition") => Some(Place::Partition),
            _ => None,
        };
        match place {
            Some(place) if !column.is_empty() && rest.is_none() => Ok(Self { column: column.to_owned(), place }),
            _ => Err(Error::new(Kind::Config, format!("`{text}` places no column"))
                .remedy("write column:header[:alias], column:envelope[:alias] or column:partition")),
        }
    }
}
