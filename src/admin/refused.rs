//! How the API refuses. The body is that of every refusal of this program: `message`, `code`, `status`,
//! `request_id`; docs/errors.md has the codes.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::model::Permission;
use crate::replica::{Repeated, WriteError};

/// Why a call is refused.
#[derive(Debug, Clone)]
pub(super) enum Refused {
    MissingToken,
    InvalidToken,
    /// The operator lacks this permission.
    Forbidden(Permission),
    /// The operator has it, and must not do this all the same.
    NotYours(String),
    /// The request cannot be understood.
    Invalid(String),
    TooLarge,
    /// The body did not come in time.
    TooSlow,
    NotFound(String),
    MethodNotAllowed,
    /// What is there stands against it.
    Conflict(String),
    /// It was done before.
    Repeated(Box<Repeated>),
    KeyReused(String),
    /// The request is for another host (RFC 9110 section 15.5.20).
    Misdirected,
    /// Too many failed attempts; to be tried again after this time.
    TooMany(Duration),
    /// The replica cannot be used now.
    Unavailable(String),
}

/// The body of a refusal.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ErrorBody {
    /// For people.
    message: String,
    /// For programs.
    #[schema(example = "not_found")]
    code: &'static str,
    /// Equal to the HTTP status.
    status: u16,
    /// The answer's `X-Request-Id`.
    request_id: String,
}

/// A refusal on its way out: the body is written where the request id is known.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    pub(super) code: &'static str,
    message: String,
}

impl Refusal {
    pub(super) fn body(self, status: StatusCode, request_id: &str) -> ErrorBody {
        let (status, request_id) = (status.as_u16(), request_id.to_owned());
        ErrorBody { message: self.message, code: self.code, status, request_id }
    }
}

