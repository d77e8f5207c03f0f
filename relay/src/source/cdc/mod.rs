//! Change data capture by logical replication: `stream` reads, `pgoutput`
//! decodes, `relation` knows the tables; `outbox`, `rows` and `message` make
//! events of the three shapes, `value` writes what a column holds as JSON;
//! `slot` knows slot and publication, `ddl` makes them.

mod capture;
mod ddl;
mod message;
mod outbox;
mod pgoutput;
mod progress;
mod relation;
mod rows;
mod scan;
mod slot;
mod snapshot;
mod stream;
mod tables;
mod value;

pub use capture::capture;
pub use ddl::statements;
pub use progress::{Progress, identify};
pub use scan::ScanProgress;
pub use slot::{Lsn, Publication, Published, Slot, findings, missing, oldest_transaction, published};
pub use stream::{Chunks, Reader, request};
