//! Every decision, through sockets: what the caller is told, and that the upstream hears nothing of a
//! refused request and nothing but verified identity with an accepted one.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod common;

#[path = "decisions/clients.rs"]
mod clients;
#[path = "decisions/contradictions.rs"]
mod contradictions;
#[path = "decisions/saturation.rs"]
mod saturation;
#[path = "decisions/sessions.rs"]
mod sessions;
#[path = "decisions/tokens.rs"]
mod tokens;

use common::world::{self, App, MAIN, MAIN_SCOPES};
use common::{Exchange, Gateway, Response, Settings};

/// One request and what becomes of it.
struct Case {
    what: String,
    line: String,
    lines: Vec<String>,
    expect: Expect,
}

#[derive(Clone, Copy)]
enum Expect {
    /// Status, code, message; an empty message is ours to choose.
    Refused(u16, &'static str, &'static str),
    /// 403 `insufficient_scope` with this `required_scope`.
    Scope(&'static str),
    /// 401 `credential_not_accepted`; the message names this kind.
    NotAccepted(&'static str),
    Accepted(As),
    /// Forwarded without identity.
    Anonymous,
}

/// The identity that the upstream must see.
#[derive(Clone, Copy)]
struct As {
    method: &'static str,
    app: &'static App,
    store: u64,
    installation: u64,
    scopes: &'static str,
}

const MISSING: Expect = Expect::Refused(
    401,
    "missing_token",
    "Access denied. Provide Bearer token or X-Client-Id + X-Client-Secret.",
);
const INVALID_TOKEN: Expect = Expect::Refused(401, "invalid_token", "Invalid or expired access token.");
const WRONG_ID: Expect = Expect::Refused(401, "invalid_client", "Invalid client_id.");
const WRONG_SECRET: Expect = Expect::Refused(401, "invalid_client", "Invalid client_secret.");
const NO_STORE: Expect = Expect::Refused(
    400,
    "missing_store_id",
    "X-Store-Id header (or store_id param) is required with client credentials.",
);
const BAD_STORE: Expect = Expect::Refused(400, "invalid_store_id", "");
const NOT_INSTALLED: Expect = Expect::Refused(401, "not_installed", "App is not installed for this store.");
const SUSPENDED: Expect = Expect::Refused(403, "store_suspended", "");
const MISMATCH: Expect = Expect::Refused(403, "store_mismatch", "");
const ADDRESS: Expect = Expect::Refused(403, "ip_not_allowed", "");
const BAD_REQUEST: Expect = Expect::Refused(400, "invalid_request", "");

/// [`MAIN`] in store 22.
fn main_as(method: &'static str) -> Expect {
    Expect::Accepted(As { method, app: &MAIN, store: 22, installation: 501, scopes: MAIN_SCOPES })
}

const ORDERS: &str = "GET /api/apps/v1/orders";

fn case(what: impl Into<String>, line: &str, lines: &[impl AsRef<str>], expect: Expect) -> Case {
    let lines = lines.iter().map(|line| line.as_ref().to_owned()).collect();
    Case { what: what.into(), line: line.to_owned(), lines, expect }
}

/// Lines that no caller may get through: owned names in every spelling, with values to search for.
const SPOOFS: [&str; 24] = [
    "X_Store_Id: spoofed",
    "X.Store.Id: spoofed",
    "x-store_id: spoofed",
    "X-Scopes: spoofed",
    "x_scopes: spoofed",
    "X.Scopes: spoofed",
    "X-Installation-Id: spoofed",
    "X_Installation.Id: spoofed",
    "x-auth-method: spoofed",
    "X-AUTH_METHOD: spoofed",
    "X-Subject: spoofed",
    "X.Subject: spoofed",
    "X_Client_Id: spoofed",
    "X.Client.Id: spoofed",
    "X_Client_Secret: spoofed",
    "x.client-secret: spoofed",
    "X-Session-Token: spoofed",
    "Forwarded: for=spoofed",
    "X-Real-IP: spoofed",
    "X-Forwarded-Host: spoofed",
    "X_Forwarded_For: spoofed",
    "X-Forwarded-Uri: spoofed",
    "X-Original-URL: /spoofed",
    "X-Rewrite-Url: /spoofed",
];

/// Sends every case twice, the second time with [`SPOOFS`], and checks all there is to see.
fn check(gateway: &Gateway, cases: &[Case]) {
    let mut accepted = 0;
    for case in cases {
        let spoofed = [case.lines.clone(), SPOOFS.map(str::to_owned).to_vec()].concat();
        for lines in [&case.lines, &spoofed] {
            let what = format!("{} ({} {lines:?})", case.what, case.line);
            let response = gateway.ask(&case.line, lines);
            let seen = gateway.upstream.take();
            match case.expect {
                Expect::Accepted(identity) => check_accepted(&what, &response, &seen, Some(identity)),
                Expect::Anonymous => check_accepted(&what, &response, &seen, None),
                Expect::Refused(status, code, message) => {
                    check_refused(&what, case, &response, status, code);
                    let said = response.json()["message"].as_str().unwrap_or_default().to_owned();
                    assert!(!said.is_empty() && (message.is_empty() || said == message), "{what}: {said}");
                }
                Expect::Scope(scope) => check_scope(&what, case, &response, scope),
                Expect::NotAccepted(kind) => {
                    check_refused(&what, case, &response, 401, "credential_not_accepted");
                    assert!(response.text().contains(kind), "{what}: {}", response.text());
                }
            }
            accepted += seen.len();
        }
    }
    assert_eq!(gateway.upstream.heads(), accepted, "a refused request arrived after its answer");
    let said = gateway.said();
    for secret in world::secrets() {
        assert!(!said.contains(secret), "a secret is in the log");
    }
    println!("{} cases, {} requests, {accepted} of them accepted", cases.len(), 2 * cases.len());
}

fn check_refused(what: &str, case: &Case, response: &Response, status: u16, code: &str) {
    let text = response.text();
    assert_eq!((response.status, response.code().as_str()), (status, code), "{what}: {text}");
    let body = response.json();
    let object = body.as_object().unwrap();
    let mut names: Vec<_> = object.keys().map(String::as_str).collect();
    names.retain(|name| *name != "required_scope");
    names.sort_unstable();
    assert_eq!(names, ["code", "message", "request_id", "status"], "{what}");
    assert_eq!(body["status"], status, "{what}");
    assert_eq!(object.contains_key("required_scope"), code == "insufficient_scope", "{what}");
    assert_eq!(response.field("content-type").as_deref(), Some("application/json"), "{what}");
    assert_eq!(response.field("cache-control").as_deref(), Some("no-store"), "{what}");
    let id = response.field("x-request-id").unwrap_or_default();
    assert!(!id.is_empty() && body["request_id"] == id.as_str(), "{what}: {id} {text}");
    let challenge = match code {
        "invalid_token" => Some("Bearer error=\"invalid_token\"".to_owned()),
        "insufficient_scope" => {
            let scope = body["required_scope"].as_str().unwrap_or_default();
            Some(format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\""))
        }
        _ => (status == 401).then(|| "Bearer".to_owned()),
    };
    assert_eq!(response.field("www-authenticate"), challenge, "{what}");
    for presented in presented(case) {
        let head = String::from_utf8_lossy(&response.head).into_owned();
        assert!(!text.contains(&presented) && !head.contains(&presented), "{what}: echoed {presented}");
    }
}

/// The credentials of a request, where they are long enough to be told from other words.
fn presented(case: &Case) -> Vec<String> {
    let of_lines = case.lines.iter().filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_credential = ["authorization", "x-client-id", "x-client-secret"]
            .iter()
            .any(|own| own.eq_ignore_ascii_case(name.trim()));
        is_credential.then(|| value.split_whitespace().last().unwrap_or_default().to_owned())
    });
    of_lines.filter(|value| value.len() >= 12).collect()
}

