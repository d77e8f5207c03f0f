//! The HTTP port: is it alive, is it at work, and its numbers. Loopback unless
//! the configuration says otherwise; nothing here changes anything.

use crate::error::{Context as _, Kind, Result};
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;

/// How often the recorder forgets what no scrape will ask for.
const UPKEEP: Duration = Duration::from_secs(5);

/// Whether a session has its lock, its source and its sink.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// Says so.
    pub fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Release);
    }

    /// Asks.
    #[must_use]
    pub fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

#[derive(Clone)]
struct Shared {
    readiness: Readiness,
    metrics: PrometheusHandle,
}

/// Listens and serves until the process ends.
///
/// # Errors
/// `Config` if the address cannot be had.
pub async fn serve(address: SocketAddr, readiness: Readiness) -> Result<()> {
    let at = |e: crate::error::Error| e.at("field", "admin.listen").at("address", address).remedy("choose a free address of this machine");
    let metrics = PrometheusBuilder::new().install_recorder().or_kind(Kind::Internal, "cannot install the metrics")?;
    crate::metrics::describe();
    let listener = TcpListener::bind(address).await.or_kind(Kind::Config, "cannot listen").map_err(at)?;
    let bound = listener.local_addr().or_kind(Kind::Config, "cannot listen").map_err(at)?;
    tracing::info!(address = %bound, "serving /livez, /readyz and /metrics");
    let upkeep = metrics.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(UPKEEP).await;
            upkeep.run_upkeep();
        }
    });
    let routes = Router::new()
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(async |State(shared): State<Shared>| shared.metrics.render()))
        .with_state(Shared { readiness, metrics });
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, routes).await {
            tracing::error!(%error, "the admin port ended");
        }
    });
    Ok(())
}

async fn ready(State(shared): State<Shared>) -> (StatusCode, &'static str) {
    if shared.readiness.get() { (StatusCode::OK, "ready\n") } else { (StatusCode::SERVICE_UNAVAILABLE, "not at work\n") }
}
