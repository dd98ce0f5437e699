//! `GET` and `POST {base}/userinfo` (OpenID Connect Core section 5.3): what was granted, about whoever granted
//! it, as it is at this moment.
//!
//! The token comes as a Bearer token (RFC 6750 section 2.1), in a form (section 2.2), or with the client's
//! credentials in a body, as the platform's own library sends it; one of them.

use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::Idp;
use super::http::{Refused, parameters, uncached};
use super::token::{ACCESS_PREFIX, digest};
use crate::gate::Unavailable;
use crate::model::{Grant, Requester, Secret, Timestamp, TokenKind, User};
use crate::wire::authorization::{self, Authorization};
use crate::wire::parameters::Parameters;

impl Idp {
    /// Answers with the claims that the token's scopes tell. `body` is that of a POST.
    pub(super) async fn userinfo(
        &self,
        headers: &HeaderMap,
        body: Option<&[u8]>,
        caller: &Requester,
    ) -> Result<Response, Refused> {
        let parameters = body.map(|body| parameters(headers, body)).transpose()?;
        let (token, client) = match self.presented(headers, parameters.as_ref())? {
            Presented::Bearer(token) => (token, None),
            Presented::WithClient(token, parameters) => {
                let client = self.authenticate(&HeaderMap::new(), parameters, caller).await?;
                (token, Some(client.client_id))
            }
        };
        let digest = digest(token.expose(), &[ACCESS_PREFIX]).ok_or_else(Refused::token)?;
        let found = self.replica().identity_token(&digest, Timestamp::now());
        let found = found.map_err(|_| Refused::unavailable())?.filter(|token| {
            token.kind == TokenKind::Access && client.is_none_or(|client| client == token.grant.client)
        });
        let grant = found.ok_or_else(Refused::token)?.grant;
        let user = self.active_user(grant.subject).map_err(|_| Refused::unavailable())?;
        let user = user.ok_or_else(Refused::token)?;
        let claims = self.claims(&grant, &user).map_err(|_| Refused::unavailable())?;
        Ok(uncached(StatusCode::OK, &Value::Object(claims)))
    }

    fn presented<'p>(
        &self,
        headers: &HeaderMap,
        parameters: Option<&'p Parameters>,
    ) -> Result<Presented<'p>, Refused> {
        let mut lines = headers.get_all(AUTHORIZATION).iter();
        let header = match (lines.next(), lines.next()) {
            (None, _) => None,
            (Some(line), None) => Some(line),
            (Some(_), Some(_)) => return Err(Refused::request("Authorization may be sent only once.")),
        };
        let in_body = parameters.and_then(|parameters| parameters.get("access_token"));
        match (header, in_body, parameters) {
            (Some(_), Some(_), _) => {
                Err(Refused::request("Send the access token once: as Bearer, or in the body."))
            }
            (Some(header), None, _) => match authorization::parse(header.as_bytes()) {
                Some(Authorization::Bearer(token)) if !token.is_empty() => {
                    let token = std::str::from_utf8(token).map_err(|_| Refused::token())?;
                    Ok(Presented::Bearer(Secret::new(token.to_owned())))
                }
                _ => Err(Refused::no_token()),
            },
            (None, Some(token), Some(parameters)) => {
                let token = Secret::new(token.to_owned());
                match parameters.get("client_id") {
                    Some(_) => Ok(Presented::WithClient(token, parameters)),
                    None => Ok(Presented::Bearer(token)),
                }
            }
            (None, _, _) => Err(Refused::no_token()),
        }
    }

    /// The claims of section 5.1, by scope (section 5.4). What is not known is left out.
    fn claims(&self, grant: &Grant, user: &User) -> Result<Map<String, Value>, Unavailable> {
        let mut claims = Map::new();
        let mut put = |name: &str, value: Value| claims.insert(name.to_owned(), value);
        let (scopes, profile) = (&grant.scopes, &user.profile);
        if scopes.contains("openid") {
            put("sub", json!(grant.subject.to_string()));
        }
        if scopes.contains("profile") {
            put("name", json!(profile.name));
            if let Some(picture) = &profile.picture {
                put("picture", json!(picture));
            }
            if let Some(locale) = &profile.locale {
                put("locale", json!(locale));
            }
        }
        if scopes.contains("email") {
            put("email", json!(profile.email.as_str()));
            put("email_verified", json!(profile.email_verified));
        }
        if let (true, Some(phone)) = (scopes.contains("phone"), &profile.phone) {
            put("phone_number", json!(phone));
            put("phone_number_verified", json!(profile.phone_verified));
        }
        // Somebody who has left the store has nothing to tell of it.
        let membership = user.stores.iter().find(|own| Some(own.store_id) == grant.store);
        if let (true, Some(membership)) = (scopes.contains("store"), membership) {
            put("store_id", json!(membership.store_id.get()));
            if let Some(name) =
                self.replica().store_name(membership.store_id)?.filter(|name| !name.is_empty())
            {
                put("store_name", json!(name));
            }
            put("role", json!(membership.role));
        }
        Ok(claims)
    }
}

/// How the token came.
enum Presented<'p> {
    Bearer(Secret),
    /// With the credentials of the client that it was issued to.
    WithClient(Secret, &'p Parameters),
}
