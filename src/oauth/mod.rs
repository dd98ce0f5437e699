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

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use axum::routing::any;
use serde_json::Value;

pub use customer::{CUSTOMER_SCOPES, CustomerTokens};
use failure::Failure;
use request::Request;

use crate::hasher::Hasher;
use crate::limits::{ClientRates, Limits, Rate};
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

/// What all endpoints work with.
#[derive(Debug)]
pub struct Authority {
    /// The records.
    pub replica: Arc<Replica>,
    /// Where what is issued is recorded.
    pub queue: Arc<WriteQueue>,
    /// The bcrypt workers.
    pub hasher: Arc<Hasher>,
    /// The budgets of failed attempts.
    pub limits: Arc<Limits>,
    /// Under which proved bcrypt secrets are remembered.
    pub proof_key: ProofKey,
    /// How the family of our own access tokens begins.
    pub access_token_prefix: Box<str>,
}

/// One endpoint and what it works with.
#[derive(Debug)]
struct Served {
    authority: Arc<Authority>,
    endpoint: Endpoint,
    rates: ClientRates,
}

/// The endpoints as one router, and the paths that it serves.
pub fn router(
    authority: Authority,
    endpoints: Vec<Endpoint>,
    customers: Option<&CustomerTokens>,
) -> (Router, Vec<Box<str>>) {
    let authority = Arc::new(authority);
    let mut router = Router::new();
    let mut paths: Vec<Box<str>> = Vec::new();
    for endpoint in endpoints {
        paths.extend(endpoint.paths());
        let rate = (endpoint.requests_per_minute > 0).then(|| Rate {
            burst: endpoint.requests_per_minute,
            per_second: f64::from(endpoint.requests_per_minute) / 60.0,
        });
        let served = |rate| {
            Arc::new(Served {
                authority: authority.clone(),
                endpoint: endpoint.clone(),
                rates: ClientRates::new(rate),
            })
        };
        router = router.route(&endpoint.path, any(token).with_state(served(rate)));
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
    if let Some(settings) = customers {
        let customers = Arc::new(customer::Customers::new(authority, settings));
        router = router.route(&settings.path, any(customer::token).with_state(customers));
        paths.push(settings.path.clone());
    }
    (router, paths)
}

async fn token(
    State(served): State<Arc<Served>>,
    Extension(requester): Extension<Requester>,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let request = Request { requester: &requester, headers: &headers, body: &body };
    if let Some(preflight) = dialect::preflight(served.endpoint.platform, &method) {
        return preflight;
    }
    let mut remark = served.remark("token");
    let outcome = match method {
        Method::POST => dialect::token(&served, &request, &mut remark).await,
        _ => Err(Failure::Method),
    };
    served.authority.tell(served.endpoint.platform, outcome, &request, remark)
}

async fn introspection(
    State(served): State<Arc<Served>>,
    Extension(requester): Extension<Requester>,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let request = Request { requester: &requester, headers: &headers, body: &body };
    let mut remark = served.remark("introspect");
    let outcome = match method {
        Method::POST => introspect::introspect(&served, &request, &mut remark).await,
        _ => Err(Failure::Method),
    };
    served.authority.tell(served.endpoint.platform, outcome, &request, remark)
}

async fn revocation(
    State(served): State<Arc<Served>>,
    Extension(requester): Extension<Requester>,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let request = Request { requester: &requester, headers: &headers, body: &body };
    let mut remark = served.remark("revoke");
    let outcome = match method {
        Method::POST => revoke::revoke(&served, &request, &mut remark).await,
        _ => Err(Failure::Method),
    };
    served.authority.tell(served.endpoint.platform, outcome, &request, remark)
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

impl Authority {
    /// The answer in the platform's words, with what the log is told. A failed attempt counts against its
    /// address; past the budget it is answered 429.
    fn tell(
        &self,
        platform: Platform,
        outcome: Result<Value, Failure>,
        request: &Request<'_>,
        mut remark: Remark,
    ) -> Response {
        let mut response = match outcome {
            Ok(body) => dialect::accept(platform, &body),
            Err(failure) => {
                let failure = self.charged(failure, request.requester);
                remark.code = failure.code();
                dialect::refuse(platform, &failure, request)
            }
        };
        response.extensions_mut().insert(remark);
        response
    }

    fn charged(&self, failure: Failure, requester: &Requester) -> Failure {
        if !failure.is_attempt() {
            return failure;
        }
        match self.limits.failures.charge(requester.address, Instant::now()) {
            Ok(()) => failure,
            Err(wait) => Failure::TooMany(wait),
        }
    }
}
