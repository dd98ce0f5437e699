//! Token introspection (RFC 7662). The caller proves its own secret and learns of its own tokens only: of
//! every other one it hears what it hears of none at all.

use serde_json::{Value, json};

use super::Served;
use super::failure::Failure;
use super::grant::installation;
use super::request::{Bodies, Request};
use crate::gate::Directory;
use crate::model::{Remark, Timestamp, TokenDigest};
use crate::wire::authorization::MAX_OPAQUE_BYTES;

pub(super) async fn introspect(
    served: &Served,
    request: &Request<'_>,
    remark: &mut Remark,
) -> Result<Value, Failure> {
    let parameters = request.parameters(Bodies::Form)?;
    let client = request.client(&parameters)?;
    let client = served.authenticate(client, request.requester, remark).await?;
    let token = parameters.get("token").ok_or(Failure::malformed("token is missing."))?;
    let inactive = || Ok(json!({"active": false}));
    if token.len() > MAX_OPAQUE_BYTES {
        return inactive();
    }
    let replica = &served.authority.replica;
    let Some(token) = replica.access_token(&TokenDigest::of(token.as_bytes()))? else { return inactive() };
    let now = Timestamp::now();
    let ended = token.revoked
        || now >= token.expires_at
        || token.secret_generation.is_some_and(|generation| !client.app.has_generation(generation, now));
    if token.app_id != client.app.app_id || ended {
        return inactive();
    }
    let installation = match installation(replica, &client.app, token.store_id) {
        Ok(installation) => installation,
        Err(Failure::Unavailable) => return Err(Failure::Unavailable),
        Err(_) => return inactive(),
    };
    remark.store_id = Some(token.store_id);
    let scopes = match &token.scopes {
        Some(own) => own.intersection(&installation.scopes),
        None => installation.scopes.clone(),
    };
    let mut told = json!({
        "active": true,
        "scope": scopes.as_str(),
        "client_id": client.app.client_id.as_str(),
        "token_type": "Bearer",
        "exp": token.expires_at.0,
        "store_id": token.store_id.get(),
    });
    if let Some(subject) = token.subject.as_ref().and_then(|subject| subject.to_str().ok()) {
        told["sub"] = subject.into();
    }
    Ok(told)
}
