//! The reading half: one snapshot at a time, from the floor up, leaving out
//! what is in flight.

use super::floor::{Floor, Observation, ReadThrough};
use super::table::{Table, quote};
use super::{Unfinished, ddl, row};
use crate::config::OutboxSource;
use crate::error::Result;
use crate::source::Intake;
use crate::source::postgres::{Connection, classify};
use futures_util::{StreamExt as _, pin_mut};
use std::time::Duration;
use tokio::time::Instant;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{RowStream, Statement};

/// How long a SELECT may stand open while there is no room; then it is
/// cancelled, so that its snapshot does not hold back vacuum.
const PATIENCE: Duration = Duration::from_millis(500);

/// While there is no room the session is touched this often, to notice that it
/// (and the lock) is gone.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// A floor held for this long by somebody's old transaction is worth a line:
/// delivery goes on, but every poll reads more rows again.
const FLOOR_HELD: Duration = Duration::from_secs(30);

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
    /// `retain`: reads only what a previous, wholly read snapshot did not see.
    select_new: Option<Statement>,
    seen: Option<String>,
    limit: i64,
    poll_min: Duration,
    poll_max: Duration,
    held_since: Option<Instant>,
}

impl Reader {
    /// Prepares to read from `floor` (0 unless a checkpoint says otherwise).
    pub async fn new(connection: Connection, table: &Table, source: &OutboxSource, floor: i64, unfinished: Unfinished) -> Result<Self> {
        let (sql, seq) = (table.name.sql(), quote(&table.seq.name));
        // The barrier, word for word as it was fuzzed (DESIGN, "Sources").
        // One autocommit statement, never inside a transaction.
        let observe = format!(
            "SELECT coalesce((SELECT max({seq}) FROM {sql}), 0) AS m, \
             pg_snapshot_xmin(s)::text::bigint AS xmin, \
             pg_snapshot_xmax(s)::text::bigint \
             + ((((age('3'::xid)::bigint + 3) - pg_snapshot_xmax(s)::text::bigint) % 4294967296) + 4294967296) % 4294967296 AS xnext, \
             s::text \
             FROM pg_current_snapshot() s"
        );
        let list = table.select_list();
        let tail = format!("NOT ({seq} <@ $2::text::int8multirange) ORDER BY {seq} LIMIT $3");
        let select = format!("SELECT {list} FROM {sql} WHERE {seq} > $1 AND {tail}");
        let select_new = table.xid.as_ref().filter(|_| source.retain).map(|xid| {
            let xid = quote(&xid.name);
            format!(
                "SELECT {list} FROM {sql} WHERE {seq} > $1 AND ({xid} >= pg_snapshot_xmax($4::text::pg_snapshot) \
                 OR {xid} = ANY (ARRAY(SELECT pg_snapshot_xip($4::text::pg_snapshot)))) AND {tail}"
            )
        });
        let client = &connection.client;
        let prepare = |sql: String| async move { client.prepare(&sql).await.map_err(|e| classify(e, "cannot prepare the poll")) };
        let (observe, select) = (prepare(observe).await?, prepare(select).await?);
        let select_new = match select_new {
            Some(sql) => {
                // Its OR is answered by two index scans together.
                client.batch_execute("SET enable_bitmapscan = on").await.map_err(|e| classify(e, "cannot set up the session"))?;
                Some(prepare(sql).await?)
            }
            None => None,
        };
        if source.notify {
            client.batch_execute(&format!("LISTEN {}", ddl::CHANNEL)).await.map_err(|e| classify(e, "cannot LISTEN"))?;
        }
        Ok(Self {
            unfinished,
            floor: Floor::at(floor),
            observe,
            select,
            select_new,
            seen: None,
            limit: i64::from(source.batch_rows),
            poll_min: source.poll_min,
            poll_max: source.poll_max,
            held_since: None,
            connection,
        })
    }

    /// Counts what is there now.
    pub async fn backlog(&self, table: &Table) -> Result<Backlog> {
        let (sql, seq) = (table.name.sql(), quote(&table.seq.name));
        let counted = format!("SELECT coalesce(max({seq}), 0), count(*) FROM {sql} WHERE {seq} > $1 AND NOT ({seq} <@ $2::text::int8multirange)");
        let params: &[&(dyn ToSql + Sync)] = &[&self.floor.floor(), &self.unfinished.multirange()];
        let row = self.connection.client.query_one(&counted, params).await.map_err(|e| classify(e, "cannot count the backlog"))?;
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
                self.wait(pause).await;
                pause = (pause * 2).min(self.poll_max);
            }
        }
    }

    async fn wait(&mut self, pause: Duration) {
        // A closed channel means a closed session, which the next poll reports.
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            Some(_) = self.connection.notified.recv() => {}
        }
    }

    async fn wait_for_room(&self, intake: &Intake<'_>) -> Result<()> {
        while tokio::time::timeout(HEARTBEAT, intake.room()).await.is_err() {
            self.connection.client.batch_execute("SELECT 1").await.map_err(|e| classify(e, "the session that holds the lock ended"))?;
        }
        Ok(())
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
        let observed = observed.map_err(|e| classify(e, "cannot poll the outbox"))?;
        let snapshot: String = observed.get(3);
        self.floor.observe(Observation { max_seq: observed.get(0), xmin: observed.get(1), xnext: observed.get(2) });
        let rows = rows.map_err(|e| classify(e, "cannot poll the outbox"))?;
        let swept = self.admit(rows, intake).await?;
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
                // A late cancel of the SELECT before.
                Err(error) if error.code() == Some(&SqlState::QUERY_CANCELED) => {
                    return Ok(Swept { through: ReadThrough::Seq(last), rows: count });
                }
                Err(error) => return Err(classify(error, "cannot read the outbox")),
            };
            let (seq, lane, event) = row::read(&row, intake)?;
            self.unfinished.insert(seq);
            if intake.admit_within(lane, event, PATIENCE).await.is_err() {
                self.unfinished.remove(&[seq]);
                self.connection.cancel().await;
                while rows.next().await.is_some_and(|row| row.is_ok()) {}
                return Ok(Swept { through: ReadThrough::Seq(last), rows: count });
            }
            (count, last) = (count + 1, seq);
        }
        let cut = i64::try_from(count).unwrap_or(i64::MAX) >= self.limit;
        Ok(Swept { through: if cut { ReadThrough::Seq(last) } else { ReadThrough::All }, rows: count })
    }

    /// Names whatever holds the floor, once in a while: the oldest transaction
    /// or prepared transaction of the cluster.
    async fn name_the_floor_holder(&mut self) -> Result<()> {
        if !self.floor.is_held() {
            self.held_since = None;
            return Ok(());
        }
        if self.held_since.get_or_insert_with(Instant::now).elapsed() < FLOOR_HELD {
            return Ok(());
        }
        self.held_since = Some(Instant::now());
        let rows = self
            .connection
            .client
            .query(
                "SELECT format('pid %s (%s, %s) for %s', pid, usename, state, date_trunc('second', now() - xact_start)), xact_start \
                 FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid() \
                 UNION ALL SELECT format('prepared transaction %L for %s', gid, date_trunc('second', now() - prepared)), prepared \
                 FROM pg_prepared_xacts ORDER BY 2 LIMIT 1",
                &[],
            )
            .await
            .map_err(|e| classify(e, "cannot look for old transactions"))?;
        if let Some(row) = rows.first() {
            tracing::warn!(floor = self.floor.floor(), holder = row.get::<_, String>(0), "an old transaction holds the floor: delivery goes on, polls get slower; end it");
        }
        Ok(())
    }
}
