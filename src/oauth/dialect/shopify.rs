//! Shopify: the client credentials of an app of the shop's own organization, at the shop's own host.
//!
//! Whether the host is a shop, and whose, is told only to an app that has proved its secret.

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::grant_type;
use crate::gate::underscored;
use crate::model::{App, Remark, ScopeSet, StoreId};
use crate::oauth::Served;
use crate::oauth::answer::{common_status, refusal};
use crate::oauth::failure::Failure;
use crate::oauth::grant::client_credentials::{Wanted, grant};
use crate::oauth::request::{Bodies, Request};
use crate::wire::host::Authority as Host;

pub(super) async fn token(
    served: &Served,
    request: &Request<'_>,
    remark: &mut Remark,
) -> Result<Value, Failure> {
    let parameters = request.parameters(Bodies::FormOrJson)?;
    grant_type(&parameters, &["client_credentials"], remark)?;
    let client = request.client(&parameters)?;
    let client = served.authenticate(client, request.requester, remark).await?;
    let store_id = shop(served, &client.app, &request.requester.host)?;
    remark.store_id = Some(store_id);
    let granted = grant(&served.authority.replica, client, store_id, Wanted::Present)?;
    let issued = served.issue(&granted).await?;
    Ok(json!({
        "access_token": issued.access_token.expose(),
        "scope": scope(granted.scopes.as_ref()),
        "expires_in": issued.life,
    }))
}

/// The shop of the host, if it is of the app's organization. An app and a shop without one are not of one.
fn shop(served: &Served, app: &App, host: &str) -> Result<StoreId, Failure> {
    let host = Host::parse(host.as_bytes()).map_err(|_| Failure::malformed("Malformed Host."))?;
    let domain = host.host().trim_end_matches('.').to_ascii_lowercase();
    let shop = served.authority.replica.shop(&domain)?.ok_or(Failure::NotPermitted)?;
    match (&app.registration.organization, &shop.organization) {
        (Some(own), Some(shops)) if own == shops => Ok(shop.store_id),
        _ => Err(Failure::NotPermitted),
    }
}

/// The scopes as that platform writes them: commas, underscores, and no read that a write implies.
fn scope(scopes: Option<&ScopeSet>) -> String {
    let mut all: Vec<String> = scopes.into_iter().flat_map(ScopeSet::iter).map(underscored).collect();
    all.sort_unstable();
    all.dedup();
    let implied = |scope: &str| {
        let write = scope.replacen("read_", "write_", 1);
        let is_read = scope.starts_with("read_") || scope.starts_with("unauthenticated_read_");
        is_read && all.contains(&write)
    };
    let told: Vec<&str> = all.iter().map(String::as_str).filter(|scope| !implied(scope)).collect();
    told.join(",")
}

/// `error` and `error_description`, with the codes of that platform.
pub(super) fn refuse(failure: &Failure) -> Response {
    let (status, error) = match failure {
        Failure::NotInstalled => (StatusCode::BAD_REQUEST, "app_not_installed"),
        Failure::NotPermitted | Failure::StoreSuspended | Failure::AddressNotAllowed => {
            (StatusCode::BAD_REQUEST, "shop_not_permitted")
        }
        Failure::MissingClient | Failure::UnknownClient | Failure::WrongSecret => {
            (StatusCode::UNAUTHORIZED, "invalid_client")
        }
        Failure::TooMany(_) => (StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded"),
        Failure::Saturated | Failure::Unavailable => {
            (StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable")
        }
        Failure::Malformed(_)
        | Failure::Grant
        | Failure::GrantType
        | Failure::Method
        | Failure::Scope
        | Failure::Token
        | Failure::NotSignedIn
        | Failure::Login => (StatusCode::BAD_REQUEST, "invalid_request"),
    };
    let status = common_status(failure).unwrap_or(status);
    let description = match failure {
        Failure::NotInstalled => "The application is not installed on this shop.".into(),
        Failure::NotPermitted => "Client credentials cannot be performed on this shop.".into(),
        Failure::StoreSuspended => "This shop is suspended.".into(),
        other => other.message(),
    };
    refusal(status, failure, &json!({"error": error, "error_description": description}))
}
