//! The admin listener: health, readiness and metrics, on a listener of its own that the public one
//! can never be routed to.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;

use crate::telemetry::Metrics;

/// What the admin listener asks of the gateway.
pub trait Status: Send + Sync + 'static {
    /// Why requests should not be sent here now; empty: they may be.
    fn reasons_not_ready(&self) -> Vec<String>;

    /// The metrics, brought up to date.
    fn metrics(&self) -> &Metrics;
}

/// The admin listener's routes.
pub fn router<S: Status>(status: Arc<S>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readiness::<S>))
        .route("/metrics", get(metrics::<S>))
        .with_state(status)
}

#[derive(Serialize)]
struct Readiness {
    ready: bool,
    reasons: Vec<String>,
}

async fn readiness<S: Status>(State(status): State<Arc<S>>) -> Response {
    let reasons = status.reasons_not_ready();
    let code = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, axum::Json(Readiness { ready: reasons.is_empty(), reasons })).into_response()
}

async fn metrics<S: Status>(State(status): State<Arc<S>>) -> Response {
    match status.metrics().text() {
        Ok(text) => {
            ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}
