//! The thread of the sessions. Who reads and who is told of rows are one thread with a
//! runtime of its own: between threads every few rows were a wake-up through the kernel, a
//! tenth of the relay's time. What is not a session, the port among it, stays with the caller's
//! runtime.

use super::Pipeline;
use crate::config::Source;
use crate::error::{Context as _, Error, Kind, Result};
use std::sync::Arc;
use tokio::sync::oneshot;

/// That of a main thread, for the sessions' futures are large; only what is used is there.
const STACK: usize = 8 << 20;

impl Pipeline {
    /// Runs sessions until the source is drained, stopped or broken.
    pub(super) async fn run(self: Arc<Self>) -> Result<()> {
        let (done, ended) = oneshot::channel();
        let work = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let result = runtime.or_kind(Kind::Internal, "cannot make the runtime of the sessions").and_then(|runtime| {
                let result = runtime.block_on(self.sessions());
                // Not to wait for a request to a broker that does not answer.
                runtime.shutdown_background();
                result
            });
            // Before the caller goes on, who may end the process.
            drop(self);
            drop(done.send(result));
        };
        let thread = std::thread::Builder::new().name("pipeline".into()).stack_size(STACK).spawn(work);
        let thread = thread.or_kind(Kind::Internal, "cannot start the thread of the sessions")?;
        match ended.await {
            Ok(result) => result,
            Err(_) => match thread.join() {
                Err(panic) => std::panic::resume_unwind(panic),
                Ok(()) => Err(Error::new(Kind::Internal, "the thread of the sessions ended without a result").remedy("please report this")),
            },
        }
    }

    async fn sessions(&self) -> Result<()> {
        match &self.config.source {
            Source::File(_) => self.file().await,
            Source::Outbox(source) => self.outbox(source).await,
            Source::Cdc(source) => self.cdc(source).await,
        }
    }
}
