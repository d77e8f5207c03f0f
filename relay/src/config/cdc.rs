//! `[source]` with `kind = "cdc"`: change data capture by logical replication.

use super::limits::{at_least, at_most, millis};
use super::router::Router;
use super::source::{default_connect_timeout, default_lock_retry, default_statement_timeout, default_takeover_delay};
use crate::error::{Error, Kind, Result};
use bytesize::ByteSize;
use serde::Deserialize;
use std::time::Duration;
use wildmatch::WildMatch;

/// The write-ahead log of a database, in up to three shapes at once.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CdcSource {
    /// As for the outbox; the user needs `REPLICATION`.
    pub url: String,
    /// The logical replication slot; `relay_<name>` where left out.
    #[serde(default)]
    pub slot: String,
    /// The publication; `relay_<name>` where left out.
    #[serde(default)]
    pub publication: String,
    /// A table whose inserts are events, `table` or `schema.table`.
    #[serde(default)]
    pub outbox: Option<String>,
    /// Tables whose row changes are events: `schema.table`, `*` stands for any
    /// run of characters.
    #[serde(default)]
    pub tables: Vec<String>,
    /// Tables that are none of them, as patterns.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// Prefixes of `pg_logical_emit_message` that are events.
    #[serde(default)]
    pub messages: Vec<String>,
    /// How rows of the outbox become events.
    #[serde(default)]
    pub router: Router,
    /// How row changes become events.
    #[serde(default)]
    pub rows: Rows,
    /// Which tables are read as they are, beside the changes.
    #[serde(default)]
    pub snapshot: SnapshotMode,
    /// Tables that are not, as patterns.
    #[serde(default)]
    pub snapshot_exclude: Vec<String>,
    /// Rows of a snapshot's chunk at most.
    #[serde(default = "default_chunk_rows")]
    pub snapshot_chunk_rows: u32,
    /// Bytes of a chunk, by the table's average row.
    #[serde(default = "default_chunk_bytes")]
    pub snapshot_chunk_bytes: ByteSize,
    /// What the content of a logical message is.
    #[serde(default)]
    pub message_format: MessageFormat,
    /// How often the server hears from us, and how far the slot may move.
    #[serde(default = "default_status_interval", with = "humantime_serde")]
    pub status_interval: Duration,
    /// How often a small logical message is written, so that the position moves
    /// even where nothing else happens; not at all where left out.
    #[serde(default, with = "humantime_serde")]
    pub heartbeat: Option<Duration>,
    /// Changes read ahead of the lanes.
    #[serde(default = "default_read_ahead")]
    pub read_ahead: usize,
    /// Make the slot survive a failover of the server (Postgres 17 and later).
    #[serde(default)]
    pub failover: bool,
    /// WAL kept by the slot past which a line warns; the share of
    /// `max_slot_wal_keep_size` in percent, where the server has one.
    #[serde(default = "default_wal_warning")]
    pub wal_warning_percent: u8,
    /// `statement_timeout` of the relay's own queries.
    #[serde(default = "default_statement_timeout", with = "humantime_serde")]
    pub statement_timeout: Duration,
    /// `connect_timeout`.
    #[serde(default = "default_connect_timeout", with = "humantime_serde")]
    pub connect_timeout: Duration,
    /// What was read waits for company until nothing came for this long: a walsender
    /// at work has more long before, and nobody feels it otherwise.
    #[serde(default = "default_hand_over_quiet", with = "humantime_serde")]
    pub hand_over_quiet: Duration,
    /// And never longer than this. Woken for each change, a lane has batches of one,
    /// and each costs a wake-up and a call into Wasm; in this time come hundreds.
    #[serde(default = "default_hand_over_delay", with = "humantime_serde")]
    pub hand_over_delay: Duration,
    /// How often the slot is looked at: enough to warn in time.
    #[serde(default = "default_slot_check", with = "humantime_serde")]
    pub slot_check: Duration,
    /// How long a chunk of a snapshot is read again and again, because a transaction
    /// is in the log and not visible yet; then the session ends. The stream rests
    /// meanwhile.
    #[serde(default = "default_snapshot_patience", with = "humantime_serde")]
    pub snapshot_patience: Duration,
    /// As for the outbox.
    #[serde(default = "default_lock_retry", with = "humantime_serde")]
    pub lock_retry: Duration,
    /// As for the outbox.
    #[serde(default = "default_takeover_delay", with = "humantime_serde")]
    pub takeover_delay: Duration,
}

