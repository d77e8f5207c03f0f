//! `[source]`.

use super::cdc::CdcSource;
use super::limits::{at_least, at_most, millis};
use crate::error::{Error, Kind, Result};
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;

/// Where events come from.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Source {
    /// An outbox table, read by polling.
    Outbox(Box<OutboxSource>),
    /// The write-ahead log, read by logical replication.
    Cdc(Box<CdcSource>),
    /// JSON Lines from a file or stdin.
    File(FileSource),
}

/// An outbox table.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutboxSource {
    /// `postgres://user:password@host:port/database?sslmode=…`. A password may
    /// also come from `PGPASSWORD` or `.pgpass`.
    pub url: String,
    /// `table` or `schema.table`.
    #[serde(default = "default_table")]
    pub table: String,
    /// Names of the columns.
    #[serde(default)]
    pub columns: Columns,
    /// Keep published rows; progress is then a row of `relay_checkpoint`.
    #[serde(default)]
    pub retain: bool,
    /// Wake by `LISTEN` too. Off, because `NOTIFY` in a busy writer's
    /// transaction cost 95% of the commit rate where it was measured.
    #[serde(default)]
    pub notify: bool,
    /// Rows of one SELECT.
    #[serde(default = "default_batch_rows")]
    pub batch_rows: u32,
    /// Shortest pause between two polls that found nothing.
    #[serde(default = "default_poll_min", with = "humantime_serde")]
    pub poll_min: Duration,
    /// Longest pause; the pause doubles while nothing comes.
    #[serde(default = "default_poll_max", with = "humantime_serde")]
    pub poll_max: Duration,
    /// `statement_timeout` of the relay's own connections.
    #[serde(default = "default_statement_timeout", with = "humantime_serde")]
    pub statement_timeout: Duration,
    /// `connect_timeout`.
    #[serde(default = "default_connect_timeout", with = "humantime_serde")]
    pub connect_timeout: Duration,
    /// How long a relay that had to wait for the lock waits again before it
    /// reads, so that the former owner's last messages are out.
    #[serde(default = "default_takeover_delay", with = "humantime_serde")]
    pub takeover_delay: Duration,
    /// How often a waiting relay tries for the lock.
    #[serde(default = "default_lock_retry", with = "humantime_serde")]
    pub lock_retry: Duration,
    /// How long a SELECT may stand open while the lanes have no room; then it is
    /// cancelled, so that its snapshot does not hold back vacuum.
    #[serde(default = "default_select_stall", with = "humantime_serde")]
    pub select_stall: Duration,
    /// While there is no room the session is touched this often, so that a dead one
    /// is noticed even if the network says nothing.
    #[serde(default = "default_session_check", with = "humantime_serde")]
    pub session_check: Duration,
    /// A floor held for this long by somebody's old transaction is worth a line:
    /// delivery goes on, but every poll reads more rows again.
    #[serde(default = "default_floor_warning", with = "humantime_serde")]
    pub floor_warning: Duration,
    /// Rows of one DELETE: bounds the transaction, not the throughput.
    #[serde(default = "default_delete_rows")]
    pub delete_rows: u32,
    /// From the first event that is published to the statement that deletes it, or records
    /// it where rows are retained, and those published meanwhile: a row costs Postgres less, the more there are in a DELETE. What
    /// was not deleted before a crash comes again.
    #[serde(default = "default_acknowledge_linger", with = "humantime_serde")]
    pub acknowledge_linger: Duration,
}

/// Column names. Left out, the default name is used where the table has it;
/// `seq`, `id`, `aggregate_type` and `payload` must exist.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Columns {
    /// `xid8`, the writer's transaction id; taken before the sequence number.
    pub xid: Option<String>,
    /// `bigint GENERATED ALWAYS AS IDENTITY`, the order of insertion.
    pub seq: Option<String>,
    /// `smallint`, generated from the aggregate id.
    pub lane: Option<String>,
    /// The event's id.
    pub id: Option<String>,
    /// The aggregate's type.
    pub aggregate_type: Option<String>,
    /// The aggregate's id, the key.
    pub aggregate_id: Option<String>,
    /// The event's type.
    pub event_type: Option<String>,
    /// `jsonb`, `json`, `text` or `bytea`.
    pub payload: Option<String>,
    /// `jsonb` or `json`, an object.
    pub headers: Option<String>,
    /// `timestamptz`.
    pub created_at: Option<String>,
}

