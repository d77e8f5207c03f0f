//! The HTTP port: is it alive, is it at work, and its numbers, for everyone who
//! reaches it; what is active, and swaps, for those who have the token.

mod client;
mod generations;
mod letters;

pub use client::Client;

use crate::config::Admin;
use crate::dead_letters::Desk;
use crate::error::{Context as _, Kind, Result};
use crate::swap::Control;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// A listener out of file descriptors tries again after this.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

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

/// Listens; the task serves until it is ended.
///
/// # Errors
/// `Config` if the address cannot be had.
pub async fn serve(
    config: &Admin,
    address: SocketAddr,
    readiness: Readiness,
    control: Arc<Control>,
    desk: Option<Arc<Desk>>,
    token: Option<String>,
) -> Result<JoinHandle<()>> {
    let at = |e: crate::error::Error| e.at("field", "admin.listen").at("address", address).remedy("choose a free address of this machine");
    let metrics = recorder()?;
    let listener = TcpListener::bind(address).await.or_kind(Kind::Config, "cannot listen").map_err(at)?;
    let bound = listener.local_addr().or_kind(Kind::Config, "cannot listen").map_err(at)?;
    let swaps = if token.is_some() { "on" } else { "off: no token" };
    tracing::info!(address = %bound, swaps, "serving /livez, /readyz and /metrics");
    let (connections, head) = (config.connections, config.head_timeout);
    let upkeep = keep_up(metrics.clone());
    let routes = Router::new()
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(async |State(shared): State<Shared>| shared.metrics.render()))
        .with_state(Shared { readiness: readiness.clone(), metrics })
        .nest(
            "/v1",
            generations::routes(control, readiness.clone(), config.upload_timeout)
                .merge(letters::routes(desk, readiness))
                .layer(from_fn_with_state(Arc::new(token), generations::authorise)),
        );
    Ok(tokio::spawn(async move { tokio::join!(accept(listener, routes, connections, head), upkeep).0 }))
}

/// The recorder of this process, whose pipelines may follow one another.
fn recorder() -> Result<PrometheusHandle> {
    static INSTALLED: Mutex<Option<PrometheusHandle>> = Mutex::new(None);
    let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = &*installed {
        return Ok(handle.clone());
    }
    let handle = PrometheusBuilder::new().install_recorder().or_kind(Kind::Internal, "cannot install the metrics")?;
    crate::metrics::describe();
    Ok(installed.insert(handle).clone())
}

async fn keep_up(metrics: PrometheusHandle) {
    loop {
        tokio::time::sleep(UPKEEP).await;
        metrics.run_upkeep();
    }
}

/// Serves each connection in a task of its own.
async fn accept(listener: TcpListener, routes: Router, connections: usize, head: Duration) {
    let room = Arc::new(Semaphore::new(connections));
    while let Ok(permit) = Arc::clone(&room).acquire_owned().await {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "the admin port cannot accept a connection");
                tokio::time::sleep(ACCEPT_AGAIN).await;
                continue;
            }
        };
        let service = TowerToHyperService::new(routes.clone());
        tokio::spawn(async move {
            let mut http = hyper::server::conn::http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(head);
            // Whatever ends a connection is the client's business.
            drop(http.serve_connection(TokioIo::new(stream), service).await);
            drop(permit);
        });
    }
}

async fn ready(State(shared): State<Shared>) -> (StatusCode, &'static str) {
    if shared.readiness.get() { (StatusCode::OK, "ready\n") } else { (StatusCode::SERVICE_UNAVAILABLE, "not at work\n") }
}
