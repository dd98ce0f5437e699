//! `GET /healthz`, `GET /readyz` and `GET /metrics`. They need no token.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::Control;

/// Whether requests should be sent here.
#[derive(Serialize, ToSchema)]
pub(super) struct Readiness {
    ready: bool,
    /// Why not.
    reasons: Vec<String>,
}

/// Says that the process lives.
#[utoipa::path(get, path = "/healthz", tag = "health", operation_id = "healthz", security(()),
    responses((status = 200, description = "`ok`", body = str, content_type = "text/plain")))]
pub(super) async fn liveness() -> &'static str {
    "ok\n"
}

/// Says whether requests should be sent here.
#[utoipa::path(get, path = "/readyz", tag = "health", operation_id = "readyz", security(()),
    responses((status = 200, description = "They should.", body = Readiness),
        (status = 503, description = "They should not.", body = Readiness)))]
pub(super) async fn readiness(State(control): State<Arc<Control>>) -> Response {
    let reasons = control.status.reasons_not_ready();
    let code = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, axum::Json(Readiness { ready: reasons.is_empty(), reasons })).into_response()
}

/// The metrics, as Prometheus reads them.
#[utoipa::path(get, path = "/metrics", tag = "health", operation_id = "metrics", security(()),
    responses((status = 200, description = "Prometheus text.", body = str, content_type = "text/plain")))]
pub(super) async fn metrics(State(control): State<Arc<Control>>) -> Response {
    match control.status.metrics().text() {
        Ok(text) => {
            ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}