/// JSON Lines.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSource {
    /// A file, or `-` for stdin.
    pub path: PathBuf,
}

fn default_table() -> String {
    "public.outbox".to_owned()
}
// A round trip's worth of rows: larger selects gain nothing measurable.
const fn default_batch_rows() -> u32 {
    4096
}
const fn default_poll_min() -> Duration {
    Duration::from_millis(5)
}
// An idle poll costs 0.1 ms of the server: five a second are not felt.
const fn default_poll_max() -> Duration {
    Duration::from_millis(200)
}
pub(super) const fn default_statement_timeout() -> Duration {
    Duration::from_secs(30)
}
pub(super) const fn default_connect_timeout() -> Duration {
    Duration::from_secs(10)
}
// Longer than a broker round trip under load, shorter than anyone waits.
pub(super) const fn default_takeover_delay() -> Duration {
    Duration::from_secs(5)
}

// A waiting relay costs the server one cheap query each time.
pub(super) const fn default_lock_retry() -> Duration {
    Duration::from_millis(500)
}
const fn default_select_stall() -> Duration {
    Duration::from_millis(500)
}
const fn default_session_check() -> Duration {
    Duration::from_secs(5)
}
const fn default_floor_warning() -> Duration {
    Duration::from_secs(30)
}
const fn default_delete_rows() -> u32 {
    10_000
}
/// Longer would only mean more to publish again after a crash.
const MOST_ACKNOWLEDGE_LINGER: Duration = Duration::from_secs(60);
const fn default_acknowledge_linger() -> Duration {
    Duration::from_millis(5)
}

impl Default for OutboxSource {
    fn default() -> Self {
        Self {
            url: String::new(),
            table: default_table(),
            columns: Columns::default(),
            retain: false,
            notify: false,
            batch_rows: default_batch_rows(),
            poll_min: default_poll_min(),
            poll_max: default_poll_max(),
            statement_timeout: default_statement_timeout(),
            connect_timeout: default_connect_timeout(),
            takeover_delay: default_takeover_delay(),
            lock_retry: default_lock_retry(),
            select_stall: default_select_stall(),
            session_check: default_session_check(),
            floor_warning: default_floor_warning(),
            delete_rows: default_delete_rows(),
            acknowledge_linger: default_acknowledge_linger(),
        }
    }
}

impl Source {
    pub(super) fn validate(&self) -> Result<()> {
        let url = match self {
            Source::Outbox(outbox) => &outbox.url,
            Source::Cdc(cdc) => &cdc.url,
            Source::File(_) => return Ok(()),
        };
        if url.is_empty() {
            return Err(Error::new(Kind::Config, "source.url is empty")
                .at("field", "source.url")
                .remedy("give postgres://user@host/database, or --source"));
        }
        let outbox = match self {
            Source::Outbox(outbox) => outbox,
            Source::Cdc(cdc) => return cdc.validate(),
            Source::File(_) => return Ok(()),
        };
        at_least(&[
            ("source.batch_rows", u64::from(outbox.batch_rows), 1),
            ("source.poll_min (ms)", millis(outbox.poll_min), 1),
            ("source.poll_max (ms)", millis(outbox.poll_max), millis(outbox.poll_min)),
            ("source.statement_timeout (ms)", millis(outbox.statement_timeout), 1000),
            ("source.connect_timeout (ms)", millis(outbox.connect_timeout), 1),
            ("source.lock_retry (ms)", millis(outbox.lock_retry), 1),
            ("source.select_stall (ms)", millis(outbox.select_stall), 1),
            ("source.session_check (ms)", millis(outbox.session_check), 1),
            ("source.floor_warning (ms)", millis(outbox.floor_warning), 1000),
            ("source.delete_rows", u64::from(outbox.delete_rows), 1),
        ])?;
        at_most(&[("source.acknowledge_linger", outbox.acknowledge_linger, MOST_ACKNOWLEDGE_LINGER)])?;
        // Meanwhile nobody looks whether the lock is still ours.
        at_most(&[("source.select_stall", outbox.select_stall, default_takeover_delay() / 2)])
    }

    /// The source's name in logs and coordinates.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Source::Outbox(_) => "outbox",
            Source::Cdc(_) => "cdc",
            Source::File(_) => "file",
        }
    }
}
