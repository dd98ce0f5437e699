//! Customer tokens of Elastic Path (`POST /v2/customers/tokens`): an app that holds a token of its own has a
//! person prove who they are by email and password.
//!
//! Who is unknown, who is disabled and whose password is wrong hear the same, after the same time. Guessing
//! is bounded twice: by the budget of failed attempts of the address, and by one for each account.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::{Extension, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::failure::Failure;
use super::grant::installation;
use super::request::{Request, one_line};
use super::{Authority, dialect, tell};
use crate::gate::Directory;
use crate::hasher::Verdict;
use crate::limits::{Limits, Rate};
use crate::model::{
    AppStatus, ClientId, Email, Platform, Remark, Requester, ScopeSet, Secret, StoreId, Timestamp,
    TokenDigest, UserStatus,
};
use crate::wire::authorization::{self, Authorization, MAX_OPAQUE_BYTES};

/// What Elastic Path's documentation adds with a customer token ("Tokens", permissions), as scopes.
pub const CUSTOMER_SCOPES: &str = "read:addresses read:customers read:orders write:addresses \
    write:customers write:orders";

/// Sign-ins for one account from one address in a minute. That platform's SDK tries a wrong password four
/// times.
const SIGN_INS: Rate = Rate { burst: 20, per_second: 20.0 / 60.0 };

/// The endpoint for customer tokens, as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomerTokens {
    /// Its path, in normal form.
    pub path: Box<str>,
    /// How long the tokens live.
    pub life: Duration,
    /// What they add to the rights of a limited token.
    pub scopes: ScopeSet,
}

/// The endpoint and what it works with.
#[derive(Debug)]
pub(super) struct Customers {
    authority: Arc<Authority>,
    limits: Arc<Limits>,
    path: Box<str>,
    life: i64,
}

impl Customers {
    pub(super) fn new(authority: &Arc<Authority>, limits: &Arc<Limits>, settings: &CustomerTokens) -> Self {
        Self {
            authority: Arc::clone(authority),
            limits: Arc::clone(limits),
            path: settings.path.clone(),
            life: i64::try_from(settings.life.as_secs()).unwrap_or(i64::MAX),
        }
    }
}

#[derive(Deserialize)]
struct Body {
    data: Login,
}

#[derive(Deserialize)]
struct Login {
    #[serde(rename = "type")]
    kind: String,
    email: String,
    password: Zeroizing<String>,
}

pub(super) async fn token(
    State(customers): State<Arc<Customers>>,
    Extension(requester): Extension<Requester>,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    const PLATFORM: Platform = Platform::ElasticPath;
    if let Some(preflight) = dialect::preflight(PLATFORM, &method) {
        return preflight;
    }
    let request = Request { requester: &requester, headers: &headers, body: &body };
    let mut remark = Remark {
        family: PLATFORM.name(),
        action: "customer_token",
        code: "",
        client_id: None,
        store_id: None,
    };
    let outcome = match method {
        Method::POST => customers.sign_in(&request, &mut remark).await,
        _ => Err(Failure::Method),
    };
    tell(&customers.limits, PLATFORM, outcome, &request, remark)
}

impl Customers {
    async fn sign_in(&self, request: &Request<'_>, remark: &mut Remark) -> Result<Value, Failure> {
        let store = self.store(request, remark)?;
        let Body { data } = serde_json::from_slice(request.body)
            .map_err(|_| Failure::malformed("The body must be JSON: data with type, email and password."))?;
        if data.kind != "token" {
            return Err(Failure::malformed("data.type must be \"token\"."));
        }
        let email = Email::parse(&data.email).map_err(|_| Failure::Login)?;
        // The account's name becomes a key of fixed size, whatever was typed.
        let account = format!(
            "{store}.{}",
            &data_encoding::HEXLOWER.encode(&TokenDigest::of(email.as_str().as_bytes()).0)[..32]
        );
        let account = ClientId::parse(&account).map_err(|_| Failure::Login)?;
        let (accounts, address) = (&self.authority.accounts, request.requester.address);
        let drawn = accounts.draw(&self.path, Some(SIGN_INS), &account, address, Instant::now());
        drawn.map_err(Failure::TooMany)?;

        let user = self.authority.replica.customer_by_email(store, &email)?;
        let user = user.filter(|user| user.status == UserStatus::Active);
        let hash = user.as_ref().map(|user| user.password.clone());
        let password = Secret::new(data.password.to_string());
        match self.authority.passwords.check_password(hash, password).await {
            Verdict::Proved => {}
            Verdict::Wrong => return Err(Failure::Login),
            Verdict::Saturated => return Err(Failure::Saturated),
        }
        let subject = user.ok_or(Failure::Login)?.subject;
        let token = Secret::generate("").map_err(|_| Failure::Unavailable)?;
        let now = Timestamp::now();
        let expires_at = now.plus(self.life);
        let digest = TokenDigest::of(token.expose().as_bytes());
        self.authority.queue()?.record_customer_token(digest, subject, store, now, expires_at).await?;
        Ok(json!({"data": {
            "type": "token",
            "id": data_encoding::HEXLOWER.encode(&digest.0[..16]),
            "customer_id": subject.number().to_string(),
            "token": token.expose(),
            "expires": expires_at.0,
        }}))
    }

    /// The store of the app's own token.
    fn store(&self, request: &Request<'_>, remark: &mut Remark) -> Result<StoreId, Failure> {
        let line = one_line(request.headers, &AUTHORIZATION)?.ok_or(Failure::Token)?;
        let Some(Authorization::Bearer(token)) = authorization::parse(line) else {
            return Err(Failure::Token);
        };
        if token.is_empty() || token.len() > MAX_OPAQUE_BYTES {
            return Err(Failure::Token);
        }
        let replica = &self.authority.replica;
        let now = Timestamp::now();
        let token = replica.access_token(&TokenDigest::of(token))?.ok_or(Failure::Token)?;
        if token.revoked || now >= token.expires_at {
            return Err(Failure::Token);
        }
        let app = replica.app(token.client_id.as_str())?.filter(|app| app.app_id == token.app_id);
        let app = app.filter(|app| app.status == AppStatus::Enabled).ok_or(Failure::Token)?;
        if token.secret_generation.is_some_and(|generation| !app.has_generation(generation, now)) {
            return Err(Failure::Token);
        }
        remark.client_id = Some(app.client_id.clone());
        let allowed = &app.allowed_addresses;
        if !allowed.is_empty() && !allowed.contains(request.requester.address) {
            return Err(Failure::AddressNotAllowed);
        }
        match installation(replica, &app, token.store_id) {
            Ok(_) => {}
            Err(Failure::NotInstalled) => return Err(Failure::Token),
            Err(other) => return Err(other),
        }
        remark.store_id = Some(token.store_id);
        Ok(token.store_id)
    }
}
