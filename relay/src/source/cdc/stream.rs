//! The stream: messages of the walsender in the order of commit, each change
//! with its position, handed to the lanes; and what is done, told to the server.

mod acknowledge;
mod messages;
mod snapshots;

pub use snapshots::{Chunks, request};

use super::pgoutput::{self, Message};
use super::progress::{Progress, Recorder};
use super::relation::Role;
use super::rows::{Place, Transaction};
use super::slot::{Lsn, Slot, missing};
use super::snapshot::Snapshots;
use super::tables::{self, Tables, protocol};
use crate::checkpoint::Ledger;
use crate::config::{CdcSource, OnUpdate};
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Operation, Position};
use crate::source::postgres::{Connection, Target, classify, stream_error};
use crate::source::{Intake, lane_of};
use crate::state::Store;
use bytes::Bytes;
use pgwire_replication::{PgWireError, ReplicationClient, ReplicationEvent};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::time::Instant;

/// How often progress is told to the session that talks to the server.
const ACKNOWLEDGE: Duration = Duration::from_millis(100);

/// Changes between two looks at the clock while there is no pause.
const BREATH: u32 = 1024;

/// See the module. Owns the replication session and the one that holds the lock.
pub struct Reader {
    client: ReplicationClient,
    control: Connection,
    source: CdcSource,
    ledger: Arc<Ledger>,
    tables: Tables,
    transaction: Option<Transaction>,
    /// The last change that was published before this session, where it is in
    /// the middle of a transaction.
    published: Option<Position>,
    /// Everything of the stream before is handed over.
    read: u64,
    acknowledged: u64,
    recorder: Recorder,
    inspected: Option<Instant>,
    beaten: Instant,
    warned: bool,
    updates: u64,
    target: Target,
    store: Arc<Store>,
    snapshots: Snapshots,
    chunks: Chunks,
    /// Whether positions are remembered by the transaction that publishes up to there.
    transactional: bool,
    progress: Progress,
}

impl Reader {
    /// Starts the stream where the pipeline stands: at what is remembered as
    /// published, else where the slot is.
    ///
    /// # Errors
    /// When the server refuses, or is not the one that was published from.
    pub async fn start(
        control: Connection,
        target: &Target,
        source: &CdcSource,
        ledger: Arc<Ledger>,
        store: Arc<Store>,
        transactional: bool,
    ) -> Result<Self> {
        let found = Slot::find(&control.client, &source.slot).await?.ok_or_else(|| missing(&source.slot))?;
        found.usable(&source.slot, target.database())?;
        let records = store.load().await?;
        let known = Progress::find(&records)?;
        let begin = known.as_ref().map_or(0, Progress::lsn).max(found.confirmed);
        let config = target
            .replication(&source.slot, &source.publication)
            .with_status_interval(source.status_interval)
            .with_wakeup_interval(source.status_interval)
            .with_buffer_size(source.read_ahead)
            .with_start_lsn(begin.into());
        let failed = |e| stream_error(e, "cannot start the replication stream").at("slot", &source.slot);
        let mut client = ReplicationClient::connect_gated(config).await.map_err(failed)?;
        let server = client.identify_system().await.map_err(failed)?;
        if let Some(known) = &known {
            if known.slot != source.slot {
                tracing::warn!(before = known.slot, now = source.slot, "the pipeline read another slot before");
            }
            known.continues(&server.system_id, server.timeline, &found).map_err(|e| e.at("state", store.place()))?;
        }
        // Its changes are counted as they come through the publication.
        let published = known.as_ref().filter(|known| known.publication == source.publication).map(Progress::mark);
        let progress = Progress {
            change: published.and_then(|(_, change)| change),
            publication: source.publication.clone(),
            position: known.map_or_else(|| Lsn(found.confirmed).to_string(), |known| known.position),
            system: server.system_id,
            timeline: server.timeline,
            slot: source.slot.clone(),
        };
        if !transactional {
            progress.store(&store).await?;
        }
        client.start().await.map_err(failed)?;
        client.wait_started().await.map_err(failed)?;
        let mut reader = Self {
            recorder: if transactional {
                Recorder::after(&progress)
            } else {
                Recorder::start(Arc::clone(&store), progress.clone(), source.status_interval)
            },
            client,
            control,
            source: source.clone(),
            ledger,
            tables: Tables::new(source, target.database()),
            transaction: None,
            published: published.and_then(|(commit, change)| Some(Position { commit, index: change? })),
            read: begin,
            acknowledged: 0,
            inspected: None,
            beaten: Instant::now(),
            warned: false,
            updates: 0,
            target: target.clone(),
            store,
            snapshots: Snapshots::new(found.current),
            chunks: Chunks::default(),
            transactional,
            progress,
        };
        reader.resume_snapshots(&records).await?;
        Ok(reader)
    }

