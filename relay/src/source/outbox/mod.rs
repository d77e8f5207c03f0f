//! A polled outbox table. `table` knows its shape, `audit` what polling relies
//! on, `ddl` how to make it so; `poll` reads, `acknowledge` deletes or
//! checkpoints, `floor` decides below which number nothing new can appear.

mod acknowledge;
mod audit;
mod capture;
mod ddl;
mod floor;
mod poll;
pub mod published;
mod queries;
mod row;
mod table;
mod unfinished;

pub use acknowledge::Acknowledger;
pub(crate) use audit::refuse;
pub use audit::{Finding, audit};
pub use capture::capture;
pub use ddl::statements;
pub use poll::{Backlog, Reader};
pub use table::Table;
pub use unfinished::Unfinished;
