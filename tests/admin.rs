//! The operators' API on the admin listener.

#![allow(clippy::unwrap_used)] // a test may panic

mod common;

#[path = "admin/audit.rs"]
mod audit;
#[path = "admin/calls.rs"]
mod calls;
#[path = "admin/document.rs"]
mod document;
#[path = "admin/once.rs"]
mod once;
#[path = "admin/refusals.rs"]
mod refusals;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use common::world::{self, MAIN};
use common::{Gateway, Response, Settings, ask};

fn rotate(gateway: &Gateway, app: &str, lines: &[&str], body: &str) -> Response {
    call(gateway, &format!("POST /api/apps/{app}/rotate-secret"), lines, body)
}

fn operator(gateway: &Gateway, name: &str) -> String {
    operator_with(gateway, name, &["apps__manage_apps"])
}

/// Adds an operator by command; gives the line that it shows.
fn operator_with(gateway: &Gateway, name: &str, permissions: &[&str]) -> String {
    let given = permissions.iter().flat_map(|permission| ["--permission", permission]);
    let made = gateway.place.json(&["operator", "add", name].into_iter().chain(given).collect::<Vec<_>>());
    format!("Authorization: Bearer {}", made["token"].as_str().unwrap())
}

/// The line with the token of `admin.token`.
fn admin(gateway: &Gateway) -> String {
    let token = fs::read_to_string(gateway.place.path("admin.token")).unwrap();
    format!("Authorization: Bearer {}", token.trim())
}

