//! Snapshots as the stream meets them: when a chunk is read, when it is handed
//! over, and what is remembered of it.

use super::Reader;
use crate::config::SnapshotMode;
use crate::error::{Error, Kind, Result};
use crate::event::{Operation, Position};
use crate::source::Intake;
use crate::source::cdc::relation::Role;
use crate::source::cdc::rows::{Change, Place};
use crate::source::cdc::scan::{Scan, ScanProgress};
use crate::source::cdc::slot::{Lsn, published};
use crate::source::cdc::snapshot::{self, PREFIX, Released};
use crate::state::{Records, read};
use serde::Deserialize;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Key of a table's record.
fn record(table: &str) -> String {
    format!("snapshot/{table}")
}

/// What we say to ourselves through the log.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Own {
    /// Take a snapshot of this table.
    Snapshot(String),
    /// A chunk ends here.
    Watermark(String),
}

impl Reader {
    /// Begins the snapshots that the configuration asks for, and goes on with
    /// those that were not finished.
    pub(super) async fn resume_snapshots(&mut self, records: &Records) -> Result<()> {
        let mut unfinished: Vec<(String, ScanProgress)> = Vec::new();
        let mut wanted: Vec<(String, ScanProgress)> = Vec::new();
        for (key, _) in records.iter().filter(|(key, _)| key.starts_with("snapshot/")) {
            let progress: ScanProgress = read(records, key)?.unwrap_or_default();
            if !progress.done {
                unfinished.push((key.trim_start_matches("snapshot/").to_owned(), progress));
            }
        }
        if self.source.snapshot != SnapshotMode::None {
            let published = published(&self.control.client, &self.source.publication).await?.unwrap_or_default();
            let run = Lsn(self.newest().await?).to_string();
            for table in published.tables {
                let ours = self.source.outbox_name().as_deref() == Some(&table.name) || self.source.captures(&table.name);
                let left_out = crate::config::matches(&self.source.snapshot_exclude, &table.name);
                if ours && !left_out && !records.contains_key(&record(&table.name)) {
                    wanted.push((table.name, ScanProgress { run: run.clone(), ..ScanProgress::default() }));
                }
            }
        }
        for (table, progress) in unfinished {
            self.begin_if_possible(&table, progress).await?;
        }
        for (table, progress) in wanted {
            self.begin_scan(&table, progress).await?;
        }
        Ok(())
    }

    /// A snapshot of a table that is gone meanwhile must not stop what runs.
    async fn begin_if_possible(&mut self, table: &str, progress: ScanProgress) -> Result<()> {
        match self.begin_scan(table, progress).await {
            Err(error) if matches!(error.kind(), Kind::Config | Kind::DatabaseUnusable) => {
                tracing::error!("a snapshot cannot be taken, and is left: {error}");
                Ok(())
            }
            result => result,
        }
    }

    async fn begin_scan(&mut self, table: &str, progress: ScanProgress) -> Result<()> {
        let scan = Scan::new(&self.control.client, self.tables.catalog(), &self.source, table, progress).await?;
        if matches!(scan.table().role, Role::Ignored) {
            return Err(Error::new(Kind::Config, "a snapshot of a table that is no event source")
                .at("table", table)
                .remedy("add it to source.tables, or make it source.outbox"));
        }
        tracing::info!(table, run = scan.run(), rows_before = scan.progress().rows, estimate = scan.estimate, "reading a snapshot");
        self.snapshots.add(scan);
        Ok(())
    }

    /// Reads the next chunk; the stream rests meanwhile.
    pub(super) async fn read_chunk(&mut self) -> Result<()> {
        if !self.snapshots.is_attached() {
            let connection = self.target.connect_printing().await?;
            self.snapshots.attach(connection);
        }
        let encoder = self.tables.encoder();
        let key = |table: &_, message: &_| encoder.key(table, &snapshot::row(message)?, None);
        match self.snapshots.read(&self.source, key).await {
            // The table was altered; as it is now, it may still be read.
            Err(error) if error.kind() == Kind::DatabaseUnusable => {
                tracing::warn!("{error}");
                match self.snapshots.give_up() {
                    Some(scan) if !scan.is_fresh() => self.begin_if_possible(scan.name(), scan.progress().clone()).await,
                    _ => Err(error),
                }
            }
            result => result,
        }
    }

