//! Changes that a slot still has, for trying transforms on. A temporary copy of
//! the slot is read, in SQL: the slot stays where it is, and a relay may go on
//! reading it.

use super::pgoutput::{self, Message};
use super::rows::Transaction;
use super::snapshot::PREFIX;
use super::tables::{self, Tables, protocol};
use super::{message, slot};
use crate::config::CdcSource;
use crate::error::{Error, Kind, Result};
use crate::event::Event;
use crate::source::Names;
use crate::source::postgres::{classify, quote};
use bytes::Bytes;
use tokio::sync::mpsc::Sender;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

/// Changes asked for at a time; the server keeps them until they are read.
const BATCH: i32 = 1000;

const CHANGES: &str = "SELECT data FROM pg_logical_slot_get_binary_changes($1::text, $2::text::pg_lsn, $3, \
     'proto_version', '1', 'publication_names', $4, 'messages', 'true')";

struct Capture<'a, 'n> {
    client: &'a Client,
    source: &'a CdcSource,
    tables: Tables,
    transaction: Option<Transaction>,
    names: &'a mut Names<'n>,
    out: &'a Sender<Event>,
    left: u64,
}

/// Reads at most `limit` events, from where the slot stands to the end of the log
/// as it is now, until the receiver is gone. The session must print values as
/// [`super::value`] reads them.
///
/// # Errors
/// When there is no slot to copy, the session ends or a change cannot be read.
pub async fn capture(
    client: &Client,
    source: &CdcSource,
    database: &str,
    limit: u64,
    names: &mut Names<'_>,
    out: &Sender<Event>,
) -> Result<()> {
    let found = slot::Slot::find(client, &source.slot).await?.ok_or_else(|| slot::missing(&source.slot))?;
    found.usable(&source.slot, database)?;
    let row = client.query_one("SELECT pg_backend_pid()", &[]).await.map_err(|e| classify(e, "cannot open the session"))?;
    let copy = format!("relay_capture_{}", row.get::<_, i32>(0));
    client.execute("SELECT pg_copy_logical_replication_slot($1::text, $2::text, true)", &[&source.slot, &copy]).await.map_err(|error| {
        let full = error.code() == Some(&SqlState::CONFIGURATION_LIMIT_EXCEEDED);
        let error = if full {
            Error::new(Kind::DatabaseUnusable, "cannot copy the slot")
                .cause(error)
                .remedy("raise max_replication_slots by one, or drop a slot")
        } else {
            classify(error, "cannot copy the slot")
        };
        error.at("slot", &source.slot)
    })?;
    let until = slot::Lsn(found.current).to_string();
    let publication = quote(&source.publication);
    let tables = Tables::new(source, database);
    let mut capture = Capture { client, source, tables, transaction: None, names, out, left: limit };
    loop {
        let rows = client.query(CHANGES, &[&copy, &until, &BATCH, &publication]).await;
        let rows = rows.map_err(|e| classify(e, "cannot read the slot's changes").at("slot", &source.slot))?;
        if rows.is_empty() {
            return Ok(());
        }
        for row in rows {
            if !capture.take(Bytes::copy_from_slice(row.get(0))).await? {
                return Ok(());
            }
        }
    }
}

impl Capture<'_, '_> {
    /// Hands over what a message is; `false` when that was enough.
    async fn take(&mut self, data: Bytes) -> Result<bool> {
        let message = pgoutput::decode(&data).map_err(|e| protocol("a change of the slot cannot be read").cause(e))?;
        let mut events = Vec::new();
        match message {
            Message::Begin { final_lsn, commit_time, xid } => self.transaction = Some(Transaction::begin(final_lsn, commit_time, xid)),
            Message::Commit { .. } => self.transaction = None,
            Message::Relation(relation) => self.tables.describe(self.client, &relation).await?,
            Message::Truncate { relations, .. } => {
                for relation in relations.iter() {
                    let place = self.place()?;
                    events.extend(self.tables.truncated(self.tables.get(relation)?, place, self.names)?);
                }
            }
            Message::Message { transactional, lsn, prefix, content } => {
                let place = if transactional { Some(self.place()?) } else { None };
                let (position, time) = place.map_or_else(|| (message::outside(lsn), message::now()), |place| (place.position, place.time));
                let wanted = self.source.messages.iter().any(|p| prefix.starts_with(p.as_str())) && !prefix.starts_with(PREFIX);
                if wanted {
                    let content = data.slice_ref(content);
                    events.push(message::read(self.source.message_format, prefix, content, position, time, self.names)?);
                }
            }
            other => {
                if let Some((relation, change)) = tables::change(other) {
                    let place = self.place()?;
                    events = self.tables.events(self.tables.get(relation)?, &change, &data, place, self.names)?;
                }
            }
        }
        for event in events {
            if self.left == 0 || self.out.send(event).await.is_err() {
                return Ok(false);
            }
            self.left -= 1;
        }
        Ok(self.left > 0)
    }

    fn place(&mut self) -> Result<super::rows::Place> {
        self.transaction.as_mut().map(Transaction::next).ok_or_else(|| protocol("a change outside a transaction"))
    }
}