fn check_scope(what: &str, case: &Case, response: &Response, scope: &str) {
    check_refused(what, case, response, 403, "insufficient_scope");
    let body = response.json();
    assert_eq!(body["required_scope"], scope, "{what}");
    assert_eq!(body["message"], format!("Insufficient scope. Required: {scope}"), "{what}");
}

fn check_accepted(what: &str, response: &Response, seen: &[Exchange], identity: Option<As>) {
    assert_eq!(response.status, 200, "{what}: {}", response.text());
    let [exchange] = seen else { panic!("{what}: {seen:?}") };
    let expected = identity.map_or_else(Vec::new, |identity| {
        let As { method, app, store, installation, scopes } = identity;
        [
            ("x-auth-method", method.to_owned()),
            ("x-client-id", app.client_id.to_owned()),
            ("x-installation-id", installation.to_string()),
            ("x-scopes", scopes.to_owned()),
            ("x-store-id", store.to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    });
    let mut found: Vec<_> = exchange
        .fields()
        .into_iter()
        .map(|(name, value)| (name.to_lowercase().replace(['_', '.'], "-"), value))
        .filter(|(name, _)| OWNED.contains(&name.as_str()))
        .collect();
    found.sort();
    assert_eq!(found, expected, "{what}");
    let bytes = String::from_utf8_lossy(&exchange.head).into_owned();
    assert!(!bytes.contains("spoofed"), "{what}: {bytes}");
    for secret in world::secrets() {
        assert!(!bytes.contains(secret), "{what}: {bytes}");
    }
    assert_eq!(exchange.field("x-request-id"), response.field("x-request-id"), "{what}");
    assert!(exchange.field("x-request-id").is_some(), "{what}");
}

/// Names that only the gateway may write towards the upstream, and those it may never pass.
const OWNED: [&str; 9] = [
    "x-store-id",
    "x-scopes",
    "x-client-id",
    "x-installation-id",
    "x-auth-method",
    "x-subject",
    "x-client-secret",
    "x-session-token",
    "authorization",
];

#[test]
fn client_credentials() {
    check(&Gateway::start(&Settings::default()), &clients::cases());
}

#[test]
fn opaque_tokens() {
    check(&Gateway::start(&Settings::default()), &tokens::cases());
}

#[test]
fn session_tokens() {
    check(&Gateway::start(&Settings::default()), &sessions::cases());
}

#[test]
fn contradictions_and_routes() {
    check(&Gateway::start(&Settings::default()), &contradictions::cases());
}

#[test]
fn address_lists_bind_client_credentials_and_opaque_tokens() {
    let gateway = Gateway::start(&Settings::default());
    gateway.place.ok(&["app", "allow-ip", world::BOUND.client_id, "192.0.2.0/24", "2001:db8::/32"]);
    check(&gateway, &clients::elsewhere());
}
