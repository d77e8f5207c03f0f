//! The acknowledging half, on a session of its own: deletes what is published,
//! or (`retain`) records it.

use super::ddl;
use super::published::still_there;
use super::table::Table;
use super::unfinished::{Unfinished, multirange};
use crate::checkpoint::Ledger;
use crate::config::OutboxSource;
use crate::error::{Error, Kind, Result};
use crate::source::postgres::{Connection, classify, literal, quote};
use rangemap::RangeInclusiveSet;
use std::collections::HashMap;
use std::time::Duration;
use tokio_postgres::Statement;

enum Mode {
    Delete,
    Retain { pipeline: String, acknowledged: RangeInclusiveSet<i64>, floor: i64 },
}

/// See the module.
pub struct Acknowledger {
    connection: Connection,
    statement: Statement,
    mode: Mode,
    unfinished: Unfinished,
    /// Published and not yet deleted; survives a lost session.
    waiting: Vec<i64>,
    /// Of one statement.
    rows: usize,
    /// From the first that is done to their statement.
    linger: Duration,
}

/// What `retain` remembers.
#[derive(Clone, Debug, Default)]
pub struct Checkpoint {
    /// All rows at or below are published.
    pub floor: i64,
    /// Published above the floor.
    pub acknowledged: RangeInclusiveSet<i64>,
}

impl Acknowledger {
    /// Deletes rows; `waiting` are those a former session could not delete.
    pub async fn deleting(
        connection: Connection,
        table: &Table,
        source: &OutboxSource,
        unfinished: Unfinished,
        waiting: Vec<i64>,
    ) -> Result<Self> {
        let sql = format!("DELETE FROM {} WHERE {} = ANY ($1)", table.name.sql(), quote(&table.seq.name));
        let statement = connection.client.prepare(&sql).await.map_err(|e| classify(e, "cannot prepare the delete"))?;
        waiting.iter().for_each(|seq| unfinished.insert(*seq));
        let (rows, linger) = (source.delete_rows as usize, source.acknowledge_linger);
        Ok(Self { connection, statement, mode: Mode::Delete, unfinished, waiting, rows, linger })
    }

    /// Keeps rows and records progress in `relay_checkpoint`.
    pub async fn retaining(
        connection: Connection,
        table: &Table,
        source: &OutboxSource,
        pipeline: &str,
        unfinished: Unfinished,
    ) -> Result<(Self, Checkpoint)> {
        let read = format!(
            "SELECT c.floor, lower(r), upper(r) - 1 FROM {} c LEFT JOIN LATERAL unnest(c.acknowledged) r ON true \
             WHERE c.pipeline = $1 AND c.table_name = $2",
            ddl::CHECKPOINT
        );
        let name = table.name.to_string();
        let found = connection.client.query(&read, &[&pipeline, &name]).await.map_err(|e| classify(e, "cannot read relay_checkpoint"))?;
        let mut checkpoint = Checkpoint::default();
        for row in found {
            checkpoint.floor = row.get(0);
            if let (Some(low), Some(high)) = (row.get::<_, Option<i64>>(1), row.get::<_, Option<i64>>(2)) {
                checkpoint.acknowledged.insert(low..=high);
            }
        }
        let write = format!(
            "INSERT INTO {0} AS c (pipeline, table_name, floor, acknowledged) VALUES ($1, {1}, $2, $3::text::int8multirange) \
             ON CONFLICT (pipeline) DO UPDATE SET table_name = excluded.table_name, updated_at = now(), \
             floor = CASE WHEN c.table_name = excluded.table_name THEN greatest(c.floor, excluded.floor) ELSE excluded.floor END, \
             acknowledged = CASE WHEN c.table_name = excluded.table_name THEN (c.acknowledged + excluded.acknowledged) \
                 - int8multirange(int8range(NULL, greatest(c.floor, excluded.floor), '[]')) ELSE excluded.acknowledged END",
            ddl::CHECKPOINT,
            literal(&name)
        );
        let statement = connection.client.prepare(&write).await.map_err(|e| classify(e, "cannot prepare the checkpoint"))?;
        unfinished.restore(&checkpoint);
        let mode = Mode::Retain { pipeline: pipeline.to_owned(), acknowledged: checkpoint.acknowledged.clone(), floor: checkpoint.floor };
        let (rows, linger) = (source.delete_rows as usize, source.acknowledge_linger);
        Ok((Self { connection, statement, mode, unfinished, waiting: Vec::new(), rows, linger }, checkpoint))
    }

