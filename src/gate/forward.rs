//! What the upstream receives: strip every owned name in every spelling, then set from the permit.
//!
//! Strip and set are one plan, so that no route can have one without the other. The proxy applies it
//! after its hop-by-hop clean-up; applied earlier, a client could delete identity headers by naming
//! them in `Connection`.

use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use smallvec::SmallVec;

use super::Pass;
use super::credential::{
    X_CLIENT_ID, X_CLIENT_SECRET, X_MOLTIN_CUSTOMER_TOKEN, X_SHOPIFY_ACCESS_TOKEN, X_STORE_ID,
};
use crate::wire::field::OwnedNames;

/// The names of the headers that the upstream receives: `[inject]` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InjectNames {
    /// The store's number.
    pub store: HeaderName,
    /// The scopes in force, separated by blanks.
    pub scopes: HeaderName,
    /// The client id of the calling app.
    pub client: HeaderName,
    /// The installation's number.
    pub installation: HeaderName,
    /// `oauth`, `session` or `client_credentials`.
    pub method: HeaderName,
    /// The user, where there is one.
    pub subject: HeaderName,
    /// The subject of the client's certificate, where the connection has verified one.
    pub client_cert_subject: HeaderName,
    /// The SHA-256 fingerprint of the same certificate.
    pub client_cert_fingerprint: HeaderName,
}

impl Default for InjectNames {
    fn default() -> Self {
        Self {
            store: X_STORE_ID,
            scopes: HeaderName::from_static("x-scopes"),
            client: X_CLIENT_ID,
            installation: HeaderName::from_static("x-installation-id"),
            method: HeaderName::from_static("x-auth-method"),
            subject: HeaderName::from_static("x-subject"),
            client_cert_subject: HeaderName::from_static("x-client-cert-subject"),
            client_cert_fingerprint: HeaderName::from_static("x-client-cert-fingerprint"),
        }
    }
}

impl InjectNames {
    /// All of them.
    pub fn all(&self) -> [&HeaderName; 8] {
        [
            &self.store,
            &self.scopes,
            &self.client,
            &self.installation,
            &self.method,
            &self.subject,
            &self.client_cert_subject,
            &self.client_cert_fingerprint,
        ]
    }
}

/// Where a session token also travels, towards app backends; never a credential here.
const X_SESSION_TOKEN: HeaderName = HeaderName::from_static("x-session-token");

/// Credentials that an upstream which authenticates by itself receives untouched.
static CREDENTIALS: [HeaderName; 7] = [
    AUTHORIZATION,
    X_CLIENT_ID,
    X_CLIENT_SECRET,
    X_STORE_ID,
    X_SESSION_TOKEN,
    X_SHOPIFY_ACCESS_TOKEN,
    X_MOLTIN_CUSTOMER_TOKEN,
];

/// Header families by which a proxy in front tells who called and what was asked. Believed from
/// trusted proxies only.
const FORWARDED: [&str; 9] = [
    "forwarded",
    "x-forwarded",
    "x-real-ip",
    "x-request-id",
    // The caller's address, as content delivery networks and load balancers name it.
    "cf-connecting-ip",
    "fastly-client-ip",
    "true-client-ip",
    "x-client-ip",
    "x-cluster-client-ip",
];
const FORWARDED_PREFIXES: [&str; 3] = ["x-forwarded-", "x-original-", "x-rewrite-"];

/// Headers by which frameworks take another method than the request's. The method that was decided is
/// the method, so that a GET with the scope to read cannot become a DELETE; no proxy writes them.
const METHOD_OVERRIDES: [&str; 3] = ["x-http-method", "x-http-method-override", "x-method-override"];

/// What else a client may not have deleted by naming it in `Connection`: whom the request is for, which
/// way it came, who sent it, and where it ends. The members of `FORWARDED` and the credentials are
/// refused as well.
const ESSENTIAL: [&str; 5] = ["host", "via", "cookie", "content-length", "transfer-encoding"];

/// The header that names the request in answers too.
const REQUEST_ID: &str = "x-request-id";

/// The headers by which answers tell of rate limits: the standard ones, and those of its drafts.
const RATE_LIMIT: [&str; 5] =
    ["ratelimit", "ratelimit-policy", "ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"];

