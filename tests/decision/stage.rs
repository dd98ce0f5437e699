//! The one place that touches the API: a request is admitted and decided; where bcrypt is needed, the
//! secret is proved and the decision is taken anew, as the proxy does.

use std::sync::LazyLock;

use storegate::gate::{
    Access, Challenge, Decision, Gate, GateSettings, HeadLimits, InjectNames, Kind, Kinds, Pass, PathCase,
    RawHead, Reason, Route, RouteTable, ScopeRules, ScopeTemplate, captures,
};
use storegate::hasher::{Hasher, Verdict};
use storegate::model::{AddressList, ProofKey, Timestamp};

use crate::again::Memory;
use crate::request::Request;
use crate::world::{Platform, Records};

pub(crate) const REQUEST_ID: &str = "request-0001";

/// A route of a table: path, methods (empty: all), access.
pub(crate) type RouteSpec = (&'static str, &'static [&'static str], Auth);

/// What a route asks for: scopes for reading and for writing, separated by blanks.
#[derive(Clone, Copy)]
pub(crate) enum Auth {
    Public,
    Upstream,
    Kinds(&'static [Kind], &'static str, &'static str),
}

use Auth::Kinds as Takes;

pub(crate) const ROUTES: &[RouteSpec] = &[
    ("/api/apps/v1/{resource}/{*rest}", &[], Takes(&Kind::ALL, "read:{resource}", "write:{resource}")),
    (
        "/api/apps/v1/bulk",
        &[],
        Takes(&Kind::ALL, "read:orders read:customers", "write:orders write:customers"),
    ),
    ("/api/apps/v1/billing/{*rest}", &[], Takes(&Kind::ALL, "billing", "billing")),
    ("/api/apps/v1/whoami", &["GET"], Takes(&Kind::ALL, "", "")),
    ("/api/apps/v1/embedded", &[], Takes(&[Kind::Session], "", "")),
    ("/api/apps/v1/servers", &[], Takes(&[Kind::Bearer, Kind::ClientCredentials], "", "")),
    ("/api/apps/v1/tokens", &[], Takes(&[Kind::Bearer, Kind::Session], "", "")),
    ("/public/{*rest}", &[], Auth::Public),
    ("/dashboard/{*rest}", &[], Auth::Upstream),
];

/// The engine.
pub(crate) struct Stage {
    pub(crate) gate: Gate,
}

impl Stage {
    pub(crate) fn new(change: impl FnOnce(&mut GateSettings)) -> Self {
        Self::with_routes(ROUTES, PathCase::Insensitive, change)
    }

    pub(crate) fn with_routes(
        routes: &[RouteSpec],
        case: PathCase,
        change: impl FnOnce(&mut GateSettings),
    ) -> Self {
        let mut settings = GateSettings {
            routes: RouteTable::build(routes.iter().map(route).collect(), case).unwrap(),
            inject: InjectNames::default(),
            access_token_prefix: "sx_at_".into(),
            trusted_proxies: AddressList::default(),
            limits: HeadLimits { bytes: 16_384, fields: 64 },
            customer_scopes: Default::default(),
            proof_key: ProofKey::random().unwrap(),
        };
        change(&mut settings);
        Self { gate: Gate::new(settings) }
    }

    /// What becomes of `request`, with the invariants of every outcome checked.
    pub(crate) fn judge(&self, records: &Records, request: &Request) -> Outcome {
        let raw = RawHead {
            method: &request.method,
            target: &request.target,
            authority: request.authority.as_deref(),
            headers: &request.headers,
            peer: request.peer,
        };
        let now = Timestamp(request.now);
        let head = match self.gate.admit(&raw) {
            Ok(head) => head,
            Err(reason) => return refused(reason, request),
        };
        for _ in 0..2 {
            let mut memory = Memory::default();
            let decision = self.gate.decide(&head, records, now, &mut memory);
            if !matches!(decision, Decision::Prove(_)) {
                memory.agrees(&self.gate, request, head.target.path(), &decision);
            }
            no_secret_in(&format!("{decision:?} {:?}", head.target), request);
            match decision {
                Decision::Refuse(reason) => return refused(reason, request),
                Decision::Forward(route, pass) => {
                    return self.forwarded(request, &head.target.path_and_query(), route, &pass);
                }
                Decision::Prove(challenge) => match self.prove(challenge, now) {
                    Verdict::Proved => {}
                    Verdict::Wrong => return refused(Reason::WrongSecret, request),
                    Verdict::Saturated => return refused(Reason::Saturated, request),
                },
            }
        }
        panic!("a proved secret must decide: {request:?}");
    }

    /// Workers of its own for each proof: tests run side by side on records of their own, and one
    /// hasher answers equal questions about a client once.
    fn prove(&self, challenge: Challenge, now: Timestamp) -> Verdict {
        let hasher = Hasher::start(1, 1, self.gate.settings().proof_key.clone()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(hasher.prove(challenge.app, challenge.secret, now))
    }

    fn forwarded(&self, request: &Request, target: &str, route: &Route, pass: &Pass) -> Outcome {
        let trusted = self.gate.settings().trusted_proxies.contains(request.peer);
        let stripped = self.gate.strip(&request.headers, pass, trusted);
        let set = self.gate.identity(pass);
        let summary = match pass {
            Pass::Anonymous => "anonymous".into(),
            Pass::Upstream => "upstream".into(),
            Pass::Permitted(permit) => format!(
                "{} {} in store {} as {} [{}]",
                permit.kind().method_header().to_str().unwrap(),
                permit.app().client_id,
                permit.store().store_id,
                permit.installation().installation_id,
                permit.scopes().to_str().unwrap(),
            ),
        };
        Outcome {
            summary,
            route: Some(route.pattern.clone()),
            target: target.into(),
            stripped: stripped.iter().map(|name| name.as_str().into()).collect(),
            set: set
                .iter()
                .map(|(name, value)| (name.as_str().into(), value.to_str().unwrap().into()))
                .collect(),
            ..Outcome::default()
        }
    }
}

/// Decides on the usual routes.
pub(crate) fn judge(platform: &Platform, request: &Request) -> Outcome {
    usual().judge(&Records::new(platform), request)
}

pub(crate) fn usual() -> &'static Stage {
    static USUAL: LazyLock<Stage> = LazyLock::new(|| Stage::new(|_| {}));
    &USUAL
}

/// What came of a request.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// One line: `<method> <client> in store <n> as <installation> [<scopes>]`, `anonymous`,
    /// `upstream`, or `<status> <code>`, for two codes with what the contract tells apart.
    pub(crate) summary: String,
    pub(crate) route: Option<Box<str>>,
    /// Path and query as forwarded.
    pub(crate) target: String,
    pub(crate) set: Vec<(String, String)>,
    pub(crate) stripped: Vec<String>,
    pub(crate) allow: Option<String>,
    pub(crate) message: String,
}

fn refused(reason: Reason, request: &Request) -> Outcome {
    let body: serde_json::Value = serde_json::from_slice(&reason.body(REQUEST_ID)).unwrap();
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    let (code, message) = (text("code"), text("message"));
    let status = reason.code().status().as_u16();
    let challenge = reason.challenge().map(|value| value.to_str().unwrap().to_owned());
    let context = format!("{request:?}: {body} {challenge:?}");

    let mut members = vec!["code", "message", "request_id", "status"];
    if code == "insufficient_scope" {
        members.insert(3, "required_scope");
    }
    assert_eq!(body.as_object().unwrap().keys().collect::<Vec<_>>(), members, "{context}");
    assert_eq!(body["status"], status, "{context}");
    assert_eq!(body["request_id"], REQUEST_ID, "{context}");
    let wanted = match (status, &*code) {
        (401, "invalid_token") => Some("Bearer error=\"invalid_token\"".to_owned()),
        (401, _) => Some("Bearer".to_owned()),
        (403, "insufficient_scope") => {
            Some(format!("Bearer error=\"insufficient_scope\", scope=\"{}\"", text("required_scope")))
        }
        _ => None,
    };
    assert_eq!(challenge, wanted, "{context}");
    assert_eq!(reason.retry_after().is_some(), [429, 503].contains(&status), "{context}");
    let fixed = match &*code {
        "missing_token" => "Access denied. Provide Bearer token or X-Client-Id + X-Client-Secret.".into(),
        "invalid_token" => "Invalid or expired access token.".into(),
        "missing_store_id" => {
            "X-Store-Id header (or store_id param) is required with client credentials.".into()
        }
        "not_installed" => "App is not installed for this store.".into(),
        "insufficient_scope" => format!("Insufficient scope. Required: {}", text("required_scope")),
        _ => message.clone(),
    };
    assert_eq!(message, fixed, "{context}");
    let detail = match (&*code, &*message) {
        ("invalid_client", "Invalid client_id.") => " (id)".into(),
        ("invalid_client", "Invalid client_secret.") => " (secret)".into(),
        ("invalid_client", _) => panic!("{context}"),
        ("insufficient_scope", _) => format!(" ({})", text("required_scope")),
        _ => String::new(),
    };
    no_secret_in(&format!("{body} {challenge:?} {reason:?} {reason}"), request);
    let allow = match &reason {
        Reason::MethodNotListed(_, allow) => Some(allow.to_str().unwrap().to_owned()),
        _ => None,
    };
    Outcome { summary: format!("{status} {code}{detail}"), allow, message, ..Outcome::default() }
}

fn no_secret_in(text: &str, request: &Request) {
    for secret in request.secrets() {
        assert!(!text.contains(secret), "{secret} is shown: {text}");
    }
}

fn route((path, methods, auth): &RouteSpec) -> Route {
    let names = captures(path).unwrap();
    let scopes = |text: &str| -> Box<[ScopeTemplate]> {
        text.split_whitespace().map(|scope| ScopeTemplate::parse(scope, &names).unwrap()).collect()
    };
    Route {
        pattern: (*path).into(),
        methods: (!methods.is_empty())
            .then(|| methods.iter().map(|method| method.parse().unwrap()).collect()),
        access: match auth {
            Auth::Public => Access::Public,
            Auth::Upstream => Access::Upstream,
            Auth::Kinds(kinds, read, write) => {
                let kinds: Kinds = kinds.iter().copied().collect();
                Access::Credentials(kinds, ScopeRules { read: scopes(read), write: scopes(write) })
            }
        },
        platform: Default::default(),
        upstream: 0,
    }
}

/// Rows of a sentence, a request and its summary, on the usual platform.
pub(crate) fn check(rows: impl IntoIterator<Item = (&'static str, Request, &'static str)>) {
    let platform = Platform::usual();
    for (sentence, request, expected) in rows {
        assert_eq!(judge(&platform, &request).summary, expected, "{sentence}");
    }
}

/// Rows that first change the platform.
pub(crate) fn check_changed(
    rows: impl IntoIterator<Item = (&'static str, fn(&mut Platform), Request, &'static str)>,
) {
    for (sentence, change, request, expected) in rows {
        let mut platform = Platform::usual();
        change(&mut platform);
        assert_eq!(judge(&platform, &request).summary, expected, "{sentence}");
    }
}
