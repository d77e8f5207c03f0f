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
use crate::source::postgres::{Connection, classify, quote};
use bytes::Bytes;
use futures_util::{StreamExt as _, pin_mut};
use tokio::sync::mpsc::Sender;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;

/// Changes asked for at a time, which the server sets aside until they are read. It
/// looks only between transactions: a large one comes at once.
const BATCH: i32 = 1000;

/// Tries to drop the copy: the first may be hit by the cancel of the statement before.
const DROPPING: usize = 3;

const CHANGES: &str = "SELECT data FROM pg_logical_slot_get_binary_changes($1::text, $2::text::pg_lsn, $3, \
     'proto_version', '1', 'publication_names', $4, 'messages', 'true')";

struct Capture<'a, 'n> {
    /// Asks for what the changes do not tell, while they come on another session.
    lookup: &'a Client,
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
    session: &Connection,
    lookup: &Client,
    source: &CdcSource,
    database: &str,
    limit: u64,
    names: &mut Names<'_>,
    out: &Sender<Event>,
) -> Result<()> {
    let client = &session.client;
    let found = slot::Slot::find(client, &source.slot).await?.ok_or_else(|| slot::missing(&source.slot))?;
    found.usable(&source.slot, database)?;
    if slot::published(client, &source.publication).await?.is_none() {
        return Err(Error::new(Kind::DatabaseUnusable, "there is no such publication")
            .at("publication", &source.publication)
            .remedy("correct source.publication, or make it with `relay init --cdc --apply`"));
    }
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
    let tables = Tables::new(source, database);
    let mut capture = Capture { lookup, source, tables, transaction: None, names, out, left: limit };
    let until = slot::Lsn(found.current).to_string();
    let read = tokio::select! {
        read = capture.read(client, &copy, &until) => read,
        () = out.closed() => Ok(()),
    };
    // What still comes is not wanted; a copy goes with its session, but not before
    // the server has noticed.
    session.cancel().await;
    for _ in 0..DROPPING {
        match client.execute("SELECT pg_drop_replication_slot($1::text)", &[&copy]).await {
            // The cancel was for the statement before.
            Err(error) if error.code() == Some(&SqlState::QUERY_CANCELED) => {}
            Err(error) => {
                tracing::debug!(%error, copy, "the copy of the slot goes with the session");
                break;
            }
            Ok(_) => break,
        }
    }
    read
}

impl Capture<'_, '_> {
    /// Reads batch after batch; a transaction comes whole, and is not held whole.
    async fn read(&mut self, client: &Client, copy: &str, until: &str) -> Result<()> {
        let failed = |e| classify(e, "cannot read the slot's changes");
        let publication = quote(&self.source.publication);
        loop {
            let params: [&(dyn ToSql + Sync); 4] = [&copy, &until, &BATCH, &publication];
            let rows = client.query_raw(CHANGES, params).await.map_err(failed)?;
            pin_mut!(rows);
            let mut none = true;
            while let Some(row) = rows.next().await {
                none = false;
                if !self.take(Bytes::copy_from_slice(row.map_err(failed)?.get(0))).await? {
                    return Ok(());
                }
            }
            if none {
                return Ok(());
            }
        }
    }

    /// Hands over what a message is; `false` when that was enough.
    async fn take(&mut self, data: Bytes) -> Result<bool> {
        let message = pgoutput::decode(&data).map_err(|e| protocol("a change of the slot cannot be read").cause(e))?;
        let mut events = Vec::new();
        match message {
            Message::Begin { final_lsn, commit_time, xid } => self.transaction = Some(Transaction::begin(final_lsn, commit_time, xid)),
            Message::Commit { .. } => self.transaction = None,
            Message::Relation(relation) => self.tables.describe(self.lookup, &relation).await?,
            Message::Truncate { relations, .. } => {
                for relation in relations.iter() {
                    let place = self.place()?;
                    events.extend(self.tables.truncated(self.tables.get(relation)?, place, self.names)?);
                }
            }
            Message::Message { transactional, lsn, prefix, content } => {
                let place = if transactional { Some(self.place()?) } else { None };
                let (position, time) = place.map_or_else(|| (message::outside(lsn), message::now()), |place| (place.position, place.time));
                let own = transactional && prefix.strip_prefix(PREFIX) == Some(&self.source.slot);
                if !own && self.source.messages.iter().any(|p| prefix.starts_with(p.as_str())) {
                    let content = data.slice_ref(content);
                    events.push(message::read(self.source.message_format, prefix, content, position, time, self.names)?);
                }
            }
            other => {
                if let Some((relation, change)) = tables::change(&other) {
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
