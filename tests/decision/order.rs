//! When several things are wrong, the first of the documented order decides: each ladder starts with
//! everything wrong and repairs one thing at a time.

use http::HeaderValue;

use crate::request::{HS256, Request, good_claims, json, jws, orders, send};
use crate::stage::judge;
use crate::world::{APP, FENCED, FENCED_SECRET, FENCED_TOKEN, KEY, NOW, Platform, TOKEN};

/// What is told, and the repair that leads to the next rung.
type Rung = (&'static str, fn(&mut Platform, &mut Request));

fn climb(mut platform: Platform, mut request: Request, rungs: &[Rung]) {
    for (number, (expected, repair)) in rungs.iter().enumerate() {
        assert_eq!(judge(&platform, &request).summary, *expected, "rung {number}: {request:?}");
        repair(&mut platform, &mut request);
    }
}

fn set(request: &mut Request, name: &'static str, value: &str) {
    request.headers.insert(name, HeaderValue::from_str(value).unwrap());
}

fn broken() -> Platform {
    let mut platform = Platform::usual();
    platform.app(FENCED).enabled = false;
    platform.installation(521).active = false;
    platform.installation(521).scopes.clear();
    platform.suspend(22);
    platform
}

#[test]
fn client_credentials() {
    let request = send("POST", "/api//%2f")
        .line("connection", "x-store-id")
        .line("authorization", "Bearer ?")
        .line("authorization", "Bearer ?")
        .line("x-client-secret", "a b")
        .store("022");
    climb(
        broken(),
        request,
        &[
            ("400 invalid_request", |_, request| request.target = b"/nowhere".into()),
            ("400 invalid_request", |_, request| drop(request.headers.remove("connection"))),
            ("404 not_found", |_, request| request.target = b"/api/apps/v1/whoami".into()),
            ("405 method_not_allowed", |_, request| request.target = b"/api/apps/v1/embedded".into()),
            ("400 invalid_request", |_, request| set(request, "authorization", "Bearer ?")),
            ("400 invalid_request", |_, request| drop(request.headers.remove("authorization"))),
            ("401 missing_token", |_, request| set(request, "x-client-id", "a b")),
            ("401 credential_not_accepted", |_, request| request.target = b"/api/apps/v1/orders".into()),
            ("401 invalid_client (id)", |_, request| set(request, "x-client-id", "sx_app_unknown")),
            ("401 invalid_client (id)", |_, request| set(request, "x-client-id", FENCED)),
            ("401 invalid_client (id)", |platform, _| platform.app(FENCED).enabled = true),
            ("403 ip_not_allowed", |_, request| request.peer = [203, 0, 113, 1].into()),
            ("401 invalid_client (secret)", |_, request| set(request, "x-client-secret", "wrong")),
            ("401 invalid_client (secret)", |_, request| set(request, "x-client-secret", FENCED_SECRET)),
            ("400 invalid_store_id", |_, request| drop(request.headers.remove("x-store-id"))),
            ("400 missing_store_id", |_, request| set(request, "x-store-id", "22")),
            ("401 not_installed", |platform, _| platform.installation(521).active = true),
            ("403 store_suspended", |platform, _| {
                platform.stores.iter_mut().for_each(|s| s.suspended = false)
            }),
            ("403 insufficient_scope (write:orders)", |platform, _| {
                platform.installation(521).scopes = "write:orders".into();
            }),
            ("client_credentials sx_app_fenced in store 22 as 521 [write:orders]", |_, _| {}),
        ],
    );
}

#[test]
fn access_tokens() {
    let mut platform = broken();
    platform.token(FENCED_TOKEN).revoked = true;
    platform.token(FENCED_TOKEN).expires_at = NOW;
    let request = orders().line("x-client-id", APP).bearer("?").store("abc");
    climb(
        platform,
        request,
        &[
            ("400 invalid_request", |_, request| drop(request.headers.remove("x-client-id"))),
            ("401 invalid_token", |_, request| set(request, "authorization", "Bearer sx_at_unknown")),
            ("401 invalid_token", |_, request| {
                set(request, "authorization", &format!("Bearer {FENCED_TOKEN}"))
            }),
            ("401 invalid_token", |platform, _| platform.token(FENCED_TOKEN).revoked = false),
            ("401 invalid_token", |platform, _| platform.token(FENCED_TOKEN).expires_at = NOW + 1),
            ("401 invalid_token", |platform, _| platform.app(FENCED).enabled = true),
            ("403 ip_not_allowed", |_, request| request.peer = [203, 0, 113, 1].into()),
            ("401 invalid_token", |platform, _| platform.installation(521).active = true),
            ("403 store_suspended", |platform, _| {
                platform.stores.iter_mut().for_each(|s| s.suspended = false)
            }),
            ("400 invalid_store_id", |_, request| set(request, "x-store-id", "23")),
            ("403 store_mismatch", |_, request| set(request, "x-store-id", "22")),
            ("403 insufficient_scope (read:orders)", |platform, _| {
                platform.installation(521).scopes = "read:orders".into();
            }),
            ("oauth sx_app_fenced in store 22 as 521 [read:orders]", |_, _| {}),
        ],
    );
}

#[test]
fn session_tokens() {
    fn carry(request: &mut Request, token: &str) {
        set(request, "authorization", &format!("Bearer {token}"));
    }
    let mut platform = Platform::usual();
    platform.app(APP).enabled = false;
    platform.installation(501).active = false;
    platform.installation(501).scopes.clear();
    platform.suspend(22);
    climb(
        platform,
        orders().bearer("a.b.c").store("abc"),
        &[
            ("401 invalid_token", |_, request| {
                carry(request, &jws(r#"{"alg":"none"}"#, &json(&good_claims(22, 501)), "x"));
            }),
            ("401 invalid_token", |_, request| {
                carry(request, &jws(HS256, &json(&good_claims(22, 501)), "x"))
            }),
            ("401 invalid_token", |_, request| {
                carry(request, &jws(HS256, &json(&good_claims(22, 501)), KEY))
            }),
            ("401 invalid_token", |platform, _| platform.app(APP).enabled = true),
            ("401 invalid_token", |platform, _| platform.installation(501).active = true),
            ("403 store_suspended", |platform, _| {
                platform.stores.iter_mut().for_each(|s| s.suspended = false)
            }),
            ("400 invalid_store_id", |_, request| set(request, "x-store-id", "23")),
            ("403 store_mismatch", |_, request| set(request, "x-store-id", "22")),
            ("403 insufficient_scope (read:orders)", |platform, _| {
                platform.installation(501).scopes = "read:orders".into();
            }),
            ("session sx_app_1b16e193a28d2640d2d9734dbf4907e8 in store 22 as 501 [read:orders]", |_, _| {}),
        ],
    );
}

#[test]
fn the_route_decides_before_the_credential() {
    let rows = [
        ("a good token, no route", orders().bearer(TOKEN).to("GET", "/api/other"), "404 not_found"),
        ("a bad token, no route", orders().bearer("?").to("GET", "/api/other"), "404 not_found"),
        ("no credential, no route", orders().to("GET", "/api/other"), "404 not_found"),
        (
            "a contradiction, no route",
            orders().bearer(TOKEN).line("x-client-id", APP).to("GET", "/"),
            "404 not_found",
        ),
        ("a preflight, no route", orders().preflight().to("OPTIONS", "/x"), "404 not_found"),
        ("no credential, other method", orders().to("POST", "/api/apps/v1/whoami"), "405 method_not_allowed"),
        (
            "a good token, other method",
            orders().bearer(TOKEN).to("PUT", "/api/apps/v1/whoami"),
            "405 method_not_allowed",
        ),
    ];
    for (sentence, request, expected) in rows {
        assert_eq!(judge(&Platform::usual(), &request).summary, expected, "{sentence}");
    }
}
