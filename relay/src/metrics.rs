//! The names of all metrics; they are an interface, like the configuration.

use metrics::{describe_counter, describe_gauge};

/// Events done.
pub const EVENTS: &str = "relay_events_total";
/// Messages the sink has acknowledged.
pub const MESSAGES: &str = "relay_messages_total";
/// Events read and not done.
pub const IN_FLIGHT: &str = "relay_in_flight_events";
/// Bytes of log behind what is published.
pub const LAG_BYTES: &str = "relay_replication_lag_bytes";
/// WAL the server keeps for the slot.
pub const WAL_KEPT_BYTES: &str = "relay_slot_wal_kept_bytes";
/// WAL that may still be written before the slot is lost.
pub const WAL_LEFT_BYTES: &str = "relay_slot_wal_left_bytes";
/// Age of the oldest transaction that writes.
pub const OLDEST_TRANSACTION: &str = "relay_oldest_transaction_seconds";
/// Rows read by snapshots.
pub const SNAPSHOT_ROWS: &str = "relay_snapshot_rows_total";
/// Number of the generation that has the lanes.
pub const GENERATION: &str = "relay_generation";
/// Generations asked for, by what came of them.
pub const SWAPS: &str = "relay_swaps_total";
/// Letters that there are, by state.
pub const LETTERS: &str = "relay_dead_letters";
/// Letters written, by state and code.
pub const LETTERS_WRITTEN: &str = "relay_dead_letters_written_total";
/// Keys that are held back.
pub const PARKED_KEYS: &str = "relay_parked_keys";
/// Events skipped, by code.
pub const SKIPPED: &str = "relay_skipped_total";

/// Every metric, with its help text; gauges are those without `_total`.
pub const ALL: &[(&str, &str)] = &[
    (EVENTS, "Events done: published, dropped by a transform."),
    (MESSAGES, "Messages the sink has acknowledged."),
    (IN_FLIGHT, "Events read and not done."),
    (LAG_BYTES, "Bytes of the write-ahead log behind what is published, looked at every `slot_check`."),
    (WAL_KEPT_BYTES, "Bytes of WAL that the server keeps for the slot."),
    (
        WAL_LEFT_BYTES,
        "Bytes of WAL that may still be written before max_slot_wal_keep_size invalidates the slot; absent without that limit.",
    ),
    (OLDEST_TRANSACTION, "Age of the oldest transaction with an id, prepared ones included; it keeps the slot from moving."),
    (SNAPSHOT_ROWS, "Rows read by snapshots, by table."),
    (GENERATION, "Number of the generation that has all lanes; it grows with every swap and falls with a rollback."),
    (LETTERS, "Letters that there are, by state: dead, parked. Alert on it."),
    (LETTERS_WRITTEN, "Letters written, by state and kind of the error."),
    (PARKED_KEYS, "Keys whose events are held back behind a dead letter."),
    (SKIPPED, "Events that failed and were skipped, by kind of the error."),
    (SWAPS, "Generations asked for, by outcome: refused, dry-run, unchanged, canary, probation, active, rolled-back."),
];

/// Tells the recorder what they mean.
pub fn describe() {
    for (name, help) in ALL {
        if name.ends_with("_total") {
            describe_counter!(*name, *help);
        } else {
            describe_gauge!(*name, *help);
        }
    }
}
