//! The decision, in the order of the request: route, credential, verify, authorise, forward.
//!
//! Pure: records come through [`Directory`], the time is an argument, and neither SQLite nor Pingora
//! is known here. A check that needs bcrypt is not made here either: the decision ends in
//! [`Decision::Prove`], the caller has the secret proved, and decides anew on the records of that
//! moment.

mod again;
mod authorise;
mod body;
pub mod credential;
mod customer;
mod dialect;
mod directory;
mod forward;
mod intake;
mod kind;
mod path_case;
mod pattern;
mod reach;
mod reason_table;
mod refusal;
mod route;
mod scope_rule;
mod shop;
mod shopify_session;
mod tenure;
mod trail;
mod tree;
mod verify;

use http::{HeaderMap, HeaderName};
use smallvec::SmallVec;

pub use again::{Again, Basis, Remembered};
pub use authorise::Permit;
pub use body::{BodyFormat, Refusals};
pub use dialect::underscored;
pub use directory::{Directory, Unavailable};
pub use forward::{InjectNames, Injected};
pub use intake::{Head, HeadLimits, RawHead};
pub use kind::{Kind, Kinds};
pub use path_case::PathCase;
pub use reach::Unreachable;
pub use refusal::{Code, Reason};
pub use route::{Access, Captures, Found, Route, RouteError, RouteTable, captures};
pub use scope_rule::{ScopeRules, ScopeTemplate, ScopeTemplateError, ScopeText};
pub use tenure::Tenure;
pub use trail::{Step, Steps, Told, Trail};
pub use verify::{Challenge, Verified};

use crate::model::{AddressList, ProofKey, ScopeSet, Timestamp};
use forward::Names;
use verify::{Circumstances, Unverified};

/// How a request may go on.
#[derive(Debug)]
pub enum Pass {
    /// Without identity: a public route, or a preflight.
    Anonymous,
    /// With the caller's own credentials, for an upstream that authenticates by itself.
    Upstream,
    /// In the name of a caller.
    Permitted(Permit),
}

/// The outcome of a decision.
#[derive(Debug)]
pub enum Decision<'g> {
    /// The request goes to the route's upstream.
    Forward(&'g Route, Pass),
    /// Only bcrypt can tell; decide anew when the secret is proved.
    Prove(Challenge),
    /// The request ends here.
    Refuse(Reason),
}

/// What the engine is built from.
#[derive(Debug)]
pub struct GateSettings {
    /// The routes.
    pub routes: RouteTable,
    /// The names that the upstream receives.
    pub inject: InjectNames,
    /// How opaque access tokens begin.
    pub access_token_prefix: Box<str>,
    /// Proxies whose `X-Forwarded-*` is believed.
    pub trusted_proxies: AddressList,
    /// The limits of a request head.
    pub limits: HeadLimits,
    /// What a customer token adds to a limited token on Elastic Path's routes.
    pub customer_scopes: ScopeSet,
    /// Under which proved bcrypt secrets are remembered.
    pub proof_key: ProofKey,
}

/// The engine.
#[derive(Debug)]
pub struct Gate {
    settings: GateSettings,
    names: Names,
}

impl Gate {
    /// Builds the engine.
    pub fn new(settings: GateSettings) -> Self {
        let names = Names::new(settings.inject.clone());
        Self { settings, names }
    }

    /// Checks what every request must satisfy before anything is decided.
    ///
    /// # Errors
    ///
    /// The reason to refuse.
    pub fn admit<'h>(&self, raw: &RawHead<'h>) -> Result<Head<'h>, Reason> {
        intake::admit(raw, self.settings.limits, &self.names.not_to_nominate, &self.settings.trusted_proxies)
    }

    /// Decides one request at the time `now`.
    pub fn decide<'g>(
        &'g self,
        head: &Head<'_>,
        directory: &impl Directory,
        now: Timestamp,
        trail: &mut impl Trail,
    ) -> Decision<'g> {
        let path = self.settings.routes.fold(head.target.path());
        // A preflight asks on behalf of another method, and is answered by the route that serves it.
        let preflight = credential::preflight(head.method, head.headers);
        let method = preflight.as_ref().unwrap_or(head.method);
        if self.settings.routes.misleads(method, &path) {
            return Decision::Refuse(Reason::MisleadingPath);
        }
        let (index, route, captures) = match self.settings.routes.find(method, &path) {
            Found::Route(index, route, captures) => (index, route, captures),
            Found::MethodNotAllowed(allow) => {
                return Decision::Refuse(Reason::MethodNotListed(allow.clone()));
            }
            Found::Nothing => return Decision::Refuse(Reason::NoRoute),
        };
        trail.step(Step::Route(index, route));
        let (kinds, rules) = match &route.access {
            Access::Public => return Decision::Forward(route, Pass::Anonymous),
            Access::Upstream => return Decision::Forward(route, Pass::Upstream),
            Access::Credentials(..) if preflight.is_some() => {
                trail.step(Step::Preflight);
                return Decision::Forward(route, Pass::Anonymous);
            }
            Access::Credentials(kinds, rules) => (*kinds, rules),
        };
        let platform = route.platform;
        let permit = credential::read(head.headers, kinds, platform, &self.settings.access_token_prefix)
            .map_err(Unverified::from)
            .and_then(|presented| {
                trail.step(Step::Presented(presented.kind()));
                let with = Circumstances {
                    headers: head.headers,
                    host: head.host,
                    query: head.target.query(),
                    caller: head.caller,
                    directory,
                    proof_key: &self.settings.proof_key,
                    platform,
                    customer_scopes: &self.settings.customer_scopes,
                    now,
                };
                verify::verify(presented, &with, trail)
            })
            .and_then(|verified| {
                authorise::authorise(verified, rules, platform, head.method, &captures, trail)
                    .map_err(Unverified::from)
            });
        match permit {
            Ok(permit) => Decision::Forward(route, Pass::Permitted(permit)),
            Err(Unverified::Unproved(challenge)) => Decision::Prove(challenge),
            Err(Unverified::Refused(reason)) => Decision::Refuse(reason),
        }
    }

    /// The names to remove from the client's request, each as it is spelled there.
    pub fn strip(&self, headers: &HeaderMap, pass: &Pass, trusted_peer: bool) -> SmallVec<[HeaderName; 8]> {
        self.names.strip(headers, pass, trusted_peer)
    }

    /// Whether a field of an upstream's answer says what only the gateway may say: a name that is
    /// injected, or the request id, in any spelling; and the rate limit where the gateway `rationed` the
    /// request itself.
    pub fn speaks_for_us(&self, name: &HeaderName, pass: &Pass, rationed: bool) -> bool {
        self.names.speaks_for_us(name, pass, rationed)
    }

    /// The identity headers to set, from verified records only.
    pub fn identity(&self, pass: &Pass) -> Injected {
        self.names.identity(pass)
    }

    /// What the engine was built from.
    pub fn settings(&self) -> &GateSettings {
        &self.settings
    }
}
