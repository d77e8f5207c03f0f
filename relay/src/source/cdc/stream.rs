//! The stream: messages of the walsender in the order of commit, each change
//! with its position, handed to the lanes; and what is done, told to the server.

use super::message;
use super::outbox::Layout;
use super::pgoutput::{self, Message};
use super::progress::{Progress, Recorder};
use super::relation::{Role, Table, full_name, lacks_key, type_row};
use super::rows::{Change, Encoder, Place};
use super::slot::{Lsn, Slot, missing};
use super::value::{Catalog, Kind as ValueKind, LOOKUP};
use crate::checkpoint::Ledger;
use crate::config::{CdcSource, OnUpdate, Truncate};
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Operation, POSTGRES_EPOCH, Position};
use crate::source::postgres::{Connection, Target, classify, stream_error};
use crate::source::{Intake, lane_of};
use crate::state::Store;
use bytes::Bytes;
use pgwire_replication::{PgWireError, ReplicationClient, ReplicationEvent};
use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::time::Instant;

/// How often progress is told to the session that talks to the server.
const ACKNOWLEDGE: Duration = Duration::from_millis(100);

/// Changes between two looks at the clock while there is no pause.
const BREATH: u32 = 1024;

/// How often the slot is looked at: enough to warn in time.
const INSPECT: Duration = Duration::from_secs(10);

/// The transaction whose changes come now.
struct Transaction {
    /// Where its commit record starts.
    commit: u64,
    /// Microseconds since the Unix epoch.
    time: i64,
    xid: u32,
    /// Changes so far, before any filter.
    ordinal: u64,
}

/// See the module. Owns the replication session and the one that holds the lock.
pub struct Reader {
    client: ReplicationClient,
    control: Connection,
    source: CdcSource,
    ledger: Arc<Ledger>,
    encoder: Encoder,
    catalog: Catalog,
    tables: HashMap<u32, Table>,
    transaction: Option<Transaction>,
    /// Everything of the stream before is handed over.
    read: u64,
    acknowledged: u64,
    recorder: Recorder,
    inspected: Instant,
    warned: bool,
    updates: u64,
}

impl Reader {
    /// Starts the stream where the pipeline stands: at what is remembered as
    /// published, else where the slot is.
    ///
    /// # Errors
    /// When the server refuses, or is not the one that was published from.
    pub async fn start(control: Connection, target: &Target, source: &CdcSource, ledger: Arc<Ledger>, store: Arc<Store>) -> Result<Self> {
        let found = Slot::find(&control.client, &source.slot).await?.ok_or_else(|| missing(&source.slot))?;
        found.usable(&source.slot, target.database())?;
        let known = Progress::find(&store.load().await?)?;
        let config = target
            .replication(&source.slot, &source.publication)
            .with_status_interval(source.status_interval)
            .with_wakeup_interval(source.status_interval)
            .with_buffer_size(source.read_ahead)
            .with_start_lsn(known.as_ref().map_or(0, Progress::lsn).max(found.confirmed).into());
        let failed = |e| stream_error(e, "cannot start the replication stream").at("slot", &source.slot);
        let mut client = ReplicationClient::connect_gated(config).await.map_err(failed)?;
        let server = client.identify_system().await.map_err(failed)?;
        if let Some(known) = &known {
            known.continues(&server.system_id, server.timeline, &found).map_err(|e| e.at("state", store.place()))?;
        }
        let progress = Progress {
            position: known.map_or_else(|| Lsn(found.confirmed).to_string(), |known| known.position),
            system: server.system_id,
            timeline: server.timeline,
            slot: source.slot.clone(),
        };
        progress.store(&store).await?;
        client.start().await.map_err(failed)?;
        client.wait_started().await.map_err(failed)?;
        Ok(Self {
            recorder: Recorder::start(store, progress, source.status_interval),
            client,
            control,
            encoder: Encoder::new(&source.rows, target.database()),
            source: source.clone(),
            ledger,
            catalog: Catalog::builtin(),
            tables: HashMap::new(),
            transaction: None,
            read: 0,
            acknowledged: 0,
            inspected: Instant::now(),
            warned: false,
            updates: 0,
        })
    }

