//! The steps of a decision, for those who want to know: the access log keeps who it was, `explain`
//! and `why` tell them all. Nobody listening costs nothing.

use std::fmt;
use std::sync::Arc;

use super::kind::Kind;
use super::route::Route;
use crate::model::{
    AccessToken, App, AppStatus, Installation, InstallationId, ScopeSet, Store, StoreId, StoreStatus,
    TokenDigest,
};

/// A check that was passed, or a record that was found and is about to be checked.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)] // each says what was found
pub enum Step<'a> {
    Route(usize, &'a Route),
    Preflight,
    Presented(Kind),
    /// An access token is about to be looked up by it.
    Digest(&'a TokenDigest),
    App(&'a Arc<App>),
    SecretEqual,
    SignatureEqual,
    Token(&'a Arc<AccessToken>),
    Installation(&'a Arc<Installation>),
    Store(&'a Arc<Store>),
    /// The caller is verified, and these scopes are in force.
    Scopes(&'a ScopeSet),
    /// The scope is granted.
    Scope(&'a str),
}

/// Somebody who follows a decision.
pub trait Trail {
    /// Called at each step, in order. A record that is named may still be refused.
    fn step(&mut self, step: Step<'_>);
}

/// Nobody listens.
impl Trail for () {
    fn step(&mut self, _: Step<'_>) {}
}

/// Which steps were taken, in one number. Their order is always that of [`Step`], but that a token comes
/// before its app.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Steps(u8);

impl Steps {
    const PREFLIGHT: u8 = 1;
    const SECRET: u8 = 1 << 1;
    const SIGNATURE: u8 = 1 << 2;
    const TOKEN: u8 = 1 << 3;
    const SCOPE: u8 = 1 << 4;

    /// Notes a step. Those that carry a record or a value need none: who keeps that, knows.
    pub fn note(&mut self, step: Step<'_>) {
        self.0 |= match step {
            Step::Preflight => Self::PREFLIGHT,
            Step::SecretEqual => Self::SECRET,
            Step::SignatureEqual => Self::SIGNATURE,
            Step::Token(_) => Self::TOKEN,
            Step::Scope(_) => Self::SCOPE,
            _ => 0,
        };
    }

    /// Whether it was a CORS preflight.
    pub fn was_preflight(self) -> bool {
        self.0 & Self::PREFLIGHT != 0
    }

    /// Whether a secret was equal.
    pub fn proved_secret(self) -> bool {
        self.0 & Self::SECRET != 0
    }

    /// Whether a signature was right.
    pub fn proved_signature(self) -> bool {
        self.0 & Self::SIGNATURE != 0
    }

    /// Whether an access token was known.
    pub fn found_token(self) -> bool {
        self.0 & Self::TOKEN != 0
    }

    /// Whether a scope was granted.
    pub fn granted_scope(self) -> bool {
        self.0 & Self::SCOPE != 0
    }
}

/// A step as it is told: a sentence, without the record itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // each is its sentence
pub enum Told {
    Route(String),
    Preflight,
    Presented(Kind),
    /// With the token's fingerprint in the access log, which only its key can tell.
    Digest(Option<String>),
    App(String, AppStatus),
    SecretEqual,
    SignatureEqual,
    Token,
    Installation(InstallationId),
    Store(StoreId, StoreStatus),
    Scopes(String),
    Scope(String),
    /// All that the route demands, where it is not remembered which.
    AllScopes,
}

impl From<Step<'_>> for Told {
    fn from(step: Step<'_>) -> Self {
        match step {
            Step::Route(_, route) => Self::Route(route.pattern.to_string()),
            Step::Preflight => Self::Preflight,
            Step::Presented(kind) => Self::Presented(kind),
            Step::Digest(_) => Self::Digest(None),
            Step::App(app) => Self::App(app.client_id.to_string(), app.status),
            Step::SecretEqual => Self::SecretEqual,
            Step::SignatureEqual => Self::SignatureEqual,
            Step::Token(_) => Self::Token,
            Step::Installation(found) => Self::Installation(found.installation_id),
            Step::Store(store) => Self::Store(store.store_id, store.status),
            Step::Scopes(scopes) => Self::Scopes(scopes.as_str().to_owned()),
            Step::Scope(scope) => Self::Scope(scope.to_owned()),
        }
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Route(pattern) => write!(f, "route {pattern}"),
            Self::Preflight => f.write_str("a CORS preflight carries no credentials"),
            Self::Presented(kind) => write!(f, "presented: {}", kind.name()),
            Self::Digest(Some(fingerprint)) => write!(f, "the token's fingerprint is {fingerprint}"),
            Self::Digest(None) => f.write_str("the token is looked up by its SHA-256"),
            Self::App(client_id, AppStatus::Enabled) => write!(f, "app {client_id} (enabled)"),
            Self::App(client_id, AppStatus::Disabled) => write!(f, "app {client_id} (disabled)"),
            Self::SecretEqual => f.write_str("the client secret is the app's"),
            Self::SignatureEqual => f.write_str("the signature is of the app's signing key"),
            Self::Token => f.write_str("the token is known"),
            Self::Installation(id) => write!(f, "installation {id}"),
            Self::Store(id, StoreStatus::Active) => write!(f, "store {id} (active)"),
            Self::Store(id, StoreStatus::Suspended) => write!(f, "store {id} (suspended)"),
            Self::Scopes(scopes) if scopes.is_empty() => f.write_str("no scopes are in force"),
            Self::Scopes(scopes) => write!(f, "scopes in force: {scopes}"),
            Self::Scope(scope) => write!(f, "scope {scope} is granted"),
            Self::AllScopes => f.write_str("every scope that the route demands is granted"),
        }
    }
}