impl Refused {
    fn parts(self) -> (StatusCode, &'static str, String) {
        let own = String::from;
        match self {
            Self::MissingToken => (
                StatusCode::UNAUTHORIZED,
                "missing_token",
                own("Provide an operator token, or the one in admin.token, as Bearer token."),
            ),
            Self::InvalidToken => (StatusCode::UNAUTHORIZED, "invalid_token", own("Unknown operator token.")),
            Self::Forbidden(permission) => {
                let message = format!("The permission {} is required.", permission.name());
                (StatusCode::FORBIDDEN, "forbidden", message)
            }
            Self::NotYours(why) => (StatusCode::FORBIDDEN, "forbidden", why),
            Self::Invalid(why) => (StatusCode::BAD_REQUEST, "invalid_request", why),
            Self::TooLarge => {
                (StatusCode::PAYLOAD_TOO_LARGE, "invalid_request", own("The body is larger than 64 KiB."))
            }
            Self::TooSlow => {
                (StatusCode::REQUEST_TIMEOUT, "invalid_request", own("The body did not come within 10 s."))
            }
            Self::NotFound(why) => (StatusCode::NOT_FOUND, "not_found", why),
            Self::MethodNotAllowed => (
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                own("Method not allowed here; see the Allow header."),
            ),
            Self::Conflict(why) => (StatusCode::CONFLICT, "conflict", why),
            Self::Repeated(before) => {
                let message = format!(
                    "This was done before, to {}; its answer cannot be given (any more, or yet). Rotate a secret that was lost.",
                    before.subject
                );
                (StatusCode::CONFLICT, "already_done", message)
            }
            Self::KeyReused(why) => (StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused", why),
            Self::Misdirected => (
                StatusCode::MISDIRECTED_REQUEST,
                "misdirected_request",
                own("Use the listener's address or localhost as Host."),
            ),
            Self::TooMany(_) => (
                StatusCode::TOO_MANY_REQUESTS,
                "rate_limit_exceeded",
                own("Too many failed attempts. Try again later."),
            ),
            Self::Unavailable(why) => (StatusCode::SERVICE_UNAVAILABLE, "service_unavailable", why),
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let wait = match &self {
            Self::TooMany(wait) => Some(wait.as_secs().max(1)),
            Self::Unavailable(_) => Some(1),
            _ => None,
        };
        let (status, code, message) = self.parts();
        let mut response = status.into_response();
        if status == StatusCode::UNAUTHORIZED {
            let challenge = match code {
                "invalid_token" => r#"Bearer error="invalid_token""#,
                _ => "Bearer",
            };
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if let Some(seconds) = wait {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response.extensions_mut().insert(Refusal { code, message });
        response
    }
}

impl From<WriteError> for Refused {
    fn from(error: WriteError) -> Self {
        let text = error.to_string();
        match error {
            WriteError::NoApp(_)
            | WriteError::NoStore(_)
            | WriteError::NoOperator(_)
            | WriteError::NoInstallation(_)
            | WriteError::NoToken
            | WriteError::NoUser(_)
            | WriteError::NoOauthClient(_) => Self::NotFound(sentence(&text)),
            WriteError::AppExists(_)
            | WriteError::StoreExists(_)
            | WriteError::DomainTaken(_)
            | WriteError::OperatorExists(_)
            | WriteError::UserExists(_)
            | WriteError::EmailTaken(_)
            | WriteError::NotInstalled { .. }
            | WriteError::NoSigningKey(_)
            | WriteError::AppDisabled(_)
            | WriteError::NoSecret(_)
            | WriteError::TooManyClients(..) => Self::Conflict(sentence(&text)),
            WriteError::Malformed { .. } | WriteError::Line { .. } | WriteError::Input { .. } => {
                Self::Invalid(sentence(&text))
            }
            WriteError::UnknownOperator => Self::InvalidToken,
            WriteError::NotPermitted(permission) => Self::Forbidden(permission),
            WriteError::OwnRecord => Self::NotYours(sentence(&text)),
            WriteError::Repeated(before) => Self::Repeated(before),
            WriteError::KeyReused => Self::KeyReused(sentence(&text)),
            WriteError::TooManyKeys
            | WriteError::Locked(_)
            | WriteError::Randomness(_)
            | WriteError::Sealed(_)
            | WriteError::Storage { .. } => Self::Unavailable(sentence(&text)),
        }
    }
}

/// A message of ours as a sentence, without the remark on the command that helps: who calls the API may
/// have none.
fn sentence(text: &str) -> String {
    let fact = text.split("; `storegate").next().unwrap_or(text);
    let mut letters = fact.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_refusal_stands_in_the_catalogue() {
        let every = [
            Refused::MissingToken,
            Refused::InvalidToken,
            Refused::Forbidden(Permission::ViewApps),
            Refused::NotYours(String::new()),
            Refused::Invalid(String::new()),
            Refused::TooLarge,
            Refused::TooSlow,
            Refused::NotFound(String::new()),
            Refused::MethodNotAllowed,
            Refused::Conflict(String::new()),
            Refused::Repeated(Box::new(Repeated { subject: String::new(), answer: None })),
            Refused::KeyReused(String::new()),
            Refused::Misdirected,
            Refused::TooMany(Duration::ZERO),
            Refused::Unavailable(String::new()),
        ];
        let made = every.map(|refused| {
            let (status, code, _) = refused.parts();
            (status.as_u16(), code)
        });
        let chapter = crate::catalogue::CHAPTERS.into_iter().find(|chapter| chapter.title == "The admin API");
        let described: BTreeSet<_> =
            chapter.unwrap().entries.iter().map(|entry| (entry.status, entry.code)).collect();
        assert_eq!(BTreeSet::from(made), described);
    }

    #[test]
    fn messages_are_sentences() {
        let text = WriteError::NoOperator("x".into()).to_string();
        assert_eq!(sentence(&text), "There is no operator \"x\".");
        assert_eq!(sentence("is missing"), "Is missing.");
    }
}
