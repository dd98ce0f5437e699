//! `POST {base}/introspect` (RFC 7662), for confidential clients, about their own tokens. Everything else is
//! `{"active": false}`, whatever the reason.

use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::json;

use super::Idp;
use super::http::{Refused, parameters, uncached};
use super::token::{ACCESS_PREFIX, REFRESH_PREFIX, digest};
use crate::model::{Requester, Timestamp, TokenKind};

impl Idp {
    /// Says what a token is at this moment.
    pub(super) async fn introspect(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        caller: &Requester,
    ) -> Result<Response, Refused> {
        let parameters = parameters(headers, body)?;
        let client = self.authenticate(headers, &parameters, caller).await?;
        if client.is_public() {
            // Anybody can say a public client's name (RFC 7662 section 2.1).
            return Err(Refused::client());
        }
        let token = parameters.get("token").ok_or(Refused::request("token is missing."))?;
        let now = Timestamp::now();
        let found = match digest(token, &[ACCESS_PREFIX, REFRESH_PREFIX]) {
            Some(digest) => {
                self.replica().identity_token(&digest, now).map_err(|_| Refused::unavailable())?
            }
            None => None,
        };
        let Some(token) = found.filter(|token| token.grant.client == client.client_id) else {
            return Ok(uncached(StatusCode::OK, &json!({"active": false})));
        };
        let mut body = json!({
            "active": true,
            "scope": token.grant.scopes.as_str(),
            "client_id": token.grant.client.as_str(),
            "token_type": match token.kind { TokenKind::Access => "Bearer", TokenKind::Refresh => "refresh_token" },
            "exp": token.expires_at.0,
            "iat": token.issued_at.0,
            "sub": token.grant.subject.to_string(),
            "aud": token.grant.client.as_str(),
            "iss": self.settings.issuer,
            "auth_time": token.grant.auth_time.0,
        });
        if let Some(store) = token.grant.store.filter(|_| token.grant.scopes.contains("store")) {
            body["store_id"] = json!(store.get());
        }
        Ok(uncached(StatusCode::OK, &body))
    }
}
