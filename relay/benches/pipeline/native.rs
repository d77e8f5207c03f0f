//! `redact` compiled into this binary: what the boundary costs, and what Wasm
//! code costs, is the difference to this.

use crate::relayed::SETTINGS;
use anyhow::{Result, anyhow};
use bytes::Bytes;
use redact::Redact;
use relay::error::{Error, Kind};
use relay::event::Event;
use relay_guest::{Content, Outcome, Transform as _};

/// With the settings of all runs.
pub fn create() -> Result<Redact> {
    relay_guest::create(SETTINGS).map_err(|error| anyhow!("redact refuses the settings: {error}"))
}

/// The event with its payload redacted; `None` if there is nothing to redact.
pub fn apply(redact: &Redact, event: &Event) -> relay::error::Result<Option<Event>> {
    let mut guest = relay_guest::Event::new(&*event.id);
    if let Some(payload) = &event.payload {
        guest = guest.with_payload(&**payload);
    }
    let failed = |what: String| Error::new(Kind::Poison, what);
    let messages = match redact.apply(&guest).map_err(|failure| failed(failure.to_string()))? {
        Outcome::Pass => return Ok(None),
        Outcome::Emit(messages) => messages,
        other => return Err(failed(format!("unexpected: {other:?}"))),
    };
    let payload = match messages.into_iter().next().and_then(|message| message.payload) {
        Some(Content::Text(text)) => Some(Bytes::from(text)),
        Some(Content::Bytes(bytes)) => Some(Bytes::from(bytes)),
        Some(Content::Null) | None => None,
    };
    Ok(Some(Event { payload, ..event.clone() }))
}
