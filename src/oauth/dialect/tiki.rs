//! Tiki: the client credentials of an in-house app, which has all rights of the seller that confirmed it.
//! There is no refresh token, and the client authenticates in exactly the way that it was registered with.

use axum::response::Response;
use serde_json::{Value, json};

use super::{grant_type, standard};
use crate::model::Remark;
use crate::oauth::Served;
use crate::oauth::failure::Failure;
use crate::oauth::grant::client_credentials::{Wanted, grant};
use crate::oauth::grant::{installation, store};
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
    let replica = &served.authority.replica;
    let store_id = store(replica, &client.app, store_id(&parameters)?)?;
    remark.store_id = Some(store_id);
    let scopes = installation(replica, &client.app, store_id)?.scopes.clone();
    let granted = grant(replica, client, store_id, Wanted::Everything)?;
    let issued = served.issue(&granted).await?;
    Ok(json!({
        "access_token": issued.access_token.expose(),
        "expires_in": issued.life,
        "scope": scopes.as_str(),
        "token_type": "bearer",
    }))
}

/// As the standard: the platform documents no other.
pub(super) fn refuse(failure: &Failure, request: &Request<'_>) -> Response {
    standard::refuse(failure, request)
}