    /// The server's newest position.
    pub async fn newest(&self) -> Result<u64> {
        let sql = "SELECT (pg_current_wal_lsn() - '0/0')::int8";
        let row = self.control.client.query_one(sql, &[]).await.map_err(|e| classify(e, "cannot ask for the newest position"))?;
        Ok(u64::try_from(row.get::<_, i64>(0)).unwrap_or(0))
    }

    /// Reads for ever, or until everything before `until` is handed over.
    ///
    /// # Errors
    /// When the stream ends or a change cannot be read.
    pub async fn run(&mut self, intake: &mut Intake<'_>, until: Option<u64>) -> Result<()> {
        let mut breath = 0;
        while until.is_none_or(|until| self.read < until) {
            let event = match self.ready().await {
                Some(event) => event,
                None => {
                    intake.hand_over();
                    tokio::select! {
                        event = self.client.recv() => event,
                        () = tokio::time::sleep(ACKNOWLEDGE) => {
                            self.tick().await?;
                            continue;
                        }
                    }
                }
            };
            let event = event.map_err(|e| self.ended(e))?.ok_or_else(|| self.ended(PgWireError::Task("the stream ended".into())))?;
            self.take(event, intake).await?;
            breath += 1;
            if breath >= BREATH {
                breath = 0;
                self.tick().await?;
                // The channel may never be empty, and others wait for this task.
                tokio::task::yield_now().await;
            }
        }
        intake.hand_over();
        Ok(())
    }

