//! Requests and answers of the endpoints that programs call.

use std::borrow::Cow;
use std::time::Duration;

use axum::http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE, LOCATION, PRAGMA, RETRY_AFTER, WWW_AUTHENTICATE,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::gate::Unavailable;
use crate::model::{ClientId, Requester};
use crate::wire::parameters::{NotParameters, Parameters};

/// The id of a request, for people and logs.
pub(super) fn request_id(caller: &Requester) -> &str {
    caller.request_id.to_str().unwrap_or("-")
}

/// What an answer tells the access log; an extension of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Told {
    /// Why it was refused; empty where it was not.
    pub(super) code: &'static str,
    /// The client that it is about, where it was proved.
    pub(super) client: Option<ClientId>,
}

/// Why a program's request is refused: an error of RFC 6749 section 5.2, in words.
#[derive(Debug)]
pub(super) struct Refused {
    status: StatusCode,
    error: &'static str,
    description: Cow<'static, str>,
    challenge: Option<&'static str>,
    retry_after: Option<Duration>,
}

impl Refused {
    fn new(status: StatusCode, error: &'static str, description: impl Into<Cow<'static, str>>) -> Self {
        Self { status, error, description: description.into(), challenge: None, retry_after: None }
    }

    /// The request is malformed, or says a thing twice.
    pub(super) fn request(description: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", description)
    }

    /// Nobody knows the client, or it has not proved who it is. The challenge is for all: RFC 6749 section 5.2 demands
    /// it of those who tried HTTP Basic, RFC 9110 section 15.5.2 of every 401.
    pub(super) fn client() -> Self {
        let refused = Self::new(
            StatusCode::UNAUTHORIZED,
            "invalid_client",
            "Unknown client, wrong secret, or an authentication method that the client does not use.",
        );
        Self { challenge: Some("Basic realm=\"oauth\""), ..refused }
    }

    /// The code or refresh token is not good. Why is for the log: the client learns no more.
    pub(super) fn grant() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "invalid_grant",
            "The code or refresh token is invalid, expired, used or revoked, or was issued to another client \
             or redirect URI.",
        )
    }

    /// A grant type that is not served.
    pub(super) fn grant_type() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "unsupported_grant_type",
            "grant_type is authorization_code or refresh_token.",
        )
    }

    /// The scopes go beyond what was granted.
    pub(super) fn scope(description: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_scope", description)
    }

    /// A bearer token that is missing.
    pub(super) fn no_token() -> Self {
        let refused = Self::new(StatusCode::UNAUTHORIZED, "missing_token", "An access token is required.");
        Self { challenge: Some("Bearer"), ..refused }
    }

    /// A bearer token that is not good (RFC 6750 section 3.1).
    pub(super) fn token() -> Self {
        let refused =
            Self::new(StatusCode::UNAUTHORIZED, "invalid_token", "Invalid or expired access token.");
        Self { challenge: Some("Bearer error=\"invalid_token\""), ..refused }
    }

    /// Somebody must be signed in.
    pub(super) fn login() -> Self {
        let refused = Self::new(StatusCode::UNAUTHORIZED, "login_required", "Sign in as a merchant first.");
        Self { challenge: Some("Cookie"), ..refused }
    }

    /// Somebody may not do this.
    pub(super) fn forbidden(description: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "access_denied", description)
    }

    /// Another method is served there.
    pub(super) fn method() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "Method not allowed.")
    }

    /// Whether the same request may succeed a little later.
    pub(super) fn is_temporary(&self) -> bool {
        self.retry_after.is_some()
    }

    /// Too many failed attempts.
    pub(super) fn too_many(wait: Duration) -> Self {
        let refused = Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "rate_limit_exceeded",
            "Too many failed attempts. Try again later.",
        );
        Self { retry_after: Some(wait), ..refused }
    }

    /// Too many requests, however good.
    pub(super) fn too_often(wait: Duration) -> Self {
        Self { description: "Too many requests. Try again later.".into(), ..Self::too_many(wait) }
    }

    /// It cannot be told now.
    pub(super) fn unavailable() -> Self {
        let refused = Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "service_unavailable",
            "This cannot be answered at the moment. Try again shortly.",
        );
        Self { retry_after: Some(Duration::from_secs(1)), ..refused }
    }

    /// The answer. It speaks to readers of OAuth (`error`) and of the platform (`message`, `code`).
    pub(super) fn answer(self, caller: &Requester) -> Response {
        let body = json!({
            "error": self.error,
            "error_description": self.description,
            "message": self.description,
            "code": self.error,
            "status": self.status.as_u16(),
            "request_id": request_id(caller),
        });
        let mut response = uncached(self.status, &body);
        response.extensions_mut().insert(Told { code: self.error, client: None });
        let headers = response.headers_mut();
        if let Some(challenge) = self.challenge {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if let Some(wait) = self.retry_after {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        response
    }
}

impl From<Unavailable> for Refused {
    fn from(_: Unavailable) -> Self {
        Self::unavailable()
    }
}

/// JSON that nobody may keep (RFC 6749 section 5.1).
pub(super) fn uncached(status: StatusCode, body: &Value) -> Response {
    let mut response = with_json(status, body);
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

/// JSON that everybody may read, and keep for five minutes.
pub(super) fn public(body: &Value) -> Response {
    let mut response = with_json(StatusCode::OK, body);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    response
}

/// Programs in browsers may read it: nothing that these endpoints take travels by itself, as cookies do.
fn with_json(status: StatusCode, body: &Value) -> Response {
    let mut response = (status, body.to_string()).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}

/// The parameters of a body, by its type.
pub(super) fn parameters(headers: &HeaderMap, body: &[u8]) -> Result<Parameters, Refused> {
    if headers.get_all(CONTENT_TYPE).iter().count() > 1 {
        return Err(Refused::request("Content-Type may be sent only once."));
    }
    let given = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let media_type = given.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
    let read = if media_type.eq_ignore_ascii_case(b"application/x-www-form-urlencoded") {
        Parameters::from_form(body)
    } else if media_type.eq_ignore_ascii_case(b"application/json") {
        Parameters::from_json(body)
    } else if body.is_empty() {
        Parameters::from_form(b"")
    } else {
        return Err(Refused::request(
            "Send the parameters as application/x-www-form-urlencoded or application/json.",
        ));
    };
    read.map_err(|why| {
        Refused::request(match why {
            NotParameters::Syntax => "The body is not what its Content-Type says.",
            NotParameters::Duplicate => "A parameter stands twice.",
            NotParameters::TooMany => "The body has too many parameters.",
        })
    })
}

/// Sends a browser on. 303: whatever it sent is not sent there (RFC 9700 section 4.12).
pub(super) fn see_other(location: &str) -> Response {
    let Ok(location) = HeaderValue::from_str(location) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let mut response = StatusCode::SEE_OTHER.into_response();
    let headers = response.headers_mut();
    headers.insert(LOCATION, location);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(axum::http::header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}
