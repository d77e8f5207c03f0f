//! `/v1`: what is active, swaps and rollbacks. Every request needs the token.

use super::Readiness;
use crate::error::{Error, Kind};
use crate::swap::{Choices, Control, Denied, Module, Outcome, Request as Swap};
use axum::body::{Body, to_bytes};
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use subtle::ConstantTimeEq as _;
use tokio::sync::Semaphore;

/// Who asks, as the client says; only the token proves anything.
pub(super) const BY: &str = "relay-by";

/// More of it is not kept.
const BY_LENGTH: usize = 100;

#[derive(Clone)]
struct Shared {
    control: Arc<Control>,
    readiness: Readiness,
    /// One component at a time is held in memory.
    uploads: Arc<Semaphore>,
    upload_timeout: Duration,
}

pub(super) fn routes(control: Arc<Control>, readiness: Readiness, upload_timeout: Duration) -> Router {
    Router::new()
        .route("/status", get(status))
        .route("/transforms/{name}", post(swap))
        .route("/rollback", post(rollback))
        .with_state(Shared { control, readiness, uploads: Arc::new(Semaphore::new(1)), upload_timeout })
}

/// Before anything of the body is read.
pub(super) async fn authorise(State(token): State<Arc<Option<String>>>, request: Request, next: Next) -> Response {
    let Some(token) = token.as_ref() else {
        let error =
            Error::new(Kind::Admin, "this relay has no admin token, so nobody may ask this").remedy("set admin.token or admin.token_file");
        return refusal(StatusCode::FORBIDDEN, &error);
    };
    let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    match given {
        Some(given) if bool::from(given.as_bytes().ct_eq(token.as_bytes())) => next.run(request).await,
        _ => {
            warn_of_strangers();
            let error = Error::new(Kind::Admin, "the admin token is missing or wrong").remedy("send `Authorization: Bearer <token>`");
            let mut response = refusal(StatusCode::UNAUTHORIZED, &error);
            response.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
            response
        }
    }
}

/// Said once a second at most: strangers must not fill the log.
fn warn_of_strangers() {
    static LAST: Mutex<Option<Instant>> = Mutex::new(None);
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if last.is_none_or(|last| last.elapsed() >= Duration::from_secs(1)) {
        *last = Some(Instant::now());
        tracing::warn!("requests to the admin port without the right token");
    }
}

pub(super) fn refusal(status: StatusCode, error: &Error) -> Response {
    let body = json!({ "error": { "code": error.kind().code(), "message": error.line(), "remedy": error.advice() } });
    (status, Json(body)).into_response()
}

async fn status(State(shared): State<Shared>) -> Response {
    Json(json!({ "ready": shared.readiness.get(), "generations": shared.control.view() })).into_response()
}

/// What may be said beside the component.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    digest: Option<String>,
    /// `oci://…@sha256:…` or `sha256:…`, in the place of a body.
    reference: Option<String>,
    #[serde(default)]
    dry_run: bool,
    #[serde(default)]
    accept_changes: bool,
    #[serde(default)]
    expect_same: bool,
    /// Shares with commas between.
    canary: Option<String>,
}