/// One call: `POST /admin/v1/stores`, lines of the head, and the body.
fn call(gateway: &Gateway, line: &str, lines: &[&str], body: &str) -> Response {
    let mut head = format!("{line} HTTP/1.1\r\nHost: {}\r\n", gateway.admin);
    for line in lines {
        head.push_str(&format!("{line}\r\n"));
    }
    head.push_str(&format!("Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len()));
    ask(gateway.admin, head)
}

/// A call that must be answered with this status; gives its document.
#[track_caller]
fn done(gateway: &Gateway, status: u16, line: &str, token: &str, body: &str) -> serde_json::Value {
    let answer = call(gateway, line, &[token], body);
    assert_eq!(answer.status, status, "{line} {body}: {}", answer.text());
    assert_eq!(answer.field("cache-control").as_deref(), Some("no-store"));
    answer.json()
}

#[test]
fn rotation_bites_at_once_and_hands_the_secret_out_once() {
    let gateway = Gateway::start(&Settings::default());
    let token = operator(&gateway, "ada");
    let old = world::client(&MAIN, "22");
    assert_eq!(gateway.orders(&old), 200);
    let app = MAIN.app_id.to_string();
    let answer = rotate(&gateway, &app, &[&token], "");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.field("cache-control").as_deref(), Some("no-store"));
    let body = answer.json();
    assert_eq!(body["status"], 200);
    assert_eq!(body["data"]["client_id"], MAIN.client_id);
    let secret = body["data"]["client_secret"].as_str().unwrap();
    assert_eq!(gateway.orders_code(&old), (401, "invalid_client".into()));
    let mut new = world::pair(MAIN.client_id, secret);
    new.push("X-Store-Id: 22".into());
    assert_eq!(gateway.orders(&new), 200);

    let overlapping = rotate(&gateway, &app, &[&token], r#"{"overlap":"1h"}"#);
    assert_eq!(overlapping.status, 200, "{}", overlapping.text());
    assert_eq!(gateway.orders(&new), 200, "the former secret works for an hour more");
}

#[test]
fn only_operators_with_the_permission_may() {
    let gateway = Gateway::start(&Settings::default());
    let token = operator(&gateway, "ada");
    let app = MAIN.app_id.to_string();
    let main_token = format!("Authorization: Bearer {}", world::TOKEN);
    let refused: [(&str, Vec<&str>, &str, u16, &str); 11] = [
        (&app, vec![], "", 401, "missing_token"),
        (&app, vec!["Authorization: Bearer"], "", 401, "missing_token"),
        (&app, vec!["Authorization: Basic YWRhOmFkYQ=="], "", 401, "missing_token"),
        (&app, vec!["Authorization: Bearer sx_op_0"], "", 401, "invalid_token"),
        (&app, vec![&main_token], "", 401, "invalid_token"),
        (&app, vec![&token, &token], "", 400, "invalid_request"),
        ("4711", vec![&token], "", 404, "not_found"),
        ("x", vec![&token], "", 404, "not_found"),
        (&app, vec![&token], "{", 400, "invalid_request"),
        (&app, vec![&token], r#"{"overlap":"soon"}"#, 400, "invalid_request"),
        (&app, vec![&token], r#"{"grace":"1h"}"#, 400, "invalid_request"),
    ];
    for (app, lines, body, status, code) in refused {
        let answer = rotate(&gateway, app, &lines, body);
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{lines:?} {body}");
        assert_eq!(answer.json()["status"], status);
    }
    assert_eq!(gateway.orders(&world::client(&MAIN, "22")), 200, "nothing was rotated");

    assert_eq!(gateway.place.run(&["operator", "remove", "ada"]).code, 0);
    assert_eq!(rotate(&gateway, &app, &[&token], "").code(), "invalid_token", "a removed operator");
}

#[test]
fn the_admin_token_is_made_for_its_owner_alone() {
    let gateway = Gateway::start(&Settings::default());
    let path = gateway.place.path("admin.token");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let token = admin(&gateway);
    assert_eq!(rotate(&gateway, &MAIN.app_id.to_string(), &[&token], "").status, 200);
}

#[test]
fn the_public_listener_never_leads_to_it() {
    let gateway = Gateway::start(&Settings::default());
    let token = operator(&gateway, "ada");
    for path in [
        "/metrics",
        "/readyz",
        "/healthz",
        "/api/apps/1/rotate-secret",
        "/admin/v1/stores",
        "/%61dmin/v1/apps",
    ] {
        let answer = gateway.ask(&format!("POST {path}"), &[&token]);
        assert_eq!((answer.status, answer.code().as_str()), (404, "not_found"), "{path}");
    }
}

/// DNS rebinding: a page whose name was made to lead here sends its own name.
#[test]
fn a_page_of_another_name_learns_nothing() {
    let gateway = Gateway::start(&Settings::default());
    let port = gateway.admin.port();
    let ask_as = |line: &str, hosts: &[&str]| {
        let hosts: String = hosts.iter().map(|host| format!("Host: {host}\r\n")).collect();
        ask(gateway.admin, format!("{line}\r\n{hosts}Connection: close\r\n\r\n"))
    };
    let own = [format!("127.0.0.1:{port}"), "127.0.0.1".into(), format!("localhost:{port}"), "[::1]".into()];
    for path in ["/metrics", "/healthz", "/readyz"] {
        for host in &own {
            assert_eq!(ask_as(&format!("GET {path} HTTP/1.1"), &[host]).status, 200, "{path} {host}");
        }
    }
    assert_eq!(ask_as("GET /healthz HTTP/1.0", &[]).status, 200, "probes without Host");
    let foreign = [
        "evil.example.test",
        &format!("evil.example.test:{port}"),
        "localhost.evil.example.test",
        "127.0.0.1.nip.io",
        "api.example.test",
        "storegate",
    ];
    for line in
        ["GET /metrics", "GET /healthz", "GET /readyz", "GET /unknown", "POST /api/apps/7/rotate-secret"]
    {
        for host in foreign {
            let answer = ask_as(&format!("{line} HTTP/1.1"), &[host]);
            assert_eq!(
                (answer.status, answer.code().as_str()),
                (421, "misdirected_request"),
                "{line} {host}"
            );
            assert_eq!(answer.json()["status"], 421);
            assert!(!answer.text().contains("storegate_"), "{}", answer.text());
        }
        for hosts in [&[][..], &["127.0.0.1", "127.0.0.1"], &["127.0.0.1, a"], &["u@127.0.0.1"], &[""]] {
            assert_eq!(ask_as(&format!("{line} HTTP/1.1"), hosts).status, 400, "{line} {hosts:?}");
        }
    }
    let absolute = ask_as("GET http://evil.example.test/metrics HTTP/1.1", &["127.0.0.1"]);
    assert_eq!(absolute.status, 421);
}

/// CVE-2026-105986: what an encoded path means, two readers may not agree on.
#[test]
fn encoded_paths_reach_nothing() {
    let gateway = Gateway::start(&Settings::default());
    let token = operator(&gateway, "ada");
    let lines = format!("Host: {}\r\n{token}\r\nContent-Length: 0\r\nConnection: close\r\n", gateway.admin);
    for path in [
        "/api/apps/%37/rotate-secret",
        "/api/apps/7/%72otate-secret",
        "/api/apps/7%2Frotate-secret",
        "/api/apps/7/rotate-secret%00",
        "/api/%61pps/7/rotate-secret",
        "/%61pi/apps/7/rotate-secret",
        "/api/apps/7/rotate%2dsecret",
        "/api/apps/7/../7/rotate-secret",
        "/api/apps/%2e%2e/apps/7/rotate-secret",
        "/api//apps/7/rotate-secret",
        "//api/apps/7/rotate-secret",
    ] {
        let answer = ask(gateway.admin, format!("POST {path} HTTP/1.1\r\n{lines}\r\n"));
        assert_eq!((answer.status, answer.code().as_str()), (400, "invalid_request"), "{path}");
    }
    for path in [
        "/API/apps/7/rotate-secret",
        "/api/apps/7/rotate-secret/",
        "/api/apps/7;x/rotate-secret",
        "/api/apps/07x/rotate-secret",
    ] {
        let answer = ask(gateway.admin, format!("POST {path} HTTP/1.1\r\n{lines}\r\n"));
        assert_eq!((answer.status, answer.code().as_str()), (404, "not_found"), "{path}");
    }
    assert_eq!(gateway.orders(&world::client(&MAIN, "22")), 200, "nothing was rotated");
}
