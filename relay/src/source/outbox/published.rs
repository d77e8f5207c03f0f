//! Under exactly-once: the rows that the last transaction published, as it records them.
//! After a crash they may still be in the table, and are deleted before anything is read.

use super::table::Table;
use crate::checkpoint::Closed;
use crate::error::Result;
use crate::source::postgres::{classify, quote};
use crate::state::{Records, Store, read};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::HashSet;
use tokio_postgres::Client;

/// Key of the first record; the others are numbered.
const KEY: &str = "published";

/// Bytes of one record: half of what a topic takes by default.
const BYTES: usize = 500_000;

/// One record.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Part {
    /// Records of the transaction.
    of: usize,
    /// Sequence numbers and ids.
    rows: Vec<(i64, String)>,
}

fn key(part: usize) -> String {
    if part == 0 { KEY.to_owned() } else { format!("{KEY}/{part}") }
}

/// The records of a transaction.
///
/// # Errors
/// None today.
pub fn records(closed: &Closed) -> Result<Vec<(String, Value)>> {
    let row = |(position, id): &(crate::event::Position, crate::event::Shared)| {
        (i64::try_from(position.commit).unwrap_or(i64::MAX), id.to_string())
    };
    Ok(parts(closed.done.iter().map(row)))
}

fn parts(rows: impl Iterator<Item = (i64, String)>) -> Vec<(String, Value)> {
    let mut parts: Vec<Vec<(i64, String)>> = Vec::new();
    let mut room = 0;
    for row in rows {
        // Number, quotes, brackets and commas beside it; a byte of an id may be escaped.
        let size = row.1.len() * 2 + 30;
        if size > room || parts.is_empty() {
            parts.push(Vec::new());
            room = BYTES;
        }
        room = room.saturating_sub(size);
        parts.last_mut().into_iter().for_each(|part| part.push(row.clone()));
    }
    // Also where there is none: what the one before recorded is deleted by now.
    let of = parts.len().max(1);
    parts.resize(of, Vec::new());
    parts.into_iter().enumerate().map(|(n, rows)| (key(n), serde_json::json!({ "of": of, "rows": rows }))).collect()
}

/// What the last transaction published.
///
/// # Errors
/// `Config` for records of another version.
pub fn find(found: &Records) -> Result<Vec<(i64, String)>> {
    let first: Part = read(found, &key(0))?.unwrap_or_default();
    let mut rows = first.rows;
    for part in 1..first.of {
        rows.extend(read::<Part>(found, &key(part))?.unwrap_or_default().rows);
    }
    Ok(rows)
}

/// The rows with these numbers that are in the table, with the ids that they have there.
///
/// # Errors
/// `DatabaseUnavailable` or `DatabaseUnusable`.
pub async fn still_there(client: &Client, table: &Table, rows: &[(i64, String)]) -> Result<Vec<(i64, String)>> {
    let sql =
        format!("SELECT {0}, {1}::text FROM {2} WHERE {0} = ANY ($1)", quote(&table.seq.name), quote(&table.id.name), table.name.sql());
    let seqs: Vec<i64> = rows.iter().map(|(seq, _)| *seq).collect();
    let rows = client.query(&sql, &[&seqs]).await.map_err(|e| classify(e, "cannot look for published rows"))?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// Forgets rows that this server does not have, or has as others.
///
/// # Errors
/// Those of the store and of [`still_there`].
pub async fn adopt(client: &Client, table: &Table, store: &Store) -> Result<()> {
    let records = store.load().await?;
    if !records.contains_key(KEY) {
        return Ok(());
    }
    let published = find(&records)?;
    let there: HashSet<_> = still_there(client, table, &published).await?.into_iter().collect();
    for (key, value) in parts(published.into_iter().filter(|row| there.contains(row))) {
        store.put(&key, &value).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Position;

    #[test]
    fn many_rows_are_several_records() {
        for count in [0, 1, 10_000, 20_001] {
            let row = |n: usize| (Position { commit: n as u64, index: 0 }, crate::event::Shared::from(format!("id-{n}")));
            let closed = Closed { done: (0..count).map(row).collect(), head: None };
            // A larger transaction came before.
            let before = Closed { done: (0..40_000).map(row).collect(), head: None };
            let mut found: Records = records(&before).expect("records").into_iter().collect();
            found.extend(records(&closed).expect("records"));
            let wanted: Vec<_> = (0..count).map(|n| (n as i64, format!("id-{n}"))).collect();
            assert_eq!(find(&found).expect("reads"), wanted);
        }
    }
}
