//! The tables that a stream has described, and the events that its changes are.

use super::pgoutput::{self, Message};
use super::relation::{Role, Table, describe};
use super::rows::{Change, Encoder, Place};
use super::value::Catalog;
use crate::config::{CdcSource, Truncate};
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Operation};
use crate::source::Names;
use bytes::Bytes;
use std::collections::HashMap;
use tokio_postgres::Client;

/// See the module.
pub(super) struct Tables {
    source: CdcSource,
    encoder: Encoder,
    catalog: Catalog,
    known: HashMap<u32, Table>,
}

/// The change of one row that a message tells, and the table's OID.
pub(super) fn change<'a>(message: &Message<'a>) -> Option<(u32, Change<'a>)> {
    Some(match *message {
        Message::Insert { relation, new } => (relation, Change { operation: Operation::Insert, old: None, new: Some(new) }),
        Message::Update { relation, old, new } => (relation, Change { operation: Operation::Update, old, new: Some(new) }),
        Message::Delete { relation, old } => (relation, Change { operation: Operation::Delete, old: Some(old), new: None }),
        _ => return None,
    })
}

/// What the server should not have sent.
pub(super) fn protocol(what: &str) -> Error {
    Error::new(Kind::Internal, format!("{what}: the server and the relay disagree about the protocol"))
        .remedy("nothing is lost, the slot stands where it stood; please report this")
}

impl Tables {
    /// None yet.
    pub(super) fn new(source: &CdcSource, database: &str) -> Self {
        Self { source: source.clone(), encoder: Encoder::new(&source.rows, database), catalog: Catalog::builtin(), known: HashMap::new() }
    }

    pub(super) fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    pub(super) fn catalog(&mut self) -> &mut Catalog {
        &mut self.catalog
    }

    /// Takes a description.
    ///
    /// # Errors
    /// As [`describe`].
    pub(super) async fn describe(&mut self, client: &Client, relation: &pgoutput::Relation<'_>) -> Result<()> {
        let table = describe(client, &mut self.catalog, &self.source, relation).await?;
        if matches!(table.role, Role::Rows) && !table.columns.iter().any(|c| c.key) {
            tracing::warn!(table = &*table.name, "the table has no key: its events go without one, in order with each other");
        }
        self.known.insert(relation.oid, table);
        Ok(())
    }

    /// A table that was described.
    ///
    /// # Errors
    /// `Internal` if it was not.
    pub(super) fn get(&self, oid: u32) -> Result<&Table> {
        self.known.get(&oid).ok_or_else(|| protocol("a change of a table that was not described"))
    }

    /// The events of a change; `data` is what it points into. None for a table
    /// that was not asked for, and for what an outbox does beside inserts.
    ///
    /// # Errors
    /// `BadEvent` for a value that cannot be read.
    pub(super) fn events(
        &self,
        table: &Table,
        change: &Change<'_>,
        data: &Bytes,
        place: Place,
        names: &mut Names<'_>,
    ) -> Result<Vec<Event>> {
        let tuples = change.new.iter().chain(change.old.as_ref().map(|old| &old.tuple));
        if tuples.into_iter().any(|tuple| tuple.len() != table.columns.len()) {
            return Err(protocol("a row as wide as its table is not"));
        }
        let mut events = match (&table.role, change.operation, &change.new) {
            (Role::Rows, ..) => self.encoder.events(table, change, place)?,
            (Role::Outbox(layout), Operation::Insert, Some(new)) => vec![layout.read(table, data, new, place, names)?],
            (Role::Outbox(_) | Role::Ignored, ..) => Vec::new(),
        };
        for event in &mut events {
            if event.topic.is_empty() {
                event.topic = names.topic(&event.entity, &event.event_type);
            }
        }
        Ok(events)
    }

    /// The event of a table's truncation, where it is one.
    ///
    /// # Errors
    /// As [`Tables::events`].
    pub(super) fn truncated(&self, table: &Table, place: Place, names: &mut Names<'_>) -> Result<Option<Event>> {
        if !matches!(table.role, Role::Rows) {
            return Ok(None);
        }
        if self.source.rows.truncate == Truncate::Ignore {
            tracing::warn!(table = &*table.name, position = %place.position, "the table was truncated; rows.truncate = \"ignore\" makes no event of it");
            return Ok(None);
        }
        let mut event = self.encoder.truncated(table, place)?;
        event.topic = names.topic(&event.entity, &event.event_type);
        Ok(Some(event))
    }
}