    /// What is in the channel already.
    async fn ready(&mut self) -> Option<Result<Option<ReplicationEvent>, PgWireError>> {
        let mut next = pin!(tokio::task::unconstrained(self.client.recv()));
        std::future::poll_fn(|cx| match next.as_mut().poll(cx) {
            Poll::Ready(event) => Poll::Ready(Some(event)),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    }

    fn ended(&self, error: PgWireError) -> Error {
        stream_error(error, "the replication stream ended").at("slot", &self.source.slot).at("position", Lsn(self.read))
    }

    async fn take(&mut self, event: ReplicationEvent, intake: &mut Intake<'_>) -> Result<()> {
        match event {
            ReplicationEvent::Begin { final_lsn, xid, commit_time_micros } => {
                let time = commit_time_micros.saturating_add(POSTGRES_EPOCH);
                self.transaction = Some(Transaction { commit: final_lsn.as_u64(), time, xid, ordinal: 0 });
            }
            ReplicationEvent::Commit { end_lsn, .. } => {
                self.transaction = None;
                self.pass(end_lsn.as_u64());
            }
            ReplicationEvent::XLogData { data, .. } => self.change(data, intake).await?,
            ReplicationEvent::Message { transactional, lsn, prefix, content } => {
                self.message(transactional, lsn.as_u64(), &prefix, content, intake).await?;
            }
            // Within a transaction it says nothing new.
            ReplicationEvent::KeepAlive { wal_end, .. } if self.transaction.is_none() => self.pass(wal_end.as_u64()),
            _ => {}
        }
        Ok(())
    }

    /// Everything before `position` has been handed over: an entry of the
    /// window without an event, so that an idle database keeps no WAL.
    fn pass(&mut self, position: u64) {
        self.read = self.read.max(position);
        self.ledger.pass(Position { commit: position, index: 0 });
    }

    /// The place of the next change.
    fn place(&mut self) -> Result<Place> {
        let transaction = self.transaction.as_mut().ok_or_else(|| protocol("a change outside a transaction"))?;
        let position = Position { commit: transaction.commit, index: 2 * transaction.ordinal };
        transaction.ordinal += 1;
        Ok(Place { position, time: transaction.time, xid: transaction.xid, snapshot: false })
    }

    async fn change(&mut self, data: Bytes, intake: &mut Intake<'_>) -> Result<()> {
        let message = pgoutput::decode(&data).map_err(|e| protocol("a message of the stream cannot be read").cause(e))?;
        let (relation, change) = match message {
            Message::Insert { relation, new } => (relation, Change { operation: Operation::Insert, old: None, new: Some(new) }),
            Message::Update { relation, old, new } => (relation, Change { operation: Operation::Update, old, new: Some(new) }),
            Message::Delete { relation, old } => (relation, Change { operation: Operation::Delete, old: Some(old), new: None }),
            Message::Truncate { relations, .. } => {
                for relation in relations.iter() {
                    self.truncate(relation, intake).await?;
                }
                return Ok(());
            }
            Message::Relation(relation) => return self.describe(&relation).await,
            _ => return Ok(()),
        };
        let place = self.place()?;
        let table = self.tables.get(&relation).ok_or_else(|| protocol("a change of a table that was not described"))?;
        let tuples = change.new.iter().chain(change.old.as_ref().map(|old| &old.tuple));
        if tuples.into_iter().any(|tuple| tuple.len() != table.columns.len()) {
            return Err(protocol("a row as wide as its table is not"));
        }
        let mut events = match &table.role {
            Role::Ignored => return Ok(()),
            Role::Rows => self.encoder.events(table, &change, place)?,
            Role::Outbox(layout) => match (change.operation, &change.new) {
                (Operation::Insert, Some(new)) => vec![layout.read(table, &data, new, place, intake)?],
                (Operation::Update, _) => return self.updated(relation, place),
                _ => return Ok(()),
            },
        };
        for event in &mut events {
            if event.topic.is_empty() {
                event.topic = intake.topic(&event.entity, &event.event_type);
            }
        }
        for event in events {
            self.admit(event, intake).await?;
        }
        Ok(())
    }

    async fn truncate(&mut self, relation: u32, intake: &mut Intake<'_>) -> Result<()> {
        let place = self.place()?;
        let table = self.tables.get(&relation).ok_or_else(|| protocol("a truncation of a table that was not described"))?;
        if !matches!(table.role, Role::Rows) {
            return Ok(());
        }
        if self.source.rows.truncate == Truncate::Ignore {
            tracing::warn!(table = &*table.name, position = %place.position, "the table was truncated; rows.truncate = \"ignore\" makes no event of it");
            return Ok(());
        }
        let mut event = self.encoder.truncated(table, place)?;
        event.topic = intake.topic(&event.entity, &event.event_type);
        self.admit(event, intake).await
    }

    fn updated(&mut self, relation: u32, place: Place) -> Result<()> {
        self.updates += 1;
        let table = self.tables.get(&relation).map(|t| t.name.to_string()).unwrap_or_default();
        // The first and then ever rarer ones: an application that updates does so always.
        let said = self.updates.is_power_of_two();
        let what = "an outbox row was updated, which is no event";
        match self.source.router.on_update {
            OnUpdate::Warn if said => tracing::warn!(table, position = %place.position, updates = self.updates, "{what}"),
            OnUpdate::Error if said => tracing::error!(table, position = %place.position, updates = self.updates, "{what}"),
            OnUpdate::Fatal => {
                return Err(Error::new(Kind::BadEvent, "an outbox row was updated")
                    .at("table", table)
                    .at("position", place.position)
                    .remedy("only insert into an outbox; to go on past it set source.router.on_update = \"warn\""));
            }
            OnUpdate::Warn | OnUpdate::Error => {}
        }
        Ok(())
    }

    async fn message(&mut self, transactional: bool, lsn: u64, prefix: &str, content: Bytes, intake: &mut Intake<'_>) -> Result<()> {
        let (position, time) = if transactional {
            let place = self.place()?;
            (place.position, place.time)
        } else {
            (Position { commit: lsn, index: 0 }, self.now())
        };
        if self.source.messages.iter().any(|p| prefix.starts_with(p.as_str())) {
            let event = message::read(self.source.message_format, prefix, content, position, time, intake)?;
            self.admit(event, intake).await?;
        }
        if !transactional {
            // The slot skips what starts before the position confirmed.
            self.pass(lsn + 1);
        }
        Ok(())
    }

    /// A message outside a transaction has no time of its own.
    fn now(&self) -> i64 {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
    }

    async fn describe(&mut self, relation: &pgoutput::Relation<'_>) -> Result<()> {
        let name = full_name(relation);
        let unknown: Vec<u32> = relation.columns.iter().map(|c| c.type_oid).filter(|oid| self.catalog.kind(*oid).is_none()).collect();
        if !unknown.is_empty() {
            let rows = self.control.client.query(LOOKUP, &[&unknown]).await.map_err(|e| classify(e, "cannot look up types"))?;
            self.catalog.extend(rows.iter().map(type_row));
        }
        let key = if lacks_key(relation.identity) { Some(self.primary_key(relation).await?) } else { None };
        let kind = |oid| self.catalog.kind(oid).unwrap_or(ValueKind::Text);
        let mut table = Table::new(relation, &self.source, kind, key.as_deref());
        table.role = if self.source.outbox_name().as_deref() == Some(&name) {
            Role::Outbox(Box::new(Layout::new(&name, &table.columns, &self.source.router)?))
        } else if self.source.captures(&name) {
            Role::Rows
        } else {
            Role::Ignored
        };
        if matches!(table.role, Role::Rows) && !table.columns.iter().any(|c| c.key) {
            tracing::warn!(table = name, "the table has no key: its events go without one, in order with each other");
        }
        self.tables.insert(relation.oid, table);
        Ok(())
    }

    async fn primary_key(&self, relation: &pgoutput::Relation<'_>) -> Result<Vec<String>> {
        let sql = "SELECT a.attname::text FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey) \
                   WHERE i.indrelid = $1 AND i.indisprimary";
        let rows = self.control.client.query(sql, &[&relation.oid]).await.map_err(|e| classify(e, "cannot look up a primary key"))?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    async fn admit(&mut self, mut event: Event, intake: &mut Intake<'_>) -> Result<()> {
        let lane = lane_of(&event);
        while let Err(back) = intake.try_admit(lane, event) {
            event = back;
            // Room comes only from what is handed over.
            intake.hand_over();
            tokio::select! {
                () = intake.room() => {}
                () = tokio::time::sleep(ACKNOWLEDGE) => {}
            }
            self.tick().await?;
        }
        Ok(())
    }

    /// Tells the server what is done; looks at the slot now and then.
    async fn tick(&mut self) -> Result<()> {
        self.acknowledge();
        if let Some(error) = self.recorder.failure().await {
            return Err(error);
        }
        if self.control.client.is_closed() {
            return Err(Error::new(Kind::DatabaseUnavailable, "the session that holds the pipeline's lock ended")
                .remedy("the relay reconnects by itself"));
        }
        if self.inspected.elapsed() >= INSPECT {
            self.inspected = Instant::now();
            self.inspect().await?;
        }
        Ok(())
    }

    fn acknowledge(&mut self) {
        // In the middle of a transaction this is its commit record's start:
        // the whole of it comes again.
        if let (_, Some(head)) = self.ledger.take_done() {
            self.recorder.want(head.commit);
        }
        let stored = self.recorder.stored();
        if stored > self.acknowledged {
            self.acknowledged = stored;
            self.client.update_applied_lsn(stored.into());
        }
    }

    async fn inspect(&mut self) -> Result<()> {
        let slot = Slot::find(&self.control.client, &self.source.slot).await?.ok_or_else(|| missing(&self.source.slot))?;
        let at_risk = slot.safe.is_some_and(|safe| {
            let limit = safe.saturating_add(slot.kept).max(1);
            slot.kept.saturating_mul(100) / limit >= i64::from(self.source.wal_warning_percent)
        });
        if at_risk && !self.warned {
            tracing::warn!(
                slot = self.source.slot,
                kept_bytes = slot.kept,
                left_bytes = slot.safe.unwrap_or(0),
                "the server keeps much WAL for this slot; when max_slot_wal_keep_size is reached it invalidates the slot"
            );
        }
        self.warned = at_risk;
        Ok(())
    }

    /// Goes on telling the server what is done, without reading on, for ever.
    pub async fn acknowledge_on(&mut self) -> Result<()> {
        loop {
            self.tick().await?;
            tokio::time::sleep(ACKNOWLEDGE).await;
        }
    }

    /// Tells the server for the last time and ends the session.
    pub async fn finish(mut self) {
        // The recorder may rest for one interval, the session for another.
        let deadline = Instant::now() + self.source.status_interval * 3;
        let metrics = self.client.metrics();
        let (_, head) = self.ledger.take_done();
        let head = head.map_or(0, |head| head.commit);
        loop {
            self.acknowledge();
            let told = metrics.last_applied_lsn().as_u64() >= self.acknowledged;
            let done = self.acknowledged >= head && told;
            if done || !self.client.is_running() || self.recorder.failure().await.is_some() || Instant::now() >= deadline {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.client.stop();
    }
}

fn protocol(what: &str) -> Error {
    Error::new(Kind::Internal, format!("{what}: the server and the relay disagree about the protocol"))
        .remedy("nothing is lost, the slot stands where it stood; please report this")
}
