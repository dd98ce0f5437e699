//! SeloraX: the token endpoint of the app install flow. Answers have the platform's envelope, errors its body
//! with `message`, `code` and `status`.

use std::time::{Duration, UNIX_EPOCH};

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::grant_type;
use crate::gate::underscored;
use crate::model::{Remark, ScopeSet, Timestamp};
use crate::oauth::Served;
use crate::oauth::answer::refusal;
use crate::oauth::failure::Failure;
use crate::oauth::grant::authorization_code;
use crate::oauth::request::{Bodies, Request};
use crate::replica::Redeemed;

pub(super) async fn token(
    served: &Served,
    request: &Request<'_>,
    remark: &mut Remark,
) -> Result<Value, Failure> {
    let parameters = request.parameters(Bodies::FormOrJson)?;
    let grant = grant_type(&parameters, &["authorization_code", "refresh_token"], remark)?;
    let client = request.client(&parameters)?;
    let client = served.authenticate(client, request.requester, remark).await?;
    let needed = |name: &'static str, why| parameters.get(name).ok_or(Failure::malformed(why));
    let pair = if grant == "authorization_code" {
        let code = needed("code", "code is missing.")?;
        let uri = needed("redirect_uri", "redirect_uri is missing.")?;
        authorization_code::exchange(served, client, code, uri, request.requester, remark).await?
    } else {
        let token = needed("refresh_token", "refresh_token is missing.")?;
        authorization_code::refresh(served, client, token, remark).await?
    };
    let Redeemed::Pair { store_id, installation_id, scopes } = &pair.redeemed else {
        return Err(Failure::Grant);
    };
    Ok(json!({
        "message": "Token issued.",
        "data": {
            "access_token": pair.access_token.expose(),
            "refresh_token": pair.refresh_token.expose(),
            "token_type": "Bearer",
            "store_id": store_id.get(),
            "installation_id": installation_id,
            "scopes": scopes.iter().collect::<Vec<_>>(),
            "expires_at": iso(pair.expires_at),
        },
        "status": 200,
    }))
}

/// As that platform writes times: ISO 8601 in UTC.
fn iso(at: Timestamp) -> String {
    let since = Duration::from_secs(u64::try_from(at.0).unwrap_or(0));
    humantime::format_rfc3339_seconds(UNIX_EPOCH + since).to_string()
}

/// `message`, `code`, `status`.
pub(in crate::oauth) fn refuse(failure: &Failure, request: &Request<'_>) -> Response {
    let (status, code) = match failure {
        Failure::Malformed(_) => (StatusCode::BAD_REQUEST, "invalid_request"),
        Failure::Scope => (StatusCode::BAD_REQUEST, "invalid_scope"),
        Failure::GrantType => (StatusCode::BAD_REQUEST, "unsupported_grant_type"),
        Failure::Grant | Failure::Login => (StatusCode::BAD_REQUEST, "invalid_grant"),
        Failure::Method => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
        Failure::MissingClient | Failure::UnknownClient | Failure::WrongSecret => {
            (StatusCode::UNAUTHORIZED, "invalid_client")
        }
        Failure::NotSignedIn => (StatusCode::UNAUTHORIZED, "missing_token"),
        Failure::Token => (StatusCode::UNAUTHORIZED, "invalid_token"),
        Failure::NotInstalled => (StatusCode::UNAUTHORIZED, "not_installed"),
        Failure::NotPermitted | Failure::AddressNotAllowed => (StatusCode::FORBIDDEN, "ip_not_allowed"),
        Failure::StoreSuspended => (StatusCode::FORBIDDEN, "store_suspended"),
        Failure::TooMany(_) => (StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded"),
        Failure::Saturated | Failure::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "service_unavailable"),
    };
    let message = match failure {
        // Clients compare it.
        Failure::WrongSecret => "Invalid client_secret.".into(),
        other => other.message(),
    };
    let body = json!({
        "message": message,
        "code": code,
        "status": status.as_u16(),
        "request_id": request.requester.request_id.to_str().unwrap_or_default(),
    });
    refusal(status, failure, &body)
}

/// Scopes as that platform's authorize request writes them: separated by commas, and as the vendor's SDK does, with an
/// underscore. Those that the app may ask for, in the app's own spelling.
pub(in crate::oauth) fn scopes(text: &str, own: &ScopeSet) -> Result<ScopeSet, Failure> {
    let asked = ScopeSet::parse(text).map_err(|_| Failure::Scope)?;
    let alike = |scope: &str| own.iter().find(|one| underscored(one) == underscored(scope));
    let spelled = |scope: &str| own.iter().find(|one| *one == scope).or_else(|| alike(scope));
    if asked.iter().next().is_none() {
        return Err(Failure::Scope);
    }
    let known =
        asked.iter().map(|scope| spelled(scope).ok_or(Failure::Scope)).collect::<Result<Vec<_>, _>>()?;
    ScopeSet::parse(&known.join(" ")).map_err(|_| Failure::Scope)
}
