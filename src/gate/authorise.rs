//! From a verified caller to a permit for one request, by the route's scopes.

use std::sync::Arc;

use http::{HeaderValue, Method};

use super::dialect;
use super::kind::Kind;
use super::refusal::Reason;
use super::route::Captures;
use super::scope_rule::{ScopeRules, ScopeText};
use super::tenure::Tenure;
use super::trail::{Step, Trail};
use super::verify::Verified;
use crate::model::{App, Installation, Platform, ScopeSet, Store};

/// The right to forward one request in a caller's name. Forwarding demands it, and only
/// this module makes one.
#[derive(Debug)]
pub struct Permit(Verified);

impl Permit {
    /// How the caller proved who it is.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The calling app.
    pub fn app(&self) -> &Arc<App> {
        &self.0.app
    }

    /// Its installation in the store.
    pub fn installation(&self) -> &Arc<Installation> {
        &self.0.installation
    }

    /// The store that the request acts on.
    pub fn store(&self) -> &Arc<Store> {
        &self.0.store
    }

    /// The scopes in force, separated by blanks.
    pub fn scopes(&self) -> &HeaderValue {
        self.0.scopes().header()
    }

    /// The person in whose name the app acts, where there is one.
    pub fn subject(&self) -> Option<&HeaderValue> {
        self.0.subject.as_ref()
    }

    /// What to ask, later on, whether the permit would still be given.
    pub fn tenure(&self) -> Tenure {
        Tenure::new(&self.0)
    }
}

pub(super) fn authorise(
    verified: Verified,
    rules: &ScopeRules,
    platform: Platform,
    method: &Method,
    captures: &Captures<'_>,
    trail: &mut impl Trail,
) -> Result<Permit, Reason> {
    trail.step(Step::Scopes(verified.scopes()));
    check(verified.scopes(), rules, platform, method, captures, trail).map(|()| Permit(verified))
}

/// Whether the scopes in force are enough.
pub(super) fn check(
    scopes: &ScopeSet,
    rules: &ScopeRules,
    platform: Platform,
    method: &Method,
    captures: &Captures<'_>,
    trail: &mut impl Trail,
) -> Result<(), Reason> {
    let required = rules.for_method(method);
    let mut text = ScopeText::new();
    for template in required {
        template.render(captures, &mut text);
        dialect::spell(platform, &mut text);
        match std::str::from_utf8(&text) {
            Ok(scope) if dialect::grants(platform, scopes, scope) => trail.step(Step::Scope(scope)),
            _ => return Err(missing(rules, platform, method, captures)),
        }
    }
    Ok(())
}

/// All scopes that the route demands, as RFC 6750 section 3 wants them in the challenge.
fn missing(rules: &ScopeRules, platform: Platform, method: &Method, captures: &Captures<'_>) -> Reason {
    let mut all = String::new();
    let mut text = ScopeText::new();
    for template in rules.for_method(method) {
        template.render(captures, &mut text);
        dialect::spell(platform, &mut text);
        if !all.is_empty() {
            all.push(' ');
        }
        all.push_str(&String::from_utf8_lossy(&text));
    }
    Reason::Scope(all.into())
}
