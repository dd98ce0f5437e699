//! Contradictory credentials, routes, and what is forwarded without a credential.

use crate::common::Session;
use crate::common::world::{MAIN, OTHER, TOKEN, TOKEN_EXPIRED, TOKEN_UNKNOWN, bearer, client, pair};
use crate::{BAD_REQUEST, Case, Expect, INVALID_TOKEN, MISSING, ORDERS, case, main_as};

pub(crate) fn cases() -> Vec<Case> {
    [contradictions(), nominations(), routes(), paths(), anonymous(), switches()]
        .into_iter()
        .flatten()
        .collect()
}

const NOT_FOUND: Expect = Expect::Refused(404, "not_found", "");
const NOT_ALLOWED: Expect = Expect::Refused(405, "method_not_allowed", "");

fn with(lines: &[Vec<String>], more: &[&str]) -> Vec<String> {
    let more = more.iter().map(|line| (*line).to_owned()).collect();
    [lines.concat(), more].concat()
}

fn contradictions() -> Vec<Case> {
    let id = format!("X-Client-Id: {}", MAIN.client_id);
    let secret = format!("X-Client-Secret: {}", MAIN.secret);
    let session = Session::of(&MAIN, 22, 501).token();
    let rows = [
        ("a token and a pair", with(&[bearer(TOKEN), client(&MAIN, "22")], &[])),
        ("of other stores", with(&[bearer(TOKEN), client(&OTHER, "23")], &[])),
        ("a session token and a pair", with(&[bearer(&session), client(&MAIN, "22")], &[])),
        ("a token and an id", with(&[bearer(TOKEN)], &[&id])),
        ("a token and a secret", with(&[bearer(TOKEN)], &[&secret])),
        ("an unknown token and a pair", with(&[bearer(TOKEN_UNKNOWN), client(&MAIN, "22")], &[])),
        ("a token and a wrong pair", with(&[bearer(TOKEN), pair("x", "y")], &[])),
        ("a token and the id twice", with(&[bearer(TOKEN)], &[&id, &id])),
        ("no token and a pair", with(&[client(&MAIN, "22")], &["Authorization: Bearer"])),
        ("blanks as token and a pair", with(&[client(&MAIN, "22")], &["Authorization: Bearer   "])),
        ("a malformed token and a pair", with(&[client(&MAIN, "22")], &["Authorization: Bearer x"])),
        ("Authorization twice", with(&[bearer(TOKEN), bearer(TOKEN)], &[])),
        ("two tokens", with(&[bearer(TOKEN), bearer(TOKEN_EXPIRED)], &[])),
        ("Basic and Bearer", with(&[bearer(TOKEN)], &["Authorization: Basic eDp5"])),
        ("Basic twice beside a pair", with(&[client(&MAIN, "22")], &["Authorization: Basic eDp5"; 2])),
        ("once empty", with(&[bearer(TOKEN)], &["Authorization:"])),
        ("twice empty", with(&[], &["Authorization:", "Authorization:"])),
    ];
    rows.iter().map(|(what, lines)| case(*what, ORDERS, lines, BAD_REQUEST)).collect()
}

/// No header switches authentication off, whoever the caller says it is.
fn switches() -> Vec<Case> {
    let names = [
        "User-Agent: kube-probe/1.31",
        "User-Agent: ELB-HealthChecker/2.0",
        "User-Agent: GoogleHC/1.0",
        "User-Agent: Prometheus/3.0",
        "User-Agent: storegate",
        "User-Agent: internal",
        "X-Health-Check: 1",
        "X-Internal: true",
        "X-Internal-Request: true",
        "X-Skip-Auth: true",
        "X-Auth-Bypass: 1",
        "X-Debug: 1",
        "X-Admin: true",
        "X-Authenticated: true",
        "X-Permitted: true",
        "X-Envoy-Internal: true",
        "X-Envoy-Original-Path: /public/a",
        "X-Original-URL: /public/a",
        "X-Rewrite-URL: /public/a",
        "X-Forwarded-Uri: /public/a",
        "X-Forwarded-For: 127.0.0.1",
        "X-HTTP-Method-Override: OPTIONS",
        "X-Client-Cert-Subject: CN=app",
        "Referer: http://127.0.0.1/public/a",
        "Cookie: session=admin",
    ];
    names.iter().map(|line| case(*line, ORDERS, &with(&[], &[line]), MISSING)).collect()
}

fn nominations() -> Vec<Case> {
    let names = [
        "Authorization",
        "X-Client-Id",
        "x-client-secret",
        "X-Store-Id",
        "X-Scopes",
        "X_Scopes",
        "X.Auth.Method",
        "X-Installation-Id",
        "X-Subject",
        "X-Request-Id",
        "X-Forwarded-For",
        "keep-alive, X-Store-Id",
        "close,,x-scopes ,",
        "X-Session-Token",
    ];
    let mut cases = Vec::new();
    for name in names {
        let line = format!("Connection: {name}");
        cases.push(case("a nomination", ORDERS, &with(&[bearer(TOKEN)], &[&line]), BAD_REQUEST));
        cases.push(case("without a credential", ORDERS, &[&line], BAD_REQUEST));
        cases.push(case("on a public route", "GET /public/x", &[&line], BAD_REQUEST));
        cases.push(case("on another upstream's", "GET /native/x", &[&line], BAD_REQUEST));
    }
    let two = ["Connection: keep-alive", "Connection: X-Scopes"];
    cases.push(case("on the second line", ORDERS, &with(&[bearer(TOKEN)], &two), BAD_REQUEST));
    cases
}

