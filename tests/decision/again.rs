//! Decisions taken again on what is remembered of them: under the same configuration they are the same,
//! for every request of these tests; under another one they are what that would have decided.

use http::{HeaderValue, Method};
use storegate::gate::{
    Again, Basis, Decision, Gate, Kind, PathCase, Reason, Remembered, Step, Steps, Trail, credential,
};
use storegate::model::ScopeSet;

use crate::request::{Request, good_pair, orders, send, session};
use crate::stage::{Auth, ROUTES, RouteSpec, Stage};
use crate::world::{APP, Platform, READER, Records, TOKEN};

/// What the gateway remembers.
#[derive(Default)]
pub(crate) struct Memory {
    kind: Option<Kind>,
    scopes: Option<HeaderValue>,
    steps: Steps,
}

impl Trail for Memory {
    fn step(&mut self, step: Step<'_>) {
        self.steps.note(step);
        match step {
            Step::Presented(kind) => self.kind = Some(kind),
            Step::Scopes(scopes) => self.scopes = Some(scopes.header().clone()),
            _ => {}
        }
    }
}

impl Memory {
    fn again(&self, gate: &Gate, request: &Request, path: &str, reason: Option<&Reason>) -> String {
        let scopes = self.scopes.as_ref().map(|scopes| ScopeSet::parse(scopes.to_str().unwrap()).unwrap());
        let shows = self.kind.is_some() || credential::is_shown(&request.headers);
        let preflight = credential::preflight(&request.method, &request.headers);
        let basis = Basis {
            method: &request.method,
            preflight: preflight.as_ref(),
            path,
            credential: Remembered::of(self.kind, scopes.as_ref(), reason, shows),
        };
        match gate.decide_again(&basis) {
            Again::Forward(route) => format!("to {}", route.pattern),
            Again::Refuse(reason) => format!("{reason:?}"),
            Again::Unknown => "unknown".to_owned(),
        }
    }

    /// Under the same configuration the decision is the same.
    pub(crate) fn agrees(&self, gate: &Gate, request: &Request, path: &str, decision: &Decision<'_>) {
        let (expected, reason) = match decision {
            Decision::Forward(route, _) => (format!("to {}", route.pattern), None),
            Decision::Refuse(reason) => (format!("{reason:?}"), Some(reason)),
            Decision::Prove(_) => panic!("nothing is decided yet"),
        };
        assert_eq!(self.again(gate, request, path, reason), expected, "{request:?}");
    }
}

/// What `other` would have decided on a request that the usual routes decided.
fn under(other: &Stage, request: &Request) -> String {
    let (records, gate) = (Records::new(&Platform::usual()), &crate::stage::usual().gate);
    let raw = storegate::gate::RawHead {
        method: &request.method,
        target: &request.target,
        authority: None,
        headers: &request.headers,
        peer: request.peer,
    };
    let head = gate.admit(&raw).unwrap_or_else(|reason| panic!("{reason}"));
    let mut memory = Memory::default();
    let decision = gate.decide(&head, &records, storegate::model::Timestamp(request.now), &mut memory);
    let reason = match &decision {
        Decision::Refuse(reason) => Some(reason),
        _ => None,
    };
    memory.again(&other.gate, request, head.target.path(), reason)
}

#[test]
fn under_another_configuration() {
    let one = |route: RouteSpec| {
        let rest = ROUTES.iter().filter(|other| other.0 != route.0).copied();
        let routes: Vec<RouteSpec> = rest.chain([route]).collect();
        Stage::with_routes(&routes, PathCase::Insensitive, |_| {})
    };
    let without = |path: &str| {
        let routes: Vec<RouteSpec> = ROUTES.iter().filter(|route| route.0 != path).copied().collect();
        Stage::with_routes(&routes, PathCase::Insensitive, |_| {})
    };
    const API: &str = "/api/apps/v1/{resource}/{*rest}";
    const PUBLIC: &str = "/public/{*rest}";
    let takes = |kinds| one((API, &[], Auth::Kinds(kinds, "read:{resource}", "write:{resource}")));
    let token = || orders().bearer(TOKEN);
    let public = || send("GET", "/public/x");
    let rows: [(&str, Stage, Request, &str); 19] = [
        ("the route goes", without(API), token(), "NoRoute"),
        ("a route that another request takes goes", without(PUBLIC), token(), "to /api/"),
        (
            "it wants another scope",
            one((API, &[], Auth::Kinds(&Kind::ALL, "a:b", "c"))),
            token(),
            "Scope(\"a:b\")",
        ),
        (
            "it wants none",
            one((API, &[], Auth::Kinds(&Kind::ALL, "", ""))),
            orders().bearer(READER),
            "to /api/",
        ),
        (
            "a scope that was missing is wanted no more",
            one((API, &[], Auth::Kinds(&Kind::ALL, "", ""))),
            send("POST", "/api/apps/v1/orders").bearer(READER),
            "to /api/",
        ),
        ("it takes sessions only", takes(&[Kind::Session]), token(), "KindNotAccepted"),
        ("as before, for a session", takes(&[Kind::Session]), orders().bearer(&session(22, 501)), "to /api/"),
        ("it takes sessions only", takes(&[Kind::Session]), good_pair().store("22"), "KindNotAccepted"),
        (
            "it takes tokens only, this one is unknown",
            takes(&[Kind::Bearer]),
            orders().bearer("sx_at_no"),
            "UnknownToken",
        ),
        (
            "it takes sessions only, this one is unknown",
            takes(&[Kind::Session]),
            orders().bearer("sx_at_no"),
            "KindNotAccepted",
        ),
        ("other methods", one((API, &["PUT"], Auth::Public)), token(), "MethodNotListed"),
        ("it becomes public", one((API, &[], Auth::Public)), orders(), "to /api/"),
        ("for a wrong secret too", one((API, &[], Auth::Public)), orders().client(APP, "wrong"), "to /api/"),
        (
            "a public one is closed",
            one((PUBLIC, &[], Auth::Kinds(&Kind::ALL, "", ""))),
            public(),
            "MissingCredential",
        ),
        (
            "to one who showed something",
            one((PUBLIC, &[], Auth::Kinds(&Kind::ALL, "", ""))),
            public().bearer(TOKEN),
            "unknown",
        ),
        (
            "to one who showed a token in a header of its own",
            one((PUBLIC, &[], Auth::Kinds(&Kind::ALL, "", ""))),
            public().line("x-shopify-access-token", TOKEN),
            "unknown",
        ),
        (
            "to a preflight",
            one((PUBLIC, &[], Auth::Kinds(&Kind::ALL, "", ""))),
            send("OPTIONS", "/public/x").preflight(),
            "to /public",
        ),
        (
            "a kind that was not taken is",
            one(("/api/apps/v1/embedded", &[], Auth::Kinds(&Kind::ALL, "", ""))),
            send("GET", "/api/apps/v1/embedded").bearer(TOKEN),
            "unknown",
        ),
        (
            "a path that was not known is",
            one(("/new", &[], Auth::Kinds(&Kind::ALL, "", ""))),
            send("GET", "/new").bearer(TOKEN),
            "unknown",
        ),
    ];
    for (sentence, other, request, expected) in rows {
        let is = under(&other, &request);
        assert!(is.starts_with(expected), "{sentence}: {is}");
    }
    let sensitive = Stage::with_routes(ROUTES, PathCase::Sensitive, |_| {});
    assert_eq!(under(&sensitive, &send("GET", "/API/apps/v1/orders").bearer(TOKEN)), "NoRoute");
    assert!(under(&sensitive, &send(Method::GET.as_str(), "/public/X")).starts_with("to /public"));
}
