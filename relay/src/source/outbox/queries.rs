//! The SQL of a poll.

use super::table::Table;
use crate::source::postgres::quote;

pub(super) struct Queries {
    /// The floor's observation.
    pub(super) observe: String,
    /// A read from the floor up.
    pub(super) select: String,
    /// `retain`: the same, leaving out what a wholly read snapshot saw.
    pub(super) select_new: Option<String>,
    /// What there is to drain.
    pub(super) backlog: String,
}

impl Queries {
    pub(super) fn new(table: &Table, retain: bool) -> Self {
        let (sql, seq) = (table.name.sql(), quote(&table.seq.name));
        let list = table.select_list();
        // In a sub-select the ranges are read once, not once a row: with 8,000
        // of them 24 ms instead of minutes.
        let left = format!("{seq} > $1 AND NOT ({seq} <@ (SELECT $2::text::int8multirange))");
        let tail = format!("ORDER BY {seq} LIMIT $3");
        let select_new = table.xid.as_ref().filter(|_| retain && table.takes_xid_first()).map(|xid| {
            let xid = quote(&xid.name);
            format!(
                "SELECT {list} FROM {sql} WHERE ({xid} >= pg_snapshot_xmax($4::text::pg_snapshot) \
                 OR {xid} = ANY (ARRAY(SELECT pg_snapshot_xip($4::text::pg_snapshot)))) AND {left} {tail}"
            )
        });
        Self {
            // The barrier, word for word as it was fuzzed (DESIGN, "Sources").
            // One autocommit statement, never inside a transaction.
            observe: format!(
                "SELECT coalesce((SELECT max({seq}) FROM {sql}), 0) AS m, \
                 pg_snapshot_xmin(s)::text::bigint AS xmin, \
                 pg_snapshot_xmax(s)::text::bigint \
                 + ((((age('3'::xid)::bigint + 3) - pg_snapshot_xmax(s)::text::bigint) % 4294967296) + 4294967296) % 4294967296 AS xnext, \
                 s::text \
                 FROM pg_current_snapshot() s"
            ),
            select: format!("SELECT {list} FROM {sql} WHERE {left} {tail}"),
            select_new,
            backlog: format!("SELECT coalesce(max({seq}), 0), count(*) FROM {sql} WHERE {left}"),
        }
    }
}

/// The oldest transaction or prepared transaction that has an id: it holds the
/// floor.
pub(super) const OLDEST_WRITER: &str = "SELECT format('pid %s (%s, %s) for %s', pid, usename, state, date_trunc('second', now() - xact_start)), xact_start \
     FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid() \
     UNION ALL SELECT format('prepared transaction %L for %s', gid, date_trunc('second', now() - prepared)), prepared \
     FROM pg_prepared_xacts ORDER BY 2 LIMIT 1";