    /// Acknowledges what the last transaction published, as its record has it, before
    /// anything is read.
    ///
    /// # Errors
    /// `ServerChanged` if a row has another id now: this is not the table that was read.
    pub async fn settle(&mut self, table: &Table, published: Vec<(i64, String)>) -> Result<()> {
        for chunk in published.chunks(self.rows) {
            let known: HashMap<i64, &str> = chunk.iter().map(|(seq, id)| (*seq, id.as_str())).collect();
            let mut there = Vec::new();
            for (seq, id) in still_there(&self.connection.client, table, chunk).await? {
                let wanted = known.get(&seq).copied().unwrap_or_default();
                if wanted != id {
                    return Err(Error::new(Kind::ServerChanged, format!("row {seq} was published with id {wanted}, and has id {id} now"))
                        .at("id", id)
                        .remedy("the table was made anew, or restored: make sure what is to be published, then go on with `relay init --adopt-server`"));
                }
                there.push(seq);
            }
            there.iter().for_each(|seq| self.unfinished.insert(*seq));
            if !there.is_empty() {
                tracing::info!(rows = there.len(), "published by the last transaction, and not acknowledged yet");
                self.acknowledge(&there).await?;
            }
        }
        Ok(())
    }

    /// Acknowledges whatever is done, as it gets done, for ever.
    ///
    /// # Errors
    /// When the session ends; what was not acknowledged is kept in `waiting`.
    pub async fn run(&mut self, ledger: &Ledger) -> Result<()> {
        loop {
            // First, because a former session may have left something.
            self.flush(ledger).await?;
            ledger.done().await;
            // A statement for each row that is done costs more than the rows.
            tokio::time::sleep(self.linger).await;
        }
    }

    /// Acknowledges what is done now.
    pub async fn flush(&mut self, ledger: &Ledger) -> Result<()> {
        self.collect(ledger);
        while !self.waiting.is_empty() {
            // The oldest first: after a crash only a tail may come again, or a
            // consumer would end with an older value. Taken out only once it
            // succeeded.
            let chunk: Vec<i64> = self.waiting.iter().take(self.rows).copied().collect();
            self.acknowledge(&chunk).await?;
            self.waiting.drain(..chunk.len());
        }
        Ok(())
    }

    /// Takes what is done, to be acknowledged later.
    pub fn collect(&mut self, ledger: &Ledger) {
        let (done, _) = ledger.take_done();
        self.waiting.extend(done.iter().map(|p| i64::try_from(p.commit).unwrap_or(i64::MAX)));
    }

    async fn acknowledge(&mut self, seqs: &[i64]) -> Result<()> {
        let client = &self.connection.client;
        match &mut self.mode {
            Mode::Delete => {
                client.execute(&self.statement, &[&seqs]).await.map_err(|e| classify(e, "cannot delete published rows"))?;
                self.unfinished.remove(seqs);
            }
            Mode::Retain { pipeline, acknowledged, floor } => {
                let mut next = acknowledged.clone();
                seqs.iter().for_each(|seq| next.insert(*seq..=*seq));
                let settled = self.unfinished.settle(seqs);
                // A stored position never moves backward.
                let next_floor = settled.max(*floor);
                next.remove(i64::MIN..=next_floor);
                client
                    .execute(&self.statement, &[&*pipeline, &next_floor, &multirange(&next)])
                    .await
                    .map_err(|e| classify(e, "cannot write relay_checkpoint"))?;
                (*acknowledged, *floor) = (next, next_floor);
            }
        }
        Ok(())
    }

    /// What could not be deleted, for the next session.
    #[must_use]
    pub fn into_waiting(self) -> Vec<i64> {
        match self.mode {
            Mode::Delete => self.waiting,
            // The checkpoint did not record them, so they come again.
            Mode::Retain { .. } => Vec::new(),
        }
    }
}
