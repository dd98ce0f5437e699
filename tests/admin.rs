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
