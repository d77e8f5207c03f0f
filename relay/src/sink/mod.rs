//! Where messages go. A sink accepts a message together with its event's
//! ticket and acknowledges the ticket when the message is durable, not before.

pub mod kafka;
mod lines;
mod tabled;

pub use lines::Lines;
pub use tabled::Tabled;

use crate::checkpoint::Ticket;
use crate::error::Result;
use crate::event::Event;
use std::sync::Arc;

/// See the module. Called from worker threads; may block them, which is how a
/// slow broker stops the reading.
pub trait Sink: Send + Sync + 'static {
    /// Hands over one message. Messages of one key handed over one after the
    /// other arrive in that order. Blocks while the sink's queue is full.
    ///
    /// # Errors
    /// When this message can never be published, or the sink is closing; the
    /// ticket is then not acknowledged.
    fn publish(&self, message: &Event, made_by: &str, ticket: &Arc<Ticket>) -> Result<()>;

    /// Whether this message would be refused, as far as that can be told beforehand.
    ///
    /// # Errors
    /// Those of [`Sink::publish`] that are about the message itself.
    fn check(&self, message: &Event) -> Result<()>;

    /// Writes a letter of the dead letters under its name, or that there is none any
    /// more; acknowledged like a message. Those of one name keep their order.
    ///
    /// # Errors
    /// As [`Sink::publish`]; `Internal` where there are no dead letters.
    fn keep(&self, id: &str, letter: Option<&[u8]>, ticket: &Arc<Ticket>) -> Result<()>;

    /// Makes what was handed over by this thread's batch durable where the
    /// sink does not do so by itself.
    fn flush(&self) -> Result<()>;

    /// Refuses what comes from now on, and lets go of threads that wait.
    fn close(&self);

    /// Gives up everything not durable yet: the tickets are dropped, the events
    /// come again. To be called when nobody publishes any more, so that nothing
    /// can go out behind what was given up.
    fn purge(&self);
}

/// What is asked of a sink that was made without dead letters.
fn no_letters() -> crate::error::Error {
    crate::error::Error::new(crate::error::Kind::Internal, "this sink has no place for dead letters").remedy("please report this")
}
