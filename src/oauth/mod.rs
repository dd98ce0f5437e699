//! Token endpoints: from a client's secret to an access token that proxied requests are decided by.
//!
//! One core, thin dialects. A request goes through `request` (what was sent), `client` (who sent it), `grant`
//! (what may be issued), `issue` (the token and its record, together); a `dialect` only reads the request and
//! writes the answer in the words of one platform. The handlers are ordinary axum ones; `proxy` brings them
//! the requests of the public listener, with a bounded body and under a deadline.
//!
//! Nothing here decides about a proxied request: what is issued here is judged by the gate, on the records
//! of that moment, each time that it is used.

mod answer;
mod authorize;
mod client;
mod customer;
mod dialect;
mod failure;
mod grant;
mod introspect;
mod issue;
mod metadata;
mod request;
mod revoke;

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use axum::routing::any;
use serde_json::Value;

pub use authorize::{Asked, Merchants};
pub use customer::{CUSTOMER_SCOPES, CustomerTokens};
use failure::Failure;
use request::Request;

use crate::gate::Unavailable;
use crate::hasher::Hasher;
use crate::limits::{ClientAccounts, Limits, Rate};
use crate::model::{Platform, ProofKey, Remark, Requester, ScopeSet};
use crate::replica::{Replica, WriteQueue};

/// What Elastic Path's documentation lets implicit tokens do ("Tokens", permissions), as scopes.
pub const IMPLICIT_SCOPES: &str = "read:authentication-realms read:brands read:carts read:catalog \
    read:categories read:checkout read:collections read:currencies read:files read:flows read:inventories \
    read:products write:carts write:checkout";

/// A token endpoint, as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Whose dialect it speaks.
    pub platform: Platform,
    /// Its path, in normal form.
    pub path: Box<str>,
    /// How long its tokens live.
    pub life: Duration,
    /// Requests of one client from one address in a minute; 0: no limit.
    pub requests_per_minute: u32,
    /// The most that implicit tokens may do.
    pub implicit_scopes: ScopeSet,
    /// The `issuer` of the metadata (RFC 8414); `None`: the scheme and host of the request.
    pub issuer: Option<Box<str>>,
}

impl Endpoint {
    /// The paths below which nothing else may be served, this endpoint's own first.
    pub fn paths(&self) -> Vec<Box<str>> {
        let mut paths = vec![self.path.clone()];
        if self.platform == Platform::Standard {
            paths.extend(["introspect", "revoke"].map(|name| self.sibling(name)));
            paths.extend(["introspect", "revoke"].map(|name| self.below(name)));
            paths.push(metadata::PATH.into());
        }
        if self.platform == Platform::Selorax {
            paths.push(self.sibling("authorize"));
        }
        paths
    }

    /// The path beside the endpoint's: `/oauth/revoke` beside `/oauth/token`.
    fn sibling(&self, name: &str) -> Box<str> {
        let parent = self.path.rsplit_once('/').map_or("", |(parent, _)| parent);
        format!("{parent}/{name}").into()
    }

    fn below(&self, name: &str) -> Box<str> {
        format!("{}/{name}", self.path.trim_end_matches('/')).into()
    }
}

/// What a configuration says of token endpoints.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The endpoints.
    pub endpoints: Vec<Endpoint>,
    /// Where customers get their tokens.
    pub customer_tokens: Option<CustomerTokens>,
    /// How the family of our own access tokens begins.
    pub access_token_prefix: Box<str>,
    /// Who signs merchants in; `None`: nobody, and then nobody is sent back with a code.
    pub merchants: Option<Arc<dyn Merchants>>,
}

/// What all endpoints work with, whatever the configuration.
#[derive(Debug)]
pub struct Authority {
    replica: Arc<Replica>,
    queue: OnceLock<WriteQueue>,
    hasher: Arc<Hasher>,
    /// For people's passwords alone: a flood of sign-ins must not keep apps from having their secrets proved.
    passwords: Hasher,
    proof_key: ProofKey,
    /// Who asked how often; it outlives a configuration.
    accounts: ClientAccounts,
}

impl Authority {
    /// With these records and bcrypt workers, for the secrets of apps and for `passwords`; `proof_key` is that of
    /// the workers.
    pub fn new(replica: &Arc<Replica>, hasher: &Arc<Hasher>, passwords: Hasher, proof_key: ProofKey) -> Self {
        Self {
            replica: Arc::clone(replica),
            queue: OnceLock::new(),
            hasher: Arc::clone(hasher),
            passwords,
            proof_key,
            accounts: ClientAccounts::default(),
        }
    }

    /// Where what is issued is recorded; opened when it is first needed.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] when it cannot be opened.
    pub(crate) fn queue(&self) -> Result<&WriteQueue, Unavailable> {
        if let Some(queue) = self.queue.get() {
            return Ok(queue);
        }
        let started = WriteQueue::start(&self.replica).map_err(|error| {
            tracing::error!("tokens cannot be recorded: {error}");
            Unavailable
        })?;
        Ok(self.queue.get_or_init(|| started))
    }

    /// The records.
    pub(crate) fn replica(&self) -> &Arc<Replica> {
        &self.replica
    }

