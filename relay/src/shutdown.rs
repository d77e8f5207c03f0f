//! SIGTERM and Ctrl-C: the first asks for a drain, the second ends at once.
//! Either way nothing is lost: what is not acknowledged is read again.

use crate::error::{Context as _, Kind, Result};
use tokio::sync::watch;

/// A request to stop, seen by everyone who holds a clone.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<bool>);

/// Asks for a stop.
#[derive(Debug)]
pub struct Trigger(watch::Sender<bool>);

impl Trigger {
    /// Asks once and for all.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Shutdown {
    /// A pair for tests and embedders.
    #[must_use]
    pub fn channel() -> (Trigger, Self) {
        let (sender, receiver) = watch::channel(false);
        (Trigger(sender), Self(receiver))
    }

    /// Listens to the process's signals.
    ///
    /// # Errors
    /// `Internal` where handlers cannot be installed.
    pub fn on_signals() -> Result<Self> {
        let (trigger, shutdown) = Self::channel();
        #[cfg(unix)]
        let mut terminate =
            tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).or_kind(Kind::Internal, "cannot handle SIGTERM")?;
        tokio::spawn(async move {
            let mut seen = 0;
            loop {
                #[cfg(unix)]
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = tokio::signal::ctrl_c() => {}
                }
                #[cfg(not(unix))]
                let _ = tokio::signal::ctrl_c().await;
                seen += 1;
                if seen > 1 {
                    tracing::warn!("second signal: stopping at once; unacknowledged events come again at the next start");
                    std::process::exit(i32::from(Kind::Interrupted.exit_code()));
                }
                tracing::info!("stopping: finishing what is in flight; a second signal stops at once");
                trigger.stop();
            }
        });
        Ok(shutdown)
    }

    /// Waits for the request; for ever if nobody can ask any more.
    pub async fn requested(&self) {
        let mut receiver = self.0.clone();
        if receiver.wait_for(|stop| *stop).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
