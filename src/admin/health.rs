//! `GET /readyz` and `GET /metrics`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::Control;

#[derive(Serialize)]
struct Readiness {
    ready: bool,
    reasons: Vec<String>,
}

pub(super) async fn readiness(State(control): State<Arc<Control>>) -> Response {
    let reasons = control.status.reasons_not_ready();
    let code = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, axum::Json(Readiness { ready: reasons.is_empty(), reasons })).into_response()
}

pub(super) async fn metrics(State(control): State<Arc<Control>>) -> Response {
    match control.status.metrics().text() {
        Ok(text) => {
            ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}