    /// What the record of a transaction is made of: where the stream began, and what is to
    /// be remembered of snapshots.
    #[must_use]
    pub fn memory(&self) -> (Progress, Chunks) {
        (self.progress.clone(), self.chunks.clone())
    }

    /// The server's newest position.
    pub async fn newest(&self) -> Result<u64> {
        let sql = "SELECT (pg_current_wal_lsn() - '0/0')::int8";
        let row = self.control.client.query_one(sql, &[]).await.map_err(|e| classify(e, "cannot ask for the newest position"))?;
        Ok(u64::try_from(row.get::<_, i64>(0)).unwrap_or(0))
    }

    /// Reads for ever, or until everything before `until`, and every snapshot, is
    /// handed over.
    ///
    /// # Errors
    /// When the stream ends or a change cannot be read.
    pub async fn run(&mut self, intake: &mut Intake<'_>, until: Option<u64>) -> Result<()> {
        let mut breath = 0;
        // When what is held back must go.
        let mut held = None;
        // To the end of a transaction, where its position can be passed.
        while until.is_none_or(|until| self.read < until || !self.snapshots.is_done() || self.transaction.is_some()) {
            if self.transaction.is_none() && self.snapshots.wants_chunk() {
                intake.hand_over();
                self.read_chunk().await?;
            }
            let event = match self.ready().await {
                Some(event) => event,
                None if intake.holds_back() => {
                    let (quiet, delay) = (self.source.hand_over_quiet, self.source.hand_over_delay);
                    let (now, last) = (Instant::now(), *held.get_or_insert_with(|| Instant::now() + delay));
                    match tokio::time::timeout_at(last.min(now + quiet), self.client.recv()).await {
                        Ok(event) => event,
                        Err(_) => {
                            held = None;
                            intake.hand_over();
                            continue;
                        }
                    }
                }
                None => tokio::select! {
                    event = self.client.recv() => event,
                    () = tokio::time::sleep(ACKNOWLEDGE) => {
                        self.tick().await?;
                        continue;
                    }
                },
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
                self.snapshots.deliver(xid);
                self.transaction = Some(Transaction::begin(final_lsn.as_u64(), commit_time_micros, xid));
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
        // The server reads its log from before the slot's position, and its
        // first keepalives say so.
        if position > self.read {
            self.read = position;
            self.ledger.pass(Position { commit: position, index: 0 });
        }
    }

    /// The place of the next change.
    fn place(&mut self) -> Result<Place> {
        self.transaction.as_mut().map(Transaction::next).ok_or_else(|| protocol("a change outside a transaction"))
    }

    async fn change(&mut self, data: Bytes, intake: &mut Intake<'_>) -> Result<()> {
        let message = pgoutput::decode(&data).map_err(|e| protocol("a message of the stream cannot be read").cause(e))?;
        let (relation, change) = match message {
            Message::Truncate { relations, .. } => {
                for relation in relations.iter() {
                    self.truncate(relation, intake).await?;
                }
                return Ok(());
            }
            Message::Relation(relation) => return self.tables.describe(&self.control.client, &relation).await,
            other => match tables::change(&other) {
                Some(change) => change,
                None => return Ok(()),
            },
        };
        let place = self.place()?;
        let table = self.tables.get(relation)?;
        let events = self.tables.events(table, &change, &data, place, intake.names())?;
        if self.snapshots.reading().is_some_and(|scan| scan.name() == &*table.name) {
            for key in self.tables.encoder().keys(table, &change)? {
                self.snapshots.touch(place.xid, &key);
            }
        }
        if matches!(table.role, Role::Outbox(_)) && change.operation == Operation::Update {
            let table = table.name.clone();
            return self.updated(&table, place);
        }
        for event in events {
            self.admit(event, intake).await?;
        }
        Ok(())
    }

    async fn truncate(&mut self, relation: u32, intake: &mut Intake<'_>) -> Result<()> {
        let place = self.place()?;
        let table = self.tables.get(relation)?;
        if self.snapshots.reading().is_some_and(|scan| scan.name() == &*table.name) {
            self.snapshots.truncate(place.xid);
        }
        match self.tables.truncated(table, place, intake.names())? {
            Some(event) => self.admit(event, intake).await,
            None => Ok(()),
        }
    }

    fn updated(&mut self, table: &str, place: Place) -> Result<()> {
        self.updates += 1;
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

    async fn admit(&mut self, mut event: Event, intake: &mut Intake<'_>) -> Result<()> {
        if let Some(published) = self.published
            && event.position.commit == published.commit
            && event.position.index <= published.index
        {
            return Ok(());
        }
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
}
