//! Under exactly-once: the rows that the last transaction published, as it records them.
//! After a crash they may still be in the table, and are deleted before anything is read.

use crate::checkpoint::Closed;
use crate::error::Result;
use crate::state::{Records, read};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Key of the first record; the others are numbered.
const KEY: &str = "published";

/// Rows of one record: 50 bytes each, and half of what a topic takes by default.
const ROWS: usize = 10_000;

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
    // Also where there is none: what the one before recorded is deleted by now.
    let parts: Vec<_> = if rows.is_empty() { vec![&[][..]] } else { rows.chunks(ROWS).collect() };
    let of = parts.len();
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
        for count in [0, 1, ROWS, ROWS * 2 + 1] {
            let row = |n: usize| (Position { commit: n as u64, index: 0 }, crate::event::Shared::from(format!("id-{n}")));
            let closed = Closed { done: (0..count).map(row).collect(), head: None };
            // A larger transaction came before.
            let before = Closed { done: (0..ROWS * 4).map(row).collect(), head: None };
            let mut found: Records = records(&before).expect("records").into_iter().collect();
            found.extend(records(&closed).expect("records"));
            let wanted: Vec<_> = (0..count).map(|n| (n as i64, format!("id-{n}"))).collect();
            assert_eq!(find(&found).expect("reads"), wanted);
        }
    }
}
