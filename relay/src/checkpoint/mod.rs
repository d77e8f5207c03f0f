//! What is in flight, what is done, and how far the source may be
//! acknowledged. Accepted is not durable: only a completed [`Ticket`] is.

mod epoch;
mod ledger;
mod pace;
mod window;

pub use epoch::{Closed, Gate};
pub use ledger::{Ledger, Progress, Ticket, Watcher};
pub use pace::Pace;
pub use window::{Head, Slot, Window};