    /// The bcrypt workers for the secrets of apps and clients.
    pub(crate) fn hasher(&self) -> &Hasher {
        &self.hasher
    }

    /// Those for the passwords of people.
    pub(crate) fn passwords(&self) -> &Hasher {
        &self.passwords
    }

    /// Under which secrets that were proved are remembered.
    pub(crate) fn proof_key(&self) -> &ProofKey {
        &self.proof_key
    }
}

/// An endpoint at work under one configuration.
#[derive(Debug)]
struct Served {
    authority: Arc<Authority>,
    limits: Arc<Limits>,
    access_token_prefix: Box<str>,
    merchants: Option<Arc<dyn Merchants>>,
    endpoint: Endpoint,
    /// Of one client from one address; `None`: no limit.
    rate: Option<Rate>,
}

/// The endpoints as one router, and the paths that it serves.
pub fn router(
    authority: &Arc<Authority>,
    limits: &Arc<Limits>,
    settings: Settings,
) -> (Router, Vec<Box<str>>) {
    let mut router = Router::new();
    let mut paths: Vec<Box<str>> = Vec::new();
    for endpoint in settings.endpoints {
        paths.extend(endpoint.paths());
        let rate = (endpoint.requests_per_minute > 0).then(|| Rate {
            burst: endpoint.requests_per_minute,
            per_second: f64::from(endpoint.requests_per_minute) / 60.0,
        });
        let served = |rate| {
            Arc::new(Served {
                authority: Arc::clone(authority),
                limits: Arc::clone(limits),
                access_token_prefix: settings.access_token_prefix.clone(),
                merchants: settings.merchants.clone(),
                endpoint: endpoint.clone(),
                rate,
            })
        };
        router = router.route(&endpoint.path, any(token).with_state(served(rate)));
        if endpoint.platform == Platform::Selorax {
            let at = endpoint.sibling("authorize");
            router = router.route(&at, any(authorize::authorize).with_state(served(None)));
        }
        if endpoint.platform == Platform::Standard {
            // Resource servers ask for every request of theirs.
            let unlimited = served(None);
            for (name, handler) in [
                ("introspect", any(introspection).with_state(unlimited.clone())),
                ("revoke", any(revocation).with_state(unlimited.clone())),
            ] {
                router = router.route(&endpoint.sibling(name), handler.clone());
                router = router.route(&endpoint.below(name), handler);
            }
            router = router.route(metadata::PATH, any(metadata::document).with_state(unlimited));
        }
    }
    if let Some(tokens) = settings.customer_tokens {
        let customers = Arc::new(customer::Customers::new(authority, limits, &tokens));
        router = router.route(&tokens.path, any(customer::token).with_state(customers));
        paths.push(tokens.path);
    }
    (router, paths)
}

/// What a handler is given.
type Given = (State<Arc<Served>>, Extension<Requester>, Method, HeaderMap, Bytes);

async fn token(given: Given) -> Response {
    let platform = given.0.endpoint.platform;
    match dialect::preflight(platform, &given.2) {
        Some(preflight) => preflight,
        None => post(given, "token", dialect::token).await,
    }
}

async fn introspection(given: Given) -> Response {
    post(given, "introspect", introspect::introspect).await
}

async fn revocation(given: Given) -> Response {
    post(given, "revoke", revoke::revoke).await
}

/// Answers a POST by `answer`, and refuses other methods.
async fn post(
    (State(served), Extension(requester), method, headers, body): Given,
    action: &'static str,
    answer: impl AsyncFnOnce(&Served, &Request<'_>, &mut Remark) -> Result<Value, Failure>,
) -> Response {
    let request = Request { requester: &requester, headers: &headers, body: &body };
    let mut remark = served.remark(action);
    let outcome = match method {
        Method::POST => answer(&served, &request, &mut remark).await,
        _ => Err(Failure::Method),
    };
    tell(&served.limits, served.endpoint.platform, outcome, &request, remark)
}

impl Served {
    fn remark(&self, action: &'static str) -> Remark {
        let family = self.endpoint.platform.name();
        Remark { family, action, code: "", client_id: None, store_id: None }
    }

    /// Seconds that the tokens of this endpoint live.
    fn life(&self) -> i64 {
        i64::try_from(self.endpoint.life.as_secs()).unwrap_or(i64::MAX)
    }
}

/// The answer in the platform's words, with what the log is told. A failed attempt counts against its
/// address; past the budget it is answered 429.
fn tell(
    limits: &Limits,
    platform: Platform,
    outcome: Result<Value, Failure>,
    request: &Request<'_>,
    mut remark: Remark,
) -> Response {
    let mut response = match outcome {
        Ok(body) => dialect::accept(platform, &body),
        Err(failure) => {
            let failure = charged(limits, failure, request.requester);
            remark.code = failure.code();
            dialect::refuse(platform, &failure, request)
        }
    };
    response.extensions_mut().insert(remark);
    response
}

fn charged(limits: &Limits, failure: Failure, requester: &Requester) -> Failure {
    if !failure.is_attempt() {
        return failure;
    }
    match limits.failures.charge(requester.address, Instant::now()) {
        Ok(()) => failure,
        Err(wait) => Failure::TooMany(wait),
    }
}
