//! Under exactly-once: the rows that the last transaction published, as it records them.
//! After a crash they may still be in the table, and are deleted before anything is read.

use crate::checkpoint::Closed;
use crate::error::Result;
use crate::state::{Records, read};
use serde::{Deserialize, Serialize};
use serde_json::Value;

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
    let rows: Vec<_> = closed.done.iter().map(row).collect();
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
    Ok(parts.into_iter().enumerate().map(|(n, rows)| (key(n), serde_json::json!({ "of": of, "rows": rows }))).collect())
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
