//! Snapshots beside the running stream: a table is read in chunks by primary
//! key, each from one snapshot of the database, and each followed by a
//! watermark in the log. When the watermark comes by, what the chunk still holds
//! is handed over; a row whose key was changed by a transaction that the chunk's
//! snapshot did not see has been dropped from it by then, because the stream
//! has the newer one (after DBLog: Andreakis and Papapanagiotou, 2020; by
//! snapshot visibility instead of a low watermark, so that a commit that is in
//! the log but not yet visible is told apart).

use super::pgoutput;
use super::relation::Table;
use super::scan::Scan;
use super::slot::Lsn;
use crate::config::CdcSource;
use crate::error::{Error, Kind, Result};
use crate::metrics::SNAPSHOT_ROWS;
use crate::source::postgres::{Connection, classify};
use bytes::Bytes;
use metrics::counter;
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};
use tokio_postgres::SimpleQueryMessage;

/// Prefix of our own messages in the log: watermarks, and requests.
pub(super) const PREFIX: &str = "relay:";

/// Transactions remembered as delivered. One that is in the log and not yet
/// visible has a backend waiting, so there are never as many.
const DELIVERED: usize = 65_536;

/// Pause before a chunk is read again whose snapshot lacks a delivered transaction.
const AGAIN: Duration = Duration::from_millis(20);

/// `pg_snapshot`: which transactions a query has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Visibility {
    xmin: u64,
    xmax: u64,
    running: Vec<u64>,
}

impl Visibility {
    /// Reads `xmin:xmax:xip,xip`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, ':');
        let (xmin, xmax, running) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?);
        let running = running.split(',').filter(|s| !s.is_empty()).map(str::parse).collect::<std::result::Result<_, _>>().ok()?;
        Some(Self { xmin, xmax, running })
    }

    /// Whether a transaction of the stream, of which 32 bits are known, was seen.
    pub(super) fn sees(&self, xid: u32) -> bool {
        // The one of its epochs that is nearest to ours.
        let low = self.xmax & 0xffff_ffff;
        let ahead = i64::from(xid.wrapping_sub(u32::try_from(low).unwrap_or(0)).cast_signed());
        let full = self.xmax.saturating_add_signed(ahead);
        full < self.xmin || (full < self.xmax && !self.running.contains(&full))
    }
}

/// A chunk on its way.
struct Chunk {
    token: String,
    visibility: Visibility,
    /// By key, in the order of the table; `None` where the stream has a newer one.
    rows: Vec<Option<Bytes>>,
    keys: HashMap<Bytes, usize>,
}

/// All snapshots of a session, one chunk at a time, table after table in turn.
pub(super) struct Snapshots {
    connection: Option<Connection>,
    scans: VecDeque<Scan>,
    chunk: Option<Chunk>,
    delivered: VecDeque<u32>,
    /// Where the log ended when the session began. It tells its watermarks from
    /// those of a session before, which may be read again.
    born: u64,
    watermarks: u64,
}

/// What a watermark released.
pub(super) struct Released {
    /// The table as it is described now.
    pub(super) scan: Scan,
    /// Rows as `Insert` messages.
    pub(super) rows: Vec<Bytes>,
}

impl Snapshots {
    pub(super) fn new(born: u64) -> Self {
        Self { connection: None, scans: VecDeque::new(), chunk: None, delivered: VecDeque::new(), born, watermarks: 0 }
    }

    /// Whether nothing is left to read.
    pub(super) fn is_done(&self) -> bool {
        self.scans.is_empty()
    }

    /// Whether a chunk should be read now.
    pub(super) fn wants_chunk(&self) -> bool {
        self.chunk.is_none() && !self.scans.is_empty()
    }

    /// Begins or goes on with a table; one that is being read begins again.
    pub(super) fn add(&mut self, scan: Scan) {
        if self.scans.front().is_some_and(|first| first.name() == scan.name()) {
            self.chunk = None;
        }
        self.scans.retain(|s| s.name() != scan.name());
        self.scans.push_back(scan);
    }

    /// The session that reads chunks, opened when the first one is.
    pub(super) fn attach(&mut self, connection: Connection) {
        self.connection = Some(connection);
    }

    pub(super) fn is_attached(&self) -> bool {
        self.connection.as_ref().is_some_and(|c| !c.client.is_closed())
    }

    /// A transaction of the stream has begun to be handed over.
    pub(super) fn deliver(&mut self, xid: u32) {
        if self.delivered.len() == DELIVERED {
            self.delivered.pop_front();
        }
        self.delivered.push_back(xid);
    }

    /// The table whose chunk is on its way.
    pub(super) fn reading(&self) -> Option<&Scan> {
        self.chunk.as_ref().and(self.scans.front())
    }

    /// The stream changed a row of that table.
    pub(super) fn touch(&mut self, xid: u32, key: &[u8]) {
        if let Some(chunk) = &mut self.chunk
            && let Some(at) = chunk.keys.get(key)
            && !chunk.visibility.sees(xid)
            && let Some(row) = chunk.rows.get_mut(*at)
        {
            *row = None;
        }
    }

