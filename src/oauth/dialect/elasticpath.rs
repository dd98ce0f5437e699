//! Elastic Path: full access with a secret, limited access with the public id alone. That platform's SDK
//! fetches a new token after every 401, so that only what a new token could cure is one.

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::grant_type;
use crate::model::Remark;
use crate::oauth::Served;
use crate::oauth::answer::{common_status, refusal};
use crate::oauth::failure::Failure;
use crate::oauth::grant::client_credentials::{self, Wanted};
use crate::oauth::grant::{implicit, store};
use crate::oauth::request::{Bodies, Request, store_id};

pub(super) async fn token(
    served: &Served,
    request: &Request<'_>,
    remark: &mut Remark,
) -> Result<Value, Failure> {
    let parameters = request.parameters(Bodies::FormOrJsonLoosely)?;
    let grant = grant_type(&parameters, &["client_credentials", "implicit"], remark)?;
    let client = request.client(&parameters)?;
    let named = store_id(&parameters)?;
    let replica = &served.authority.replica;
    let granted = if grant == "implicit" {
        let app = served.identify(&client.id, request.requester, remark)?;
        let store_id = store(replica, &app, named)?;
        implicit::grant(replica, app, store_id, &served.endpoint.implicit_scopes)?
    } else {
        let client = served.authenticate(client, request.requester, remark).await?;
        let store_id = store(replica, &client.app, named)?;
        client_credentials::grant(replica, client, store_id, Wanted::Everything)?
    };
    remark.store_id = Some(granted.store_id);
    let issued = served.issue(&granted).await?;
    Ok(json!({
        "expires": issued.expires_at.0,
        "identifier": grant,
        "expires_in": issued.life,
        "access_token": issued.access_token.expose(),
        "token_type": "Bearer",
    }))
}

/// `errors`: one object.
pub(in crate::oauth) fn refuse(failure: &Failure) -> Response {
    let (status, title) = match failure {
        Failure::MissingClient | Failure::UnknownClient | Failure::WrongSecret => {
            (StatusCode::UNAUTHORIZED, "Unauthorized")
        }
        Failure::Token | Failure::NotSignedIn => {
            (StatusCode::UNAUTHORIZED, "Unable to validate access token")
        }
        Failure::Login => (StatusCode::UNAUTHORIZED, "Unauthorized"),
        Failure::NotInstalled
        | Failure::NotPermitted
        | Failure::StoreSuspended
        | Failure::AddressNotAllowed
        | Failure::Scope => (StatusCode::FORBIDDEN, "Forbidden"),
        Failure::Malformed(_) | Failure::Grant | Failure::GrantType => {
            (StatusCode::BAD_REQUEST, "Bad Request")
        }
        Failure::Method => (StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed"),
        Failure::TooMany(_) => (StatusCode::TOO_MANY_REQUESTS, "Too Many Requests"),
        Failure::Saturated | Failure::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable"),
    };
    let status = common_status(failure).unwrap_or(status);
    let error = json!({"status": status.as_u16(), "title": title, "detail": failure.message()});
    refusal(status, failure, &json!({"errors": [error]}))
}
