//! SIGHUP: the configuration read again, and made active where that can be done
//! without a restart.

use super::configured;
use crate::config::Config;
use crate::error::{Context as _, Error, Kind, Result};
use crate::swap::{Control, Reread};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Signals that wait: one says as much as several.
const PENDING: usize = 1;

/// Listens to SIGHUP.
///
/// # Errors
/// `Internal` where the handler cannot be installed.
pub(super) fn hangups() -> Result<mpsc::Receiver<()>> {
    let (sender, receiver) = mpsc::channel(PENDING);
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut hangup = signal(SignalKind::hangup()).or_kind(Kind::Internal, "cannot handle SIGHUP")?;
        tokio::spawn(async move {
            while hangup.recv().await.is_some() {
                // Full: the one that waits will read the same file.
                if sender.try_send(()).is_err() && sender.is_closed() {
                    return;
                }
            }
        });
    }
    Ok(receiver)
}

/// Reloads at each signal; for ever.
pub(super) async fn reload(control: Arc<Control>, mut signals: mpsc::Receiver<()>, running: Config, reread: Reread) {
    while signals.recv().await.is_some() {
        if let Err(error) = once(&control, &running, &reread).await {
            tracing::error!("the configuration is not reloaded, the running one goes on: {error}");
        }
    }
    std::future::pending::<()>().await;
}

async fn once(control: &Arc<Control>, running: &Config, reread: &Reread) -> Result<()> {
    let read = Arc::clone(reread);
    let new = tokio::task::spawn_blocking(move || read()).await.or_kind(Kind::Internal, "reading the configuration failed")??;
    let fixed = running.differences(&new);
    if !fixed.is_empty() {
        return Err(Error::new(Kind::Config, format!("these fields cannot change while the relay runs: {}", fixed.join(", ")))
            .remedy("put them back, or restart the relay; transforms, their settings, limits, predicates and order can change"));
    }
    let report = control.reload(configured(&new)?, &new, "SIGHUP").await;
    let report = report.map_err(|denied| Error::new(Kind::SwapRefused, denied.to_string()))?;
    tracing::info!(outcome = report.outcome.label(), stages = report.stages.join(","), "the configuration was read again");
    Ok(())
}
