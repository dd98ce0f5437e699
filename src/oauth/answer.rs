//! What every answer of a token endpoint has in common: JSON, not to be stored (RFC 6749 section 5.1).

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, PRAGMA, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use serde_json::Value;

use super::failure::Failure;

/// A JSON answer.
pub(super) fn json(status: StatusCode, body: &Value) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

/// A JSON refusal, which says when to come back where that is known.
pub(super) fn refusal(status: StatusCode, failure: &Failure, body: &Value) -> Response {
    let mut response = json(status, body);
    if let Some(seconds) = failure.retry_after() {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// The status of what all platforms answer alike; `None` where they differ.
pub(super) fn common_status(failure: &Failure) -> Option<StatusCode> {
    match failure {
        Failure::Method => Some(StatusCode::METHOD_NOT_ALLOWED),
        Failure::TooMany(_) => Some(StatusCode::TOO_MANY_REQUESTS),
        Failure::Saturated | Failure::Unavailable => Some(StatusCode::SERVICE_UNAVAILABLE),
        Failure::AddressNotAllowed => Some(StatusCode::FORBIDDEN),
        _ => None,
    }
}
