//! The standard: RFC 6749 section 4.4 for requests, 5.1 for answers, 5.2 for errors.

use axum::http::header::WWW_AUTHENTICATE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use serde_json::{Value, json};

use super::grant_type;
use crate::model::{Remark, ScopeSet};
use crate::oauth::Served;
use crate::oauth::answer::{common_status, refusal};
use crate::oauth::failure::Failure;
use crate::oauth::grant::client_credentials::{Wanted, grant};
use crate::oauth::grant::store;
use crate::oauth::request::{Bodies, Request, store_id};

pub(super) async fn token(
    served: &Served,
    request: &Request<'_>,
    remark: &mut Remark,
) -> Result<Value, Failure> {
    let parameters = request.parameters(Bodies::Form)?;
    grant_type(&parameters, &["client_credentials"], remark)?;
    let client = request.client(&parameters)?;
    let client = served.authenticate(client, request.requester, remark).await?;
    let asked = parameters.get("scope").map(ScopeSet::parse).transpose().map_err(|_| Failure::Scope)?;
    let replica = &served.authority.replica;
    let store_id = store(replica, &client.app, store_id(&parameters)?)?;
    remark.store_id = Some(store_id);
    let wanted = asked.as_ref().map_or(Wanted::Present, Wanted::These);
    let granted = grant(replica, client, store_id, wanted)?;
    let issued = served.issue(&granted).await?;
    Ok(json!({
        "access_token": issued.access_token.expose(),
        "token_type": "Bearer",
        "expires_in": issued.life,
        "scope": granted.scopes.as_ref().map_or("", ScopeSet::as_str),
    }))
}

/// `error` and `error_description`.
pub(super) fn refuse(failure: &Failure, request: &Request<'_>) -> Response {
    let (status, error) = match failure {
        Failure::Malformed(_) | Failure::Method => (StatusCode::BAD_REQUEST, "invalid_request"),
        Failure::GrantType => (StatusCode::BAD_REQUEST, "unsupported_grant_type"),
        Failure::MissingClient | Failure::UnknownClient | Failure::WrongSecret => {
            (StatusCode::UNAUTHORIZED, "invalid_client")
        }
        Failure::Grant | Failure::Login => (StatusCode::BAD_REQUEST, "invalid_grant"),
        Failure::Scope => (StatusCode::BAD_REQUEST, "invalid_scope"),
        Failure::NotInstalled | Failure::NotPermitted => (StatusCode::BAD_REQUEST, "unauthorized_client"),
        Failure::StoreSuspended | Failure::AddressNotAllowed => (StatusCode::FORBIDDEN, "access_denied"),
        Failure::Token | Failure::NotSignedIn => (StatusCode::UNAUTHORIZED, "invalid_token"),
        Failure::TooMany(_) => (StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded"),
        Failure::Saturated | Failure::Unavailable => {
            (StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable")
        }
    };
    let status = common_status(failure).unwrap_or(status);
    let request_id = request.requester.request_id.to_str().unwrap_or_default();
    let body = json!({
        "error": error, "error_description": one_line(&failure.message()), "request_id": request_id,
    });
    let mut response = refusal(status, failure, &body);
    if error == "invalid_client" {
        // RFC 6749 section 5.2 demands it of those who tried Basic, RFC 9110 section 15.5.2 of every 401.
        let challenge = HeaderValue::from_static("Basic realm=\"storegate\"");
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    response
}

/// `error_description` has no quotes and backslashes (RFC 6749 section 5.2).
fn one_line(text: &str) -> String {
    text.replace(['"', '\\'], "'")
}