    /// The stream emptied that table.
    pub(super) fn truncate(&mut self, xid: u32) {
        if let Some(chunk) = &mut self.chunk
            && !chunk.visibility.sees(xid)
        {
            chunk.rows.fill(None);
        }
    }

    /// Reads the next chunk of the next table and writes its watermark. `key`
    /// gives the key of a row as the stream's events have it.
    ///
    /// # Errors
    /// When the session fails.
    pub(super) async fn read(&mut self, source: &CdcSource, key: impl Fn(&Table, &Bytes) -> Result<Option<Bytes>>) -> Result<()> {
        let (Some(connection), Some(scan)) = (&self.connection, self.scans.front_mut()) else { return Ok(()) };
        let name = scan.name().to_owned();
        let failed = |e| classify(e, "cannot read a chunk of a snapshot").at("table", &name);
        let bytes = i64::try_from(source.snapshot_chunk_bytes.as_u64()).unwrap_or(i64::MAX);
        let limit = (bytes / scan.row_bytes().max(1)).clamp(1, i64::from(source.snapshot_chunk_rows));
        let sql = scan.chunk(limit);
        let started = Instant::now();
        let (visibility, rows) = loop {
            let answer = connection.client.simple_query(&sql).await.map_err(failed)?;
            let mut rows = answer.into_iter().filter_map(|message| match message {
                SimpleQueryMessage::Row(row) => Some(row),
                _ => None,
            });
            let visibility = rows.next().and_then(|row| Visibility::parse(row.get(0)?));
            let visibility = visibility.ok_or_else(|| Error::new(Kind::Internal, "a snapshot without its transactions"))?;
            // A commit is in the log before it is visible: what was handed over
            // may not come again as an older row.
            if self.delivered.iter().all(|xid| visibility.sees(*xid)) {
                break (visibility, rows.collect::<Vec<_>>());
            }
            if started.elapsed() >= source.snapshot_patience {
                return Err(Error::new(Kind::DatabaseUnavailable, "a transaction is in the log, and stays invisible")
                    .at("table", &name)
                    .remedy("it waits for a synchronous standby that does not answer; the relay connects again"));
            }
            tokio::time::sleep(AGAIN).await;
        };
        self.delivered.clear();
        let mut chunk = Chunk { token: String::new(), visibility, rows: Vec::with_capacity(rows.len()), keys: HashMap::new() };
        for row in &rows {
            let message = scan.message(row);
            if let Some(key) = key(scan.table(), &message)? {
                chunk.keys.insert(key, chunk.rows.len());
            }
            chunk.rows.push(Some(message));
        }
        scan.advance(rows.last(), rows.len() < usize::try_from(limit).unwrap_or(usize::MAX), rows.len());
        counter!(SNAPSHOT_ROWS, "table" => name.clone()).increment(rows.len() as u64);
        self.watermarks += 1;
        chunk.token = format!("{}#{}", Lsn(self.born), self.watermarks);
        let content = serde_json::json!({ "watermark": chunk.token }).to_string();
        let emit = "SELECT pg_logical_emit_message(true, $1, $2)";
        connection.client.execute(emit, &[&format!("{PREFIX}{}", source.slot), &content]).await.map_err(failed)?;
        self.chunk = Some(chunk);
        Ok(())
    }

    /// Takes away the table that is being read.
    pub(super) fn give_up(&mut self) -> Option<Scan> {
        self.chunk = None;
        self.scans.pop_front()
    }

    /// A message of ours came by; the chunk it marks is released.
    pub(super) fn release(&mut self, token: &str) -> Option<Released> {
        if self.chunk.as_ref().is_none_or(|chunk| chunk.token != token) {
            return None;
        }
        let (chunk, scan) = (self.chunk.take()?, self.scans.pop_front()?);
        if !scan.is_done() {
            // Tables take turns.
            self.scans.push_back(scan.clone());
        }
        Some(Released { scan, rows: chunk.rows.into_iter().flatten().collect() })
    }
}

/// The row in an `Insert` message made by [`Scan::message`].
pub(super) fn row(message: &Bytes) -> Result<pgoutput::Tuple<'_>> {
    match pgoutput::decode(message) {
        Ok(pgoutput::Message::Insert { new, .. }) => Ok(new),
        _ => Err(Error::new(Kind::Internal, "a row of a snapshot cannot be read")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visibility_is_that_of_pg_snapshot() {
        let seen = Visibility::parse("10:20:12,15").expect("parses");
        let sees: Vec<u32> = (8..23).filter(|xid| seen.sees(*xid)).collect();
        assert_eq!(sees, [8, 9, 10, 11, 13, 14, 16, 17, 18, 19]);
        assert!(Visibility::parse("10:10:").expect("parses").running.is_empty());
        assert_eq!(Visibility::parse("10:x:"), None);
    }

    #[test]
    fn transaction_ids_wrap() {
        let epoch = 1u64 << 32;
        let seen = Visibility { xmin: epoch + 2, xmax: epoch + 5, running: vec![epoch + 3] };
        // From the end of the last epoch, and of this one.
        assert!(seen.sees(u32::MAX) && seen.sees(1) && seen.sees(4));
        assert!(!seen.sees(3) && !seen.sees(5) && !seen.sees(100));
    }
}
