//! A decision taken again without the credential, on what is remembered of the first time: what another
//! configuration would have said. The records and the clock are not asked again, so that what differs
//! is the configuration's doing.

use http::Method;

use super::Gate;
use super::authorise;
use super::kind::Kind;
use super::refusal::Reason;
use super::route::{Access, Found, Route};
use crate::model::ScopeSet;

/// What a decision rested on.
#[derive(Debug, Clone, Copy)]
pub struct Basis<'b> {
    /// The request's method.
    pub method: &'b Method,
    /// The method that a CORS preflight asked for.
    pub preflight: Option<&'b Method>,
    /// The path in normal form.
    pub path: &'b str,
    /// What came of the credential.
    pub credential: Remembered<'b>,
}

/// What came of a credential.
#[derive(Debug, Clone, Copy)]
pub enum Remembered<'b> {
    /// There was none.
    Absent,
    /// There may be one: nobody looked.
    Unread,
    /// It was verified: its kind, and the scopes in force.
    Verified(Kind, &'b ScopeSet),
    /// It was refused; the kind, where it was known by then.
    Refused(Option<Kind>, &'b Reason),
}

impl<'b> Remembered<'b> {
    /// From what is known of a decision: the kind that was read, the scopes of a caller who was verified, why
    /// the request was refused, and whether it had any header that holds a credential.
    pub fn of(
        kind: Option<Kind>,
        scopes: Option<&'b ScopeSet>,
        reason: Option<&'b Reason>,
        shows: bool,
    ) -> Self {
        match (kind, scopes, reason) {
            (Some(kind), Some(scopes), _) => Self::Verified(kind, scopes),
            (_, _, Some(reason)) if reason.is_of_credential() => Self::Refused(kind, reason),
            _ if shows => Self::Unread,
            _ => Self::Absent,
        }
    }
}

/// What the decision would be.
#[derive(Debug)]
pub enum Again<'g> {
    /// To the route's upstream; whether with an identity.
    Forward(&'g Route),
    /// Refused.
    Refuse(Reason),
    /// It depends on what is not remembered.
    Unknown,
}

impl Gate {
    /// Decides again.
    pub fn decide_again(&self, basis: &Basis<'_>) -> Again<'_> {
        let path = self.settings.routes.fold(basis.path);
        let method = basis.preflight.unwrap_or(basis.method);
        if self.settings.routes.misleads(method, &path) {
            return Again::Refuse(Reason::MisleadingPath);
        }
        let (route, captures) = match self.settings.routes.find(method, &path) {
            Found::Route(_, route, captures) => (route, captures),
            Found::MethodNotAllowed(allow) => return Again::Refuse(Reason::MethodNotListed(allow.clone())),
            Found::Nothing => return Again::Refuse(Reason::NoRoute),
        };
        let (kinds, rules) = match &route.access {
            Access::Public | Access::Upstream => return Again::Forward(route),
            Access::Credentials(..) if basis.preflight.is_some() => return Again::Forward(route),
            Access::Credentials(kinds, rules) => (*kinds, rules),
        };
        match basis.credential {
            Remembered::Absent => Again::Refuse(Reason::MissingCredential),
            Remembered::Unread => Again::Unknown,
            Remembered::Verified(kind, _) | Remembered::Refused(Some(kind), _) if !kinds.contains(kind) => {
                Again::Refuse(Reason::KindNotAccepted(kinds))
            }
            Remembered::Verified(_, scopes) => {
                match authorise::check(scopes, rules, route.platform, basis.method, &captures, &mut ()) {
                    Ok(()) => Again::Forward(route),
                    Err(reason) => Again::Refuse(reason),
                }
            }
            // Which kind it was, and whether it was good, was not asked then.
            Remembered::Refused(_, Reason::KindNotAccepted(before)) if *before != kinds => Again::Unknown,
            Remembered::Refused(_, reason) => Again::Refuse(reason.clone()),
        }
    }
}