/// How row changes look.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rows {
    /// The row, or before and after in an envelope.
    pub format: RowFormat,
    /// `bigint` as JSON number, or as string for readers that lose digits.
    pub int8: Int8,
    /// `numeric` as string, or as JSON number.
    pub numeric: Numeric,
    /// Columns left out.
    pub columns: ColumnFilter,
    /// What a TRUNCATE does.
    pub truncate: Truncate,
}

/// Columns left out of row events, as patterns of `schema.table.column`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ColumnFilter {
    /// Only these, where given.
    pub include: Vec<String>,
    /// Not these.
    pub exclude: Vec<String>,
}

/// See [`Rows::format`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RowFormat {
    /// The row as a JSON object; a delete is a tombstone.
    #[default]
    Row,
    /// Debezium's envelope: `before`, `after`, `source`, `op`, `ts_ms`.
    Envelope,
}

/// See [`Rows::int8`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Int8 {
    /// Exact digits.
    #[default]
    Digits,
    /// A string.
    String,
}

/// See [`Rows::numeric`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Numeric {
    /// A string, as Postgres prints it.
    #[default]
    String,
    /// Exact digits.
    Digits,
}

/// See [`Rows::truncate`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Truncate {
    /// Nothing.
    #[default]
    Ignore,
    /// An event without key and payload for each table.
    Emit,
}

/// See [`CdcSource::snapshot`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SnapshotMode {
    /// None; `relay snapshot --table` takes one later.
    #[default]
    None,
    /// Each table once, when it is first captured.
    Initial,
    /// Each table once, and then the end.
    Only,
}

/// See [`CdcSource::message_format`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MessageFormat {
    /// `{"id","aggregate_type","aggregate_id","event_type","headers","payload"}`.
    #[default]
    Envelope,
    /// Bytes as they are, without a key.
    Raw,
}

// Well below any sensible wal_sender_timeout.
const fn default_status_interval() -> Duration {
    Duration::from_secs(1)
}
// Hides the wake-ups between the two tasks; with rows of 1 MB still 256 MB at
// most, and 1 MB of the usual ones.
const fn default_read_ahead() -> usize {
    256
}
// A round trip's worth of rows: the stream rests while they are read.
const fn default_chunk_rows() -> u32 {
    4096
}
// A chunk is held in memory until its watermark comes by.
const fn default_chunk_bytes() -> ByteSize {
    ByteSize::mib(4)
}
const fn default_wal_warning() -> u8 {
    50
}

const fn default_hand_over_quiet() -> Duration {
    Duration::from_millis(1)
}
const fn default_hand_over_delay() -> Duration {
    Duration::from_millis(10)
}
const fn default_slot_check() -> Duration {
    Duration::from_secs(10)
}
const fn default_snapshot_patience() -> Duration {
    Duration::from_secs(10)
}

impl Default for CdcSource {
    fn default() -> Self {
        Self {
            url: String::new(),
            slot: String::new(),
            publication: String::new(),
            outbox: None,
            tables: Vec::new(),
            exclude: Vec::new(),
            messages: Vec::new(),
            router: Router::default(),
            rows: Rows::default(),
            snapshot: SnapshotMode::None,
            snapshot_exclude: Vec::new(),
            snapshot_chunk_rows: default_chunk_rows(),
            snapshot_chunk_bytes: default_chunk_bytes(),
            message_format: MessageFormat::default(),
            status_interval: default_status_interval(),
            heartbeat: None,
            read_ahead: default_read_ahead(),
            failover: false,
            wal_warning_percent: default_wal_warning(),
            statement_timeout: default_statement_timeout(),
            connect_timeout: default_connect_timeout(),
            takeover_delay: default_takeover_delay(),
            hand_over_quiet: default_hand_over_quiet(),
            hand_over_delay: default_hand_over_delay(),
            slot_check: default_slot_check(),
            snapshot_patience: default_snapshot_patience(),
            lock_retry: default_lock_retry(),
        }
    }
}