    /// A message of this pipeline to itself.
    pub(super) async fn own_message(&mut self, content: &[u8], place: Place, intake: &mut Intake<'_>) -> Result<()> {
        match serde_json::from_slice(content) {
            Ok(Own::Snapshot(table)) => {
                let progress = ScanProgress { run: Lsn(place.position.commit).to_string(), ..ScanProgress::default() };
                // Before the message can be confirmed, or a crash would forget it.
                if self.transactional {
                    self.chunks.push((place.position, record(&table), progress.clone()));
                } else {
                    self.store.put(&record(&table), &progress).await?;
                }
                self.begin_if_possible(&table, progress).await
            }
            Ok(Own::Watermark(token)) => match self.snapshots.release(&token) {
                Some(released) => self.hand_over_chunk(released, place, intake).await,
                // Of a life before.
                None => Ok(()),
            },
            Err(_) => Ok(()),
        }
    }

    /// Under exactly-once in one transaction, for its progress is remembered as a whole.
    async fn hand_over_chunk(&mut self, released: Released, place: Place, intake: &mut Intake<'_>) -> Result<()> {
        self.ledger.keep_together(true);
        let Released { scan, rows } = released;
        let mut position = place.position;
        for (n, message) in rows.iter().enumerate() {
            // The watermark's transaction has no change but the watermark.
            position = Position { index: place.position.index + 2 + n as u64, ..place.position };
            let place = Place { position, snapshot: true, ..place };
            let table = scan.table();
            let tuple = snapshot::row(message)?;
            let mut event = match &table.role {
                Role::Outbox(layout) => layout.read(table, message, &tuple, place, intake.names())?,
                Role::Rows => {
                    let change = Change { operation: Operation::Snapshot, old: None, new: Some(tuple) };
                    let Some(mut event) = self.tables.encoder().events(table, &change, place)?.pop() else { continue };
                    // The same each time this run of the snapshot reads the row.
                    let key = event.key.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
                    event.id = format!("{}@{}:{key}", table.name, scan.run()).into();
                    event
                }
                Role::Ignored => continue,
            };
            event.topic = intake.names().topic(&event.entity, &event.event_type);
            self.admit(event, intake).await?;
        }
        self.chunks.push((position, record(scan.name()), scan.progress().clone()));
        self.ledger.keep_together(false);
        Ok(())
    }

    /// Remembers what is published of snapshots.
    pub(super) async fn record_chunks(&mut self, head: Option<Position>) -> Result<()> {
        // Else they are in the transaction that publishes them.
        if let Some(head) = head.filter(|_| !self.transactional) {
            for (key, progress) in self.chunks.take(head) {
                self.store.put(&key, &progress).await?;
            }
        }
        Ok(())
    }
}

/// What is to be remembered of snapshots once the window's head is there.
#[derive(Clone, Default)]
pub struct Chunks(Arc<Mutex<VecDeque<(Position, String, ScanProgress)>>>);

impl Chunks {
    fn lock(&self) -> MutexGuard<'_, VecDeque<(Position, String, ScanProgress)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, chunk: (Position, String, ScanProgress)) {
        self.lock().push_back(chunk);
    }

    /// The newest of each table, up to there.
    #[must_use]
    pub fn take(&self, head: Position) -> BTreeMap<String, ScanProgress> {
        let mut chunks = self.lock();
        let mut newest = BTreeMap::new();
        while chunks.front().is_some_and(|(position, ..)| *position <= head) {
            let Some((_, key, progress)) = chunks.pop_front() else { break };
            if progress.done {
                tracing::info!(table = key.trim_start_matches("snapshot/"), rows = progress.rows, "the snapshot is published");
            }
            newest.insert(key, progress);
        }
        newest
    }
}

/// A heartbeat: prefix and content of the message.
pub(super) fn beat(slot: &str) -> (String, &'static str) {
    (format!("{PREFIX}{slot}"), "{}")
}

/// What asks a pipeline for a snapshot: prefix and content of the message.
#[must_use]
pub fn request(slot: &str, table: &str) -> (String, String) {
    (format!("{PREFIX}{slot}"), serde_json::json!({ "snapshot": table }).to_string())
}
