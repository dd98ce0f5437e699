//! Tiki: Basic or body as registered, all rights of the seller, no refresh token.

use serde_json::json;

use crate::common::Gateway;
use crate::stage::{FORM, Made, app, basic, form, gateway, post, send, text, token};

const PATH: &str = "/sc/oauth2/token";

fn seller(method: &str) -> (Gateway, Made) {
    let gateway = gateway();
    let made = app(
        &gateway,
        &["--token-auth", method, "--client-id", "7590139168389961", "--scopes", "read:orders write:orders"],
    );
    gateway.place.ok(&["install", &made.id, "22"]);
    (gateway, made)
}

fn by_basic(gateway: &Gateway, made: &Made) -> crate::common::Response {
    let lines = [&*format!("Content-Type: {FORM}"), &basic(&made.id, &made.secret)];
    post(gateway, PATH, &lines, "grant_type=client_credentials")
}

fn by_body(gateway: &Gateway, made: &Made) -> crate::common::Response {
    let body = format!("grant_type=client_credentials&client_id={}&client_secret={}", made.id, made.secret);
    form(gateway, PATH, &body)
}

#[test]
fn exactly_the_registered_method() {
    for method in ["basic", "post"] {
        let (gateway, made) = seller(method);
        let answers = [("basic", by_basic(&gateway, &made)), ("post", by_body(&gateway, &made))];
        for (way, answer) in answers {
            if way != method {
                assert_eq!(
                    (answer.status, text(&answer.json()["error"])),
                    (401, "invalid_client".into()),
                    "{method}"
                );
                continue;
            }
            let made = token(&answer);
            let told = answer.json();
            assert_eq!((&told["token_type"], &told["expires_in"]), (&json!("bearer"), &json!(86400)));
            assert_eq!(told["scope"], "read:orders write:orders");
            assert!(told.get("refresh_token").is_none());
            let line = format!("Authorization: Bearer {made}");
            assert_eq!(send(&gateway, "POST /integration/v2/orders", &[&line], "").status, 200);
            assert_eq!(send(&gateway, "GET /integration/v2/products", &[&line], "").status, 403);
        }
    }
}

#[test]
fn the_seller_decides_what_the_app_may_do() {
    let (gateway, made) = seller("basic");
    let line = format!("Authorization: Bearer {}", token(&by_basic(&gateway, &made)));
    gateway.place.ok(&["install", &made.id, "22", "--scopes", "read:orders read:products"]);
    for (request, status) in [("GET /integration/v2/products", 200), ("POST /integration/v2/orders", 403)] {
        assert_eq!(send(&gateway, request, &[&line], "").status, status, "{request}");
    }
    let refused = |line: &str| {
        let answer = send(&gateway, "POST /integration/v2/orders", &[line], "");
        (answer.status, answer.json())
    };
    assert_eq!(refused(&line), (403, json!({"errors": ["Insufficient scope. Required: write:orders"]})));
    assert_eq!(refused("X-A: 1").0, 401);
    let unknown = format!("Authorization: Bearer {}", "0".repeat(64));
    assert_eq!(refused(&unknown), (401, json!({"errors": ["Invalid or expired access token."]})));
    gateway.place.ok(&["store", "suspend", "22"]);
    assert_eq!(refused(&line), (403, json!({"errors": ["This store is suspended."]})));
    let answer = by_basic(&gateway, &made);
    assert_eq!(
        (answer.status, text(&answer.json()["error"])),
        (403, "access_denied".into()),
        "the seller is not active"
    );
}

/// Whatever the reason, on a path of the platform.
#[test]
fn another_method_is_refused_in_the_platforms_words() {
    let gateway = gateway();
    let answer = send(&gateway, "POST /tiki/reports", &[], "");
    let expected = json!({"errors": ["Method not allowed on this route; see the Allow header."]});
    assert_eq!((answer.status, answer.json()), (405, expected));
    assert_eq!(answer.field("allow").as_deref(), Some("GET, HEAD"));
}

#[test]
fn what_is_refused() {
    let (gateway, made) = seller("basic");
    let own = basic(&made.id, &made.secret);
    let rows = [
        ("no client", "X-A: 1".to_owned(), "grant_type=client_credentials", 401, "invalid_client"),
        ("a wrong secret", basic(&made.id, "x"), "grant_type=client_credentials", 401, "invalid_client"),
        (
            "Basic and body",
            own.clone(),
            "grant_type=client_credentials&client_secret=x",
            400,
            "invalid_request",
        ),
        ("a refresh", own.clone(), "grant_type=refresh_token", 400, "unsupported_grant_type"),
        ("no grant", own.clone(), "scope=order", 400, "invalid_request"),
        (
            "a name twice",
            own.clone(),
            "grant_type=client_credentials&grant_type=client_credentials",
            400,
            "invalid_request",
        ),
    ];
    for (sentence, line, body, status, error) in rows {
        let answer = post(&gateway, PATH, &[&format!("Content-Type: {FORM}"), &line], body);
        assert_eq!((answer.status, text(&answer.json()["error"])), (status, error.into()), "{sentence}");
    }
    gateway.place.ok(&["uninstall", &made.id, "22"]);
    assert_eq!(by_basic(&gateway, &made).json()["error"], "unauthorized_client");
}