/// Whether one of the patterns matches.
pub(crate) fn matches(patterns: &[String], name: &str) -> bool {
    patterns.iter().any(|pattern| WildMatch::new(pattern).matches(name))
}

impl CdcSource {
    /// `schema.table` of the outbox.
    #[must_use]
    pub fn outbox_name(&self) -> Option<String> {
        self.outbox.as_ref().map(|name| if name.contains('.') { name.clone() } else { format!("public.{name}") })
    }

    /// Whether changes of this table, `schema.table`, are events.
    #[must_use]
    pub fn captures(&self, table: &str) -> bool {
        matches(&self.tables, table) && !matches(&self.exclude, table)
    }

    /// Fills in the names that follow from the pipeline's.
    pub(super) fn name_after(&mut self, pipeline: &str) {
        // Slots allow less than pipelines do.
        let name: String = pipeline.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect();
        for field in [&mut self.slot, &mut self.publication] {
            if field.is_empty() {
                *field = if name == "relay" { name.clone() } else { format!("relay_{name}") };
            }
        }
    }

    pub(super) fn validate(&self) -> Result<()> {
        let bad = |field: &'static str, what: &str, remedy: &str| Err(Error::new(Kind::Config, what).at("field", field).remedy(remedy));
        if self.outbox.is_none() && self.tables.is_empty() && self.messages.is_empty() {
            return bad("source", "a cdc source that captures nothing", "give outbox, tables or messages");
        }
        if self.messages.iter().any(String::is_empty) {
            return bad("source.messages", "an empty prefix", "name the prefix given to pg_logical_emit_message");
        }
        // Postgres: lower-case letters, digits and underscores, 63 at most.
        let valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if self.slot.len() > 63 || !self.slot.chars().all(valid) {
            return bad("source.slot", "not a name of a replication slot", "use a-z 0-9 _, 63 at most");
        }
        if self.publication.len() > 63 || self.publication.contains('\0') {
            return bad("source.publication", "not a name of a publication", "use 63 bytes at most");
        }
        if let Some(pattern) = self.tables.iter().chain(&self.exclude).find(|p| !p.contains('.')) {
            return bad("source.tables", &format!("`{pattern}` names no schema"), "write schema.table, such as public.orders or public.*");
        }
        self.router.validate()?;
        at_least(&[
            ("source.status_interval (ms)", millis(self.status_interval), 10),
            ("source.heartbeat (ms)", self.heartbeat.map_or(u64::MAX, millis), 100),
            ("source.read_ahead", self.read_ahead as u64, 1),
            ("source.snapshot_chunk_rows", u64::from(self.snapshot_chunk_rows), 1),
            ("source.snapshot_chunk_bytes", self.snapshot_chunk_bytes.as_u64(), 1),
            ("source.statement_timeout (ms)", millis(self.statement_timeout), 1000),
            ("source.connect_timeout (ms)", millis(self.connect_timeout), 1),
            ("source.lock_retry (ms)", millis(self.lock_retry), 1),
            // The reader asks the catalog meanwhile.
            ("source.slot_check (ms)", millis(self.slot_check), 100),
            ("source.snapshot_patience (ms)", millis(self.snapshot_patience), 100),
        ])?;
        // Meanwhile nothing is acknowledged, and nobody looks whether the lock is ours.
        let most = Duration::from_secs(1);
        at_most(&[("source.hand_over_quiet", self.hand_over_quiet, most), ("source.hand_over_delay", self.hand_over_delay, most)])
    }
}
