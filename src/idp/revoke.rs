//! `POST {base}/revoke` (RFC 7009). Always 200, as the platform documents it: a token of another client, an
//! unknown one and a wrong secret look alike. What was revoked is refused from the answer on.

use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::json;

use super::http::{Refused, parameters, uncached};
use super::token::{ACCESS_PREFIX, REFRESH_PREFIX, digest};
use super::{Event, Idp};
use crate::model::{Requester, Timestamp};

impl Idp {
    /// Ends the pair that an access token belongs to, or all that came of a refresh token's grant, for the client
    /// that it was issued to.
    pub(super) async fn revoke(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        caller: &Requester,
    ) -> Result<Response, Refused> {
        let done = || uncached(StatusCode::OK, &json!({"message": "OK", "status": 200}));
        let Ok(parameters) = parameters(headers, body) else { return Ok(done()) };
        let client = match self.authenticate(headers, &parameters, caller).await {
            Ok(client) => client,
            // What cannot be told now must not look as if it were done.
            Err(refused) if refused.is_temporary() => return Err(refused),
            Err(_) => return Ok(done()),
        };
        let token = parameters.get("token").and_then(|token| digest(token, &[ACCESS_PREFIX, REFRESH_PREFIX]));
        let Some(token) = token else { return Ok(done()) };
        let (id, now) = (client.client_id.clone(), Timestamp::now());
        let revoked = self.queue()?.revoke_identity_token(token, id, now).await;
        if revoked? {
            self.note(Event::TokensRevoked, caller, None, Some(&client.client_id));
        }
        Ok(done())
    }
}
