//! `POST {base}/token`: a code or a refresh token for a pair of tokens (RFC 6749 sections 4.1.3 and 6), and with
//! the scope `openid` an ID token (OpenID Connect Core sections 3.1.3.3 and 12.2).

use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::http::{Refused, Told, parameters, request_id, uncached};
use super::keys::KeySet;
use super::{Event, Idp};
use crate::model::{Grant, OauthClient, Requester, ScopeSet, Secret, Timestamp, TokenDigest};
use crate::replica::{Exchanged, NewIdentityPair, PresentedCode};
use crate::wire::parameters::Parameters;

/// How long an access token and an ID token live, in seconds.
const ACCESS_LIFE: i64 = 3600;

/// How long a refresh token lives that nobody uses, in seconds.
const REFRESH_LIFE: i64 = 30 * 24 * 3600;

/// How tokens begin.
pub(super) const ACCESS_PREFIX: &str = "sx_it_";
pub(super) const REFRESH_PREFIX: &str = "sx_ir_";
const CODE_PREFIX: &str = "sx_ic_";

/// The longest code or token that is hashed, in bytes.
const MAX_TOKEN: usize = 256;

/// Two new tokens in clear.
struct Pair {
    access: Secret,
    refresh: Secret,
}

impl Pair {
    fn generate() -> Result<Self, getrandom::Error> {
        Ok(Self { access: Secret::generate(ACCESS_PREFIX)?, refresh: Secret::generate(REFRESH_PREFIX)? })
    }

    fn stored(&self, now: Timestamp) -> NewIdentityPair {
        NewIdentityPair {
            access: TokenDigest::of(self.access.expose().as_bytes()),
            refresh: TokenDigest::of(self.refresh.expose().as_bytes()),
            access_expires_at: now.plus(ACCESS_LIFE),
            refresh_expires_at: now.plus(REFRESH_LIFE),
        }
    }
}

/// The digest of a token that has the form of one; `None` for what cannot be one.
pub(super) fn digest(token: &str, prefixes: &[&str]) -> Option<TokenDigest> {
    let fits = token.len() <= MAX_TOKEN && prefixes.iter().any(|prefix| token.starts_with(prefix));
    fits.then(|| TokenDigest::of(token.as_bytes()))
}

impl Idp {
    /// Answers a token request.
    pub(super) async fn token(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        caller: &Requester,
    ) -> Result<Response, Refused> {
        let parameters = parameters(headers, body)?;
        let client = self.authenticate(headers, &parameters, caller).await?;
        // Before anything is used up: what could not be signed would be lost.
        let keys = || {
            let keys = self.keys().ok().filter(|keys| keys.can_sign(Timestamp::now()));
            keys.ok_or_else(Refused::unavailable)
        };
        match parameters.get("grant_type") {
            Some("authorization_code") => self.redeem(&*keys()?, &parameters, &client, caller).await,
            Some("refresh_token") => self.refresh(&*keys()?, &parameters, &client, caller).await,
            Some(_) => Err(Refused::grant_type()),
            None => Err(Refused::request("grant_type is missing.")),
        }
    }

    async fn redeem(
        &self,
        keys: &KeySet,
        parameters: &Parameters,
        client: &OauthClient,
        caller: &Requester,
    ) -> Result<Response, Refused> {
        let code = parameters.get("code").ok_or(Refused::request("code is missing."))?;
        let verifier = parameters.get("code_verifier");
        if verifier.is_some_and(|verifier| !is_verifier(verifier)) {
            return Err(Refused::request(
                "code_verifier has 43 to 128 letters, digits, '-', '.', '_' and '~'.",
            ));
        }
        let (pair, now) = (Pair::generate().map_err(|_| Refused::unavailable())?, Timestamp::now());
        let presented = PresentedCode {
            code: digest(code, &[CODE_PREFIX]).ok_or_else(Refused::grant)?,
            client: client.client_id.clone(),
            redirect_uri: parameters.get("redirect_uri").map(str::to_owned),
            challenge: verifier.map(|verifier| BASE64URL_NOPAD.encode(&Sha256::digest(verifier))),
        };
        let exchanged = self.queue()?.exchange_identity_code(presented, pair.stored(now), now).await;
        match exchanged? {
            Exchanged::Issued(grant) => {
                self.note(Event::TokensIssued, caller, Some(grant.subject), Some(&client.client_id));
                let nonce = grant.nonce.clone();
                self.issued(keys, &pair, &grant, nonce.as_deref(), now)
            }
            other => Err(self.refused(&other, Event::CodeReused, client, caller)),
        }
    }

