//! The reading half: one snapshot at a time, from the floor up, leaving out
//! what is in flight.

use super::floor::{Floor, Observation, ReadThrough};
use super::queries::{OLDEST_WRITER, Queries};
use super::table::Table;
use super::{Unfinished, ddl, row};
use crate::config::OutboxSource;
use crate::error::{Error, Kind, Result};
use crate::source::Intake;
use crate::source::postgres::{Connection, classify};
use futures_util::{StreamExt as _, pin_mut};
use std::time::Duration;
use tokio::time::Instant;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{RowStream, Statement};

/// The rows that are to be published before `--until-drained` ends.
#[derive(Clone, Copy, Debug)]
pub struct Backlog {
    /// Highest sequence number visible at the start.
    pub max_seq: i64,
    /// Rows visible at the start.
    pub rows: i64,
}

struct Swept {
    through: ReadThrough,
    rows: usize,
}

/// See the module. Owns the session that holds the lock.
pub struct Reader {
    connection: Connection,
    unfinished: Unfinished,
    floor: Floor,
    observe: Statement,
    select: Statement,
    select_new: Option<Statement>,
    backlog: String,
    /// The last snapshot that was wholly read.
    seen: Option<String>,
    /// A cancel of ours may still hit the statement after the one it was for.
    cancelling: bool,
    limit: i64,
    poll_min: Duration,
    poll_max: Duration,
    stall: Duration,
    check: Duration,
    floor_warning: Duration,
    /// Since when the floor stands below a barrier, and which.
    held: Option<(Instant, i64)>,
}

impl Reader {
    /// Prepares to read from `floor` (0 unless a checkpoint says otherwise).
    pub async fn new(connection: Connection, table: &Table, source: &OutboxSource, floor: i64, unfinished: Unfinished) -> Result<Self> {
        let queries = Queries::new(table, source.retain);
        let client = &connection.client;
        let failed = |e| classify(e, "cannot prepare the poll");
        let observe = client.prepare(&queries.observe).await.map_err(failed)?;
        let select = client.prepare(&queries.select).await.map_err(failed)?;
        let select_new = match &queries.select_new {
            Some(sql) => {
                // Its OR is answered by two index scans together.
                client.batch_execute("SET enable_bitmapscan = on").await.map_err(failed)?;
                Some(client.prepare(sql).await.map_err(failed)?)
            }
            None => None,
        };
        if source.notify {
            client.batch_execute(&format!("LISTEN {}", ddl::CHANNEL)).await.map_err(failed)?;
        }
        Ok(Self {
            unfinished,
            floor: Floor::at(floor),
            observe,
            select,
            select_new,
            backlog: queries.backlog,
            seen: None,
            cancelling: false,
            limit: i64::from(source.batch_rows),
            poll_min: source.poll_min,
            poll_max: source.poll_max,
            stall: source.select_stall,
            check: source.session_check,
            floor_warning: source.floor_warning,
            held: None,
            connection,
        })
    }

    /// Counts what is there now.
    pub async fn backlog(&self) -> Result<Backlog> {
        let params: &[&(dyn ToSql + Sync)] = &[&self.floor.floor(), &self.unfinished.multirange()];
        let row = self.connection.client.query_one(&self.backlog, params).await.map_err(|e| classify(e, "cannot count the backlog"))?;
        Ok(Backlog { max_seq: row.get(0), rows: row.get(1) })
    }

    /// Reads for ever, or until the backlog is read.
    ///
    /// # Errors
    /// When the session ends or a row cannot be read.
    pub async fn run(&mut self, intake: &mut Intake<'_>, backlog: Option<Backlog>) -> Result<()> {
        let mut pause = self.poll_min;
        loop {
            let swept = self.sweep(intake).await?;
            self.name_the_floor_holder().await?;
            let read = match swept.through {
                ReadThrough::All => i64::MAX,
                ReadThrough::Seq(seq) => seq,
            };
            if backlog.is_some_and(|backlog| read >= backlog.max_seq) {
                return Ok(());
            }
            if swept.through != ReadThrough::All && swept.rows == 0 {
                self.wait_for_room(intake).await?;
            } else if swept.rows > 0 {
                pause = self.poll_min;
            } else {
                self.wait(pause).await?;
                pause = (pause * 2).min(self.poll_max);
            }
        }
    }

    async fn wait(&mut self, pause: Duration) -> Result<()> {
        tokio::select! {
            () = tokio::time::sleep(pause) => Ok(()),
            notified = self.connection.notified.recv() => notified.map(drop).ok_or_else(session_ended),
        }
    }

