//! Threads of low priority, where a new generation is made while the lanes go on.

use crate::config::Swap;
use crate::error::{Context as _, Error, Kind, Result};
use crate::lane::STACK;
use crate::priority::be_nice;
use std::sync::Arc;

/// See the module. Cranelift's own parallelism stays within these threads.
#[derive(Clone)]
pub struct Workshop(Arc<rayon::ThreadPool>);

impl Workshop {
    /// As many threads as configured, as nice as configured.
    ///
    /// # Errors
    /// `Internal` where there are no threads to be had.
    pub fn open(config: &Swap) -> Result<Self> {
        let niceness = config.compile_niceness;
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(config.compile_threads)
            .thread_name(|n| format!("workshop-{n}"))
            // Guests run here too.
            .stack_size(STACK)
            .start_handler(move |_| be_nice(niceness))
            .build();
        Ok(Self(Arc::new(pool.or_kind(Kind::Internal, "cannot start the workshop's threads")?)))
    }

    /// Has work done there.
    ///
    /// # Errors
    /// Those of the work; `Internal` if it panicked.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        let (sender, done) = tokio::sync::oneshot::channel();
        // Nobody waits any more if the process ends.
        self.0.spawn(move || drop(sender.send(std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)))));
        match done.await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) | Err(_) => Err(Error::new(Kind::Internal, "the workshop panicked").remedy("please report this")),
        }
    }
}
