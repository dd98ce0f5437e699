//! Token revocation (RFC 7009). The caller proves its own secret and ends its own tokens only; whether there
//! was one is not told.

use serde_json::{Value, json};

use super::Served;
use super::failure::Failure;
use super::request::{Bodies, Request};
use crate::model::{Remark, Timestamp, TokenDigest};
use crate::wire::authorization::MAX_OPAQUE_BYTES;

pub(super) async fn revoke(
    served: &Served,
    request: &Request<'_>,
    remark: &mut Remark,
) -> Result<Value, Failure> {
    let parameters = request.parameters(Bodies::Form)?;
    let client = request.client(&parameters)?;
    let client = served.authenticate(client, request.requester, remark).await?;
    let token = parameters.get("token").ok_or(Failure::malformed("token is missing."))?;
    if token.len() <= MAX_OPAQUE_BYTES {
        let digest = TokenDigest::of(token.as_bytes());
        let revoked =
            served.authority.queue()?.revoke_access_token(client.app.app_id, digest, Timestamp::now());
        revoked.await?;
    }
    Ok(json!({}))
}
