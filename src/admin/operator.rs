//! Who is calling the API, and how it refuses. Errors have the body of every other refusal of this
//! program: `message`, `code`, `status`.

use std::sync::Arc;

use axum::Json;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::Control;
use crate::model::{Permission, TokenDigest};
use crate::replica::{WriteError, Writer};
use crate::wire::authorization::{self, Authorization};

/// Why a call is refused.
#[derive(Debug)]
pub(super) enum Refused {
    MissingToken,
    InvalidToken,
    /// Only the token in `admin.token` may.
    NotOwner,
    /// The operator lacks this permission.
    Forbidden(Permission),
    /// The request cannot be understood.
    Invalid(String),
    NotFound(String),
    /// Another gateway, another file: not what this one has.
    Conflict(String),
    /// The request is for another host (RFC 9110 section 15.5.20).
    Misdirected,
    /// The replica cannot be used now.
    Unavailable(String),
}

impl Refused {
    fn parts(self) -> (StatusCode, &'static str, String) {
        match self {
            Self::MissingToken => (
                StatusCode::UNAUTHORIZED,
                "missing_token",
                "Provide an operator token, or the one in admin.token, as Bearer token.".to_owned(),
            ),
            Self::InvalidToken => {
                (StatusCode::UNAUTHORIZED, "invalid_token", "Unknown operator token.".to_owned())
            }
            Self::NotOwner => (
                StatusCode::UNAUTHORIZED,
                "invalid_token",
                "This needs the token in admin.token, beside the replica.".to_owned(),
            ),
            Self::Forbidden(permission) => (
                StatusCode::FORBIDDEN,
                "forbidden",
                format!("The permission {} is required.", permission.name()),
            ),
            Self::Invalid(why) => (StatusCode::BAD_REQUEST, "invalid_request", why),
            Self::Conflict(why) => (StatusCode::CONFLICT, "conflict", why),
            Self::NotFound(why) => (StatusCode::NOT_FOUND, "not_found", why),
            Self::Misdirected => (
                StatusCode::MISDIRECTED_REQUEST,
                "misdirected_request",
                "Use the listener's address or localhost as Host.".to_owned(),
            ),
            Self::Unavailable(why) => (StatusCode::SERVICE_UNAVAILABLE, "service_unavailable", why),
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (status, code, message) = self.parts();
        let body = Json(json!({"message": message, "code": code, "status": status.as_u16()}));
        let mut response = (status, [(header::CACHE_CONTROL, "no-store")], body).into_response();
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

impl From<WriteError> for Refused {
    fn from(error: WriteError) -> Self {
        let text = error.to_string();
        match error {
            WriteError::NoApp(_) | WriteError::NoStore(_) | WriteError::NoOperator(_) => Self::NotFound(text),
            WriteError::Malformed { .. } => Self::Invalid(text),
            _ => Self::Unavailable(text),
        }
    }
}

/// Runs a change in the name of the operator who calls. SQLite blocks, so that it runs on a thread
/// where it may.
pub(super) async fn change<T: Send + 'static>(
    control: Arc<Control>,
    headers: &HeaderMap,
    permission: Permission,
    body: impl FnOnce(&mut Writer) -> Result<T, Refused> + Send + 'static,
) -> Result<T, Refused> {
    let token = token(headers)?;
    let work = move || {
        let mut writer = control
            .replica
            .writer(crate::replica::Actor::gateway())
            .map_err(|error| Refused::Unavailable(error.to_string()))?;
        if !control.token.is(&token) {
            let operator = writer.operator_by_token(&token)?.ok_or(Refused::InvalidToken)?;
            if !operator.may(permission) {
                return Err(Refused::Forbidden(permission));
            }
        }
        body(&mut writer)
    };
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(Refused::Unavailable(error.to_string())))
}

/// Refuses everybody but who can read `admin.token`.
pub(super) fn owner(control: &Control, headers: &HeaderMap) -> Result<(), Refused> {
    match control.token.is(&token(headers)?) {
        true => Ok(()),
        false => Err(Refused::NotOwner),
    }
}

fn token(headers: &HeaderMap) -> Result<TokenDigest, Refused> {
    let mut lines = headers.get_all(header::AUTHORIZATION).iter();
    match (lines.next(), lines.next()) {
        (Some(line), None) => match authorization::parse(line.as_bytes()) {
            Some(Authorization::Bearer(token)) if !token.is_empty() => Ok(TokenDigest::of(token)),
            _ => Err(Refused::MissingToken),
        },
        (None, _) => Err(Refused::MissingToken),
        (Some(_), Some(_)) => Err(Refused::Invalid("Authorization may be sent only once.".to_owned())),
    }
}

pub(super) async fn not_found() -> Refused {
    Refused::NotFound("No such resource.".to_owned())
}

pub(super) async fn method_not_allowed() -> Response {
    let status = StatusCode::METHOD_NOT_ALLOWED;
    let body =
        json!({"message": "Method not allowed.", "code": "method_not_allowed", "status": status.as_u16()});
    (status, Json(body)).into_response()
}
