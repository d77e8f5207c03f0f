//! `[transactions]`: how exactly-once delivery cuts what it publishes.

use super::limits::{at_least, at_most, millis};
use super::{Config, Delivery, Sink, SnapshotMode, Source};
use crate::error::{Error, Kind, Result};
use bytesize::ByteSize;
use serde::Deserialize;
use std::time::Duration;

/// Events of one transaction: the record that names them takes about 50 bytes for each.
const MOST_EVENTS: u32 = 1_000_000;

/// Bounds of one transaction. A larger one costs less an event; readers of committed
/// messages see nothing of it before its end.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Transactions {
    /// Events. A commit takes two cores 10 to 30 ms, in which they could do 1000.
    pub max_events: u32,
    /// Bytes of events; less than `flow.in_flight_bytes`, which it cannot exceed.
    pub max_bytes: ByteSize,
    /// How long one is open before it is committed, from its first event.
    #[serde(with = "humantime_serde")]
    pub linger: Duration,
    /// One that takes longer is given up by the broker, and its events come again; at most
    /// the broker's `transaction.max.timeout.ms`, 15 minutes.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
}

impl Default for Transactions {
    fn default() -> Self {
        Self { max_events: 10_000, max_bytes: ByteSize::mib(16), linger: Duration::from_millis(100), timeout: Duration::from_secs(60) }
    }
}

pub(super) fn validate(config: &Config) -> Result<()> {
    let Transactions { max_events, max_bytes, linger, timeout } = &config.transactions;
    at_least(&[
        ("transactions.max_events", u64::from(*max_events), 1),
        ("transactions.max_bytes", max_bytes.as_u64(), 1),
        ("transactions.linger (ms)", millis(*linger), 1),
        ("transactions.timeout (ms)", millis(*timeout), 1000),
    ])?;
    at_most(&[("transactions.linger", *linger, *timeout / 2)])?;
    if *max_events > MOST_EVENTS {
        let what = format!("transactions.max_events is {max_events}, must be at most {MOST_EVENTS}");
        return Err(Error::new(Kind::Config, what).at("field", "transactions.max_events"));
    }
    if config.delivery != Delivery::ExactlyOnce {
        return Ok(());
    }
    let bad = |what: &str, remedy: &str| Err(Error::new(Kind::Config, what.to_owned()).at("field", "delivery").remedy(remedy));
    if !matches!(config.sink, Sink::Kafka(_)) {
        return bad("only Kafka has transactions", "use a Kafka sink, or delivery = \"at-least-once\"");
    }
    if matches!(config.source, Source::File(_)) {
        return bad(
            "a file is read from its beginning each time, so that nothing of it comes exactly once",
            "use delivery = \"at-least-once\"",
        );
    }
    if let Source::Cdc(cdc) = &config.source
        && cdc.outbox.is_some()
        && cdc.snapshot != SnapshotMode::None
    {
        return bad(
            "a snapshot of an outbox reads rows whose inserts were events already",
            "use snapshot = \"none\", or delivery = \"at-least-once\"",
        );
    }
    Ok(())
}