async fn swap(
    State(shared): State<Shared>,
    Path(transform): Path<String>,
    Query(said): Query<Said>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    if !shared.control.has(&transform) {
        return denied(&Denied::Unknown(transform));
    }
    let Ok(_upload) = shared.uploads.try_acquire() else {
        return denied(&Denied::Busy("another component is being sent; try again when it is done"));
    };
    let control = Arc::clone(&shared.control);
    let module = match module(&control, said.reference, body, shared.upload_timeout).await {
        Ok(module) => module,
        Err((status, error)) => return refusal(status, &error),
    };
    let canary =
        said.canary.filter(|steps| !steps.is_empty()).map(|steps| steps.split(',').map(str::parse).collect::<Result<Vec<f64>, _>>());
    let canary = match canary.transpose() {
        Ok(canary) => canary,
        Err(_) => {
            let error = Error::new(Kind::Config, "the canary's steps are no numbers").remedy("write them like canary=0.05,0.25");
            return refusal(StatusCode::BAD_REQUEST, &error);
        }
    };
    let choices = Choices { dry_run: said.dry_run, accept_changes: said.accept_changes, expect_same: said.expect_same, canary };
    let request = Swap { transform, module, digest: said.digest, choices };
    let by = by(&headers);
    // A client that goes away does not stop a swap half way.
    let done = tokio::spawn(async move { control.swap(request, &by).await }).await;
    match done {
        Ok(Ok(report)) => {
            let status = if report.outcome == Outcome::Refused { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
            (status, Json(report)).into_response()
        }
        Ok(Err(why)) => denied(&why),
        Err(_) => refusal(StatusCode::INTERNAL_SERVER_ERROR, &Error::new(Kind::Internal, "the swap panicked")),
    }
}

async fn module(control: &Control, reference: Option<String>, body: Body, patience: Duration) -> Result<Module, (StatusCode, Error)> {
    match reference {
        Some(reference) if reference.starts_with("oci://") => return Ok(Module::Remote(reference)),
        Some(digest) if digest.starts_with("sha256:") => return Ok(Module::Kept(digest)),
        Some(other) => {
            let error = Error::new(Kind::Config, format!("`{other}` is no reference"))
                .remedy("give oci://…@sha256:… or sha256:…, or send the component");
            return Err((StatusCode::BAD_REQUEST, error));
        }
        None => {}
    }
    let limit = control.max_component();
    let read = to_bytes(body, usize::try_from(limit).unwrap_or(usize::MAX));
    match tokio::time::timeout(patience, read).await {
        Ok(Ok(bytes)) => Ok(Module::Bytes(bytes)),
        Ok(Err(cause)) => {
            let error =
                Error::new(Kind::SwapRefused, format!("the component was not received whole, or is over {limit} bytes")).cause(cause);
            Err((StatusCode::PAYLOAD_TOO_LARGE, error.remedy("make it smaller, or raise swap.max_component")))
        }
        Err(_) => {
            Err((StatusCode::REQUEST_TIMEOUT, Error::new(Kind::SwapRefused, format!("the component did not arrive within {patience:?}"))))
        }
    }
}

/// Which generation is to go; whichever is the newest, where it is not said.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Gone {
    generation: Option<u64>,
}

async fn rollback(State(shared): State<Shared>, Query(wanted): Query<Gone>, headers: HeaderMap) -> Response {
    let by = by(&headers);
    let done = tokio::spawn(async move {
        let gone = shared.control.rollback(wanted.generation, &by).await?;
        Ok::<_, Error>(json!({ "gone": gone, "generations": shared.control.view() }))
    });
    match done.await {
        Ok(Ok(view)) => Json(view).into_response(),
        Ok(Err(error)) => refusal(StatusCode::CONFLICT, &error),
        Err(_) => refusal(StatusCode::INTERNAL_SERVER_ERROR, &Error::new(Kind::Internal, "the rollback panicked")),
    }
}

fn denied(why: &Denied) -> Response {
    let (status, kind) = match why {
        Denied::Busy(_) => (StatusCode::CONFLICT, Kind::SwapRefused),
        Denied::Unknown(_) => (StatusCode::NOT_FOUND, Kind::Config),
        Denied::Failed(error) => return refusal(StatusCode::UNPROCESSABLE_ENTITY, error),
    };
    refusal(status, &Error::new(kind, why.to_string()))
}

/// Printable, and not long: it goes into logs.
pub(super) fn by(headers: &HeaderMap) -> String {
    let said = headers.get(BY).and_then(|value| value.to_str().ok()).unwrap_or("the admin port");
    said.chars().filter(|c| !c.is_control()).take(BY_LENGTH).collect()
}