fn routes() -> Vec<Case> {
    let mut cases = vec![
        case(
            "the kind is not taken",
            "GET /servers/x",
            &bearer(TOKEN),
            Expect::NotAccepted("client_credentials"),
        ),
        case(
            "nor a session token",
            "GET /servers/x",
            &bearer(&Session::of(&MAIN, 22, 501).token()),
            Expect::NotAccepted("client_credentials"),
        ),
        case("nor a pair", "GET /tokens", &client(&MAIN, "22"), Expect::NotAccepted("bearer")),
        case("nor a wrong pair", "GET /tokens", &pair("sx_app_9", "x"), Expect::NotAccepted("session")),
        case("a malformed token is one", "GET /servers/x", &bearer("x"), INVALID_TOKEN),
        case("nothing is nothing", "GET /servers/x", &[""; 0], MISSING),
        case("a pair is taken", "GET /servers/x", &client(&MAIN, "22"), main_as("client_credentials")),
        case("a method that is not listed", "DELETE /reports", &[""; 0], NOT_ALLOWED),
        case("nor with a token", "PUT /reports", &bearer(TOKEN), NOT_ALLOWED),
        case("another method", "FOO /reports", &[""; 0], NOT_ALLOWED),
    ];
    let unknown = [
        "/",
        "/api",
        "/api/apps",
        "/api/apps/v1",
        "/api/apps/v1/",
        "/api/apps/v2/orders",
        "/apiapps/v1/orders",
        "/unknown",
        "/both/more",
        "/admin/v1/apps",
        "/healthz",
        "/metrics",
        "//api/apps/v1/orders",
    ];
    for path in unknown {
        let line = format!("GET {path}");
        cases.push(case("no route", &line, &[""; 0], NOT_FOUND));
        cases.push(case("no route, with a token", &line, &bearer(TOKEN), NOT_FOUND));
        cases.push(case(
            "no route, contradictory",
            &line,
            &with(&[bearer(TOKEN), bearer(TOKEN)], &[]),
            NOT_FOUND,
        ));
    }
    cases
}

fn paths() -> Vec<Case> {
    let bad = [
        "/api/apps/v1/orders%2f5",
        "/api/apps/v1/orders%2F5",
        "/api/apps/v1/orders%5c5",
        "/api/apps/v1/orders\\5",
        "/api/apps/v1/orders%00",
        "/api/apps/v1/orders%0a",
        "/api/apps/v1/orders%7F",
        "/api/apps/v1/orders%",
        "/api/apps/v1/orders%2",
        "/api/apps/v1/orders%zz",
        "/api/apps/v1/örders",
        "/..",
        "/../api/apps/v1/orders",
        "/api/../../api/apps/v1/orders",
        "/%2e%2e/api/apps/v1/orders",
        "/api/apps/v1/orders/../../../../../x",
        "*",
        "api/apps/v1/orders",
        "ftp://api.example.test/api/apps/v1/orders",
    ];
    let mut cases = Vec::new();
    for path in bad {
        cases.push(case("a path without a normal form", &format!("GET {path}"), &bearer(TOKEN), BAD_REQUEST));
    }
    cases.push(case("OPTIONS *", "OPTIONS *", &[""; 0], BAD_REQUEST));
    for path in
        ["/public/../api/apps/v1/orders", "/public/%2e%2e/api/apps/v1/orders", "/./api/apps/v1/./orders"]
    {
        cases.push(case("the route of the normal form", &format!("GET {path}"), &[""; 0], MISSING));
        cases.push(case("the same", &format!("GET {path}"), &bearer(TOKEN), main_as("oauth")));
    }
    cases
}

fn anonymous() -> Vec<Case> {
    let preflight = ["Origin: https://shop.example.test", "Access-Control-Request-Method: POST"];
    let twice = with(&[bearer(TOKEN), client(&MAIN, "22"), bearer(TOKEN)], &[]);
    vec![
        case("public", "GET /public/x", &[""; 0], Expect::Anonymous),
        case("public, with a token", "GET /public/x", &bearer(TOKEN), Expect::Anonymous),
        case("public, with a bad token", "POST /public/x", &bearer("x"), Expect::Anonymous),
        case("public, with a pair", "GET /public/x", &client(&MAIN, "22"), Expect::Anonymous),
        case("public, contradictory", "GET /public/x", &twice, Expect::Anonymous),
        case("listed methods", "GET /reports", &[""; 0], Expect::Anonymous),
        case("GET serves HEAD", "HEAD /reports", &[""; 0], Expect::Anonymous),
        case("a preflight", "OPTIONS /api/apps/v1/orders", &preflight, Expect::Anonymous),
        case(
            "a preflight with a token",
            "OPTIONS /api/apps/v1/orders",
            &with(&[bearer("x")], &preflight),
            Expect::Anonymous,
        ),
        case(
            "a contradictory preflight",
            "OPTIONS /api/apps/v1/orders",
            &with(std::slice::from_ref(&twice), &preflight),
            Expect::Anonymous,
        ),
        case("a preflight where nothing is", "OPTIONS /unknown", &preflight, NOT_FOUND),
        case("half a preflight", "OPTIONS /api/apps/v1/orders", &preflight[..1], MISSING),
        case("the other half", "OPTIONS /api/apps/v1/orders", &preflight[1..], MISSING),
        case("another method is none", "POST /api/apps/v1/orders", &preflight, MISSING),
    ]
}
