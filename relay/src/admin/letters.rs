//! `/v1/dead-letters`: has letters redriven or discarded. Every request needs the token.

use super::Readiness;
use super::generations::{by, refusal};
use crate::dead_letters::{Desk, Filter, Wish};
use crate::error::{Error, Kind};
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use std::sync::Arc;

/// A filter names a few thousand letters at most.
const BODY: usize = 256 << 10;

#[derive(Clone)]
struct Shared {
    /// `None` where there are no dead letters.
    desk: Option<Arc<Desk>>,
    readiness: Readiness,
}

pub(super) fn routes(desk: Option<Arc<Desk>>, readiness: Readiness) -> Router {
    Router::new().route("/dead-letters/{wish}", post(ask)).layer(DefaultBodyLimit::max(BODY)).with_state(Shared { desk, readiness })
}

async fn ask(State(shared): State<Shared>, Path(wish): Path<Wish>, headers: HeaderMap, Json(filter): Json<Filter>) -> Response {
    let Some(desk) = shared.desk else {
        let error = Error::new(Kind::Config, "this relay has no dead letters").remedy("add [dead_letters] to its configuration");
        return refusal(StatusCode::NOT_FOUND, &error);
    };
    if !shared.readiness.get() {
        let error = Error::new(Kind::Admin, "this relay is not at work").remedy("ask the one that holds the pipeline, or later");
        return refusal(StatusCode::CONFLICT, &error);
    }
    let by = by(&headers);
    // A client that goes away does not stop it half way.
    match tokio::spawn(async move { desk.ask(wish, filter, by).await }).await {
        Ok(Ok(answer)) => Json(answer).into_response(),
        Ok(Err(error)) => refusal(StatusCode::CONFLICT, &error),
        Err(_) => refusal(StatusCode::INTERNAL_SERVER_ERROR, &Error::new(Kind::Internal, "the redrive panicked")),
    }
}