    async fn refresh(
        &self,
        keys: &KeySet,
        parameters: &Parameters,
        client: &OauthClient,
        caller: &Requester,
    ) -> Result<Response, Refused> {
        let token = parameters.get("refresh_token").ok_or(Refused::request("refresh_token is missing."))?;
        let asked = match parameters.get("scope").map(ScopeSet::parse) {
            Some(Err(_)) => return Err(Refused::scope("scope has a malformed value.")),
            Some(Ok(asked)) => Some(asked),
            None => None,
        };
        let token = digest(token, &[REFRESH_PREFIX]).ok_or_else(Refused::grant)?;
        let (pair, now) = (Pair::generate().map_err(|_| Refused::unavailable())?, Timestamp::now());
        let id = client.client_id.clone();
        let exchanged = self.queue()?.refresh_identity(token, id, asked, pair.stored(now), now).await;
        match exchanged? {
            Exchanged::Issued(grant) => {
                let who = Some(grant.subject);
                self.note(Event::TokensRefreshed, caller, who, Some(&client.client_id));
                // A nonce belongs to the request that it came with (OpenID Connect Core section 12.2).
                self.issued(keys, &pair, &grant, None, now)
            }
            other => Err(self.refused(&other, Event::RefreshTokenReused, client, caller)),
        }
    }

    fn refused(
        &self,
        exchanged: &Exchanged,
        reused: Event,
        client: &OauthClient,
        caller: &Requester,
    ) -> Refused {
        let client = Some(&client.client_id);
        match exchanged {
            Exchanged::BeyondGrant => {
                return Refused::scope("scope goes beyond what was granted.");
            }
            Exchanged::Reused(grant) => self.note(reused, caller, Some(grant.subject), client),
            Exchanged::Refused(why) => {
                tracing::info!(request_id = request_id(caller), "a token request is refused: {why}");
                self.note(Event::GrantRefused, caller, None, client);
            }
            Exchanged::Issued(_) => {}
        }
        Refused::grant()
    }

    /// The answer of RFC 6749 section 5.1.
    fn issued(
        &self,
        keys: &KeySet,
        pair: &Pair,
        grant: &Grant,
        nonce: Option<&str>,
        now: Timestamp,
    ) -> Result<Response, Refused> {
        let mut body = json!({
            "access_token": pair.access.expose(),
            "refresh_token": pair.refresh.expose(),
            "token_type": "Bearer",
            "expires_in": ACCESS_LIFE,
            "scope": grant.scopes.as_str(),
        });
        if grant.scopes.contains("openid") {
            let claims = self.id_token(pair, grant, nonce, now);
            body["id_token"] = json!(keys.sign(&claims, now).ok_or_else(Refused::unavailable)?);
        }
        let mut answer = uncached(StatusCode::OK, &body);
        answer.extensions_mut().insert(Told { code: "", client: Some(grant.client.clone()) });
        Ok(answer)
    }

    /// The claims of an ID token (OpenID Connect Core sections 2 and 3.1.3.6). What the scopes tell of the
    /// person is read from the UserInfo endpoint.
    fn id_token(&self, pair: &Pair, grant: &Grant, nonce: Option<&str>, now: Timestamp) -> Value {
        let half = &TokenDigest::of(pair.access.expose().as_bytes()).0[..16];
        let mut claims = json!({
            "iss": self.settings.issuer,
            "sub": grant.subject.to_string(),
            "aud": grant.client.as_str(),
            "iat": now.0,
            "exp": now.plus(ACCESS_LIFE).0,
            "auth_time": grant.auth_time.0,
            "at_hash": BASE64URL_NOPAD.encode(half),
        });
        if let Some(nonce) = nonce {
            claims["nonce"] = json!(nonce);
        }
        claims
    }
}

/// RFC 7636 section 4.1.
fn is_verifier(text: &str) -> bool {
    let unreserved = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    (43..=128).contains(&text.len()) && text.bytes().all(unreserved)
}