/// Names that say where the message ends. In another spelling they say nothing here, and perhaps
/// something to an upstream that knows them as CONTENT_LENGTH (RFC 3875 section 4.1.2).
const FRAMING: [&str; 2] = ["content-length", "transfer-encoding"];

/// Every header name that speaks of identity, by who owns it.
#[derive(Debug)]
pub(super) struct Names {
    /// Credentials and injected names, and the overrides: removed from every request that we vouch for.
    pub(super) identity: OwnedNames,
    forwarded: OwnedNames,
    /// Both.
    all: OwnedNames,
    /// These and the essential ones: what `Connection` may not name.
    pub(super) not_to_nominate: OwnedNames,
    framing: OwnedNames,
    /// What answers say in the gateway's name.
    ours_in_answers: OwnedNames,
    rate_limit: OwnedNames,
    inject: InjectNames,
}

/// Headers to set, in order.
pub type Injected = SmallVec<[(HeaderName, HeaderValue); 6]>;

impl Names {
    pub(super) fn new(inject: InjectNames) -> Self {
        let injected = inject.all().map(HeaderName::as_str);
        let credentials = CREDENTIALS.each_ref().map(HeaderName::as_str);
        let identity = || injected.iter().chain(&credentials).chain(&METHOD_OVERRIDES).copied();
        Self {
            identity: OwnedNames::new(identity()),
            forwarded: OwnedNames::new(FORWARDED).with_prefixes(FORWARDED_PREFIXES),
            all: OwnedNames::new(identity().chain(FORWARDED)).with_prefixes(FORWARDED_PREFIXES),
            not_to_nominate: OwnedNames::new(identity().chain(FORWARDED).chain(ESSENTIAL))
                .with_prefixes(FORWARDED_PREFIXES),
            framing: OwnedNames::new(FRAMING),
            ours_in_answers: OwnedNames::new(injected.iter().copied().chain([REQUEST_ID])),
            rate_limit: OwnedNames::new(RATE_LIMIT),
            inject,
        }
    }

    /// The names to remove from the client's request, each as it is spelled there.
    pub(super) fn strip(
        &self,
        headers: &HeaderMap,
        pass: &Pass,
        trusted_peer: bool,
    ) -> SmallVec<[HeaderName; 8]> {
        let untouched = |name: &HeaderName| matches!(pass, Pass::Upstream) && CREDENTIALS.contains(name);
        // A proxy writes the plain spelling; any other came through it from the client.
        let is_forged = |name: &str| match trusted_peer {
            true => self.forwarded.is_other_spelling(name).is_some(),
            false => self.forwarded.contains(name),
        };
        headers
            .keys()
            .filter(|name| match self.all.contains(name.as_str()) {
                // Most names are nobody's.
                false => self.framing.is_other_spelling(name.as_str()).is_some(),
                true => {
                    (self.identity.contains(name.as_str()) && !untouched(name)) || is_forged(name.as_str())
                }
            })
            .cloned()
            .collect()
    }

    /// Whether a field of an upstream's answer says what only the gateway may say.
    pub(super) fn speaks_for_us(&self, name: &HeaderName, pass: &Pass, rationed: bool) -> bool {
        // There the upstream reads credentials by itself, and may write what it read.
        let own = matches!(pass, Pass::Upstream) && CREDENTIALS.contains(name);
        (self.ours_in_answers.contains(name.as_str()) && !own)
            || (rationed && self.rate_limit.contains(name.as_str()))
    }

    /// The identity headers, from verified records only.
    pub(super) fn identity(&self, pass: &Pass) -> Injected {
        let Pass::Permitted(permit) = pass else { return Injected::new() };
        let names = &self.inject;
        let mut set: Injected = smallvec::smallvec![
            (names.store.clone(), permit.store().header.clone()),
            (names.scopes.clone(), permit.scopes().clone()),
            (names.client.clone(), permit.app().header.clone()),
            (names.installation.clone(), permit.installation().header.clone()),
            (names.method.clone(), permit.kind().method_header()),
        ];
        set.extend(permit.subject().map(|subject| (names.subject.clone(), subject.clone())));
        set
    }
}