    async fn wait_for_room(&mut self, intake: &Intake<'_>) -> Result<()> {
        tokio::select! {
            () = intake.room() => Ok(()),
            // Closed when the session ends.
            notified = self.connection.notified.recv() => notified.map(drop).ok_or_else(session_ended),
            () = tokio::time::sleep(self.check) => match self.connection.client.batch_execute("SELECT 1").await {
                Err(error) if !self.excuses(&error) => Err(classify(error, "the session that holds the lock ended")),
                _ => Ok(()),
            },
        }
    }

    /// Whether an error is the late effect of our own cancel.
    fn excuses(&mut self, error: &tokio_postgres::Error) -> bool {
        error.code() == Some(&SqlState::QUERY_CANCELED) && std::mem::take(&mut self.cancelling)
    }

    /// One observation and one SELECT after it, sent together.
    async fn sweep(&mut self, intake: &mut Intake<'_>) -> Result<Swept> {
        let (floor, leave_out) = (self.floor.floor(), self.unfinished.multirange());
        let mut params: Vec<&(dyn ToSql + Sync)> = vec![&floor, &leave_out, &self.limit];
        let statement = match (&self.select_new, &self.seen) {
            (Some(statement), Some(seen)) => {
                params.push(seen);
                statement
            }
            _ => &self.select,
        };
        let client = &self.connection.client;
        let (observed, rows) = tokio::join!(client.query_one(&self.observe, &[]), client.query_raw(statement, params));
        let nothing = Swept { through: ReadThrough::Seq(floor), rows: 0 };
        let observed = match observed {
            Ok(observed) => observed,
            Err(error) if self.excuses(&error) => return Ok(nothing),
            Err(error) => return Err(classify(error, "cannot poll the outbox")),
        };
        let rows = match rows {
            Ok(rows) => rows,
            Err(error) if self.excuses(&error) => return Ok(nothing),
            Err(error) => return Err(classify(error, "cannot poll the outbox")),
        };
        let snapshot: String = observed.get(3);
        self.floor.observe(Observation { max_seq: observed.get(0), xmin: observed.get(1), xnext: observed.get(2) });
        let swept = self.admit(rows, intake).await?;
        intake.hand_over();
        let floor = self.floor.read(swept.through);
        self.unfinished.forget_through(floor);
        if swept.through == ReadThrough::All {
            self.seen = Some(snapshot);
        }
        Ok(swept)
    }

    async fn admit(&mut self, rows: RowStream, intake: &mut Intake<'_>) -> Result<Swept> {
        pin_mut!(rows);
        let (mut count, mut last) = (0, self.floor.floor());
        while let Some(row) = rows.next().await {
            let row = match row {
                Ok(row) => row,
                Err(error) if self.excuses(&error) => return Ok(Swept { through: ReadThrough::Seq(last), rows: count }),
                Err(error) => return Err(classify(error, "cannot read the outbox")),
            };
            let (seq, lane, event) = row::read(&row, intake.names())?;
            self.unfinished.insert(seq);
            if intake.admit_within(lane, event, self.stall).await.is_err() {
                self.unfinished.remove(&[seq]);
                self.cancelling = true;
                self.connection.cancel().await;
                while let Some(row) = rows.next().await {
                    if let Err(error) = row {
                        self.excuses(&error);
                        break;
                    }
                }
                return Ok(Swept { through: ReadThrough::Seq(last), rows: count });
            }
            (count, last) = (count + 1, seq);
        }
        self.cancelling = false;
        let cut = i64::try_from(count).unwrap_or(i64::MAX) >= self.limit;
        Ok(Swept { through: if cut { ReadThrough::Seq(last) } else { ReadThrough::All }, rows: count })
    }

    /// Names whatever holds the floor at one place for long.
    async fn name_the_floor_holder(&mut self) -> Result<()> {
        let safe = self.floor.safe();
        match self.held {
            _ if !self.floor.is_held() => self.held = None,
            Some((since, at)) if at == safe => {
                if since.elapsed() < self.floor_warning {
                    return Ok(());
                }
                self.held = Some((Instant::now(), safe));
                let rows = match self.connection.client.query(OLDEST_WRITER, &[]).await {
                    Err(error) if self.excuses(&error) => return Ok(()),
                    rows => rows.map_err(|e| classify(e, "cannot look for old transactions"))?,
                };
                if let Some(row) = rows.first() {
                    let holder: String = row.get(0);
                    tracing::warn!(floor = safe, holder, "an old transaction holds the floor: delivery goes on, polls get slower; end it");
                }
            }
            _ => self.held = Some((Instant::now(), safe)),
        }
        Ok(())
    }
}

fn session_ended() -> Error {
    Error::new(Kind::DatabaseUnavailable, "the session that holds the pipeline's lock ended").remedy("the relay reconnects by itself")
}
