//! Which route decides, and what it asks for: contract, section 2 and the rulings on paths, methods
//! and preflights.

use storegate::gate::{Kind, PathCase};

use crate::request::{Request, get, good_pair, orders, send, session};
use crate::stage::{Auth, Outcome, Stage, check, judge};
use crate::world::{APP, Platform, READER, Records, SECRET, TOKEN};

const READS: &str = "oauth sx_app_1b16e193a28d2640d2d9734dbf4907e8 in store 22 as 501 [read:orders]";
const FULL: &str = "oauth sx_app_1b16e193a28d2640d2d9734dbf4907e8 in store 22 as 501 [billing read:customers read:orders write:orders]";
const NO_ROUTE: &str = "404 not_found";

fn outcome(request: &Request) -> Outcome {
    judge(&Platform::usual(), request)
}

#[test]
fn methods_and_scopes() {
    let reader = |method: &str| send(method, "/api/apps/v1/orders").bearer(READER);
    for method in ["GET", "HEAD"] {
        assert_eq!(outcome(&reader(method)).summary, READS, "{method}");
    }
    for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "get", "Get", "QUERY", "X"] {
        let expected = "403 insufficient_scope (write:orders)";
        assert_eq!(outcome(&reader(method)).summary, expected, "{method}");
    }
    let at = |method: &str, path: &str, token: &str| send(method, path).bearer(token);
    check([
        (
            "all of a list, the first missing",
            at("PUT", "/api/apps/v1/bulk", READER),
            "403 insufficient_scope (write:orders write:customers)",
        ),
        (
            "all of a list, the last missing",
            at("GET", "/api/apps/v1/bulk", READER),
            "403 insufficient_scope (read:orders read:customers)",
        ),
        ("all of a list, there", at("GET", "/api/apps/v1/bulk", TOKEN), FULL),
        ("one string for reading", at("GET", "/api/apps/v1/billing", TOKEN), FULL),
        ("one string for writing", at("POST", "/api/apps/v1/billing/x", TOKEN), FULL),
        (
            "one string, missing",
            at("GET", "/api/apps/v1/billing/x", READER),
            "403 insufficient_scope (billing)",
        ),
        ("none needs a credential", get("/api/apps/v1/whoami"), "401 missing_token"),
        ("none needs no scope", at("GET", "/api/apps/v1/whoami", READER), READS),
        ("the captured part is lower-cased", at("GET", "/api/apps/v1/ORDERS", READER), READS),
        (
            "a path parameter is part of the scope",
            at("GET", "/api/apps/v1/orders;x=y", READER),
            "403 insufficient_scope (read:orders;x=y)",
        ),
        (
            "an encoded blank makes no second scope",
            at("GET", "/api/apps/v1/a%20read:orders", READER),
            "403 insufficient_scope (read:a%20read:orders)",
        ),
        (
            "encoded quotes stay encoded",
            at("GET", "/api/apps/v1/%22", READER),
            "403 insufficient_scope (read:%22)",
        ),
    ]);
}

#[test]
fn paths() {
    let at = |path: &str| outcome(&get(path).bearer(TOKEN)).summary;
    for path in [
        "/api/apps/v1/orders",
        "/api/apps/v1/orders/",
        "/api/apps/v1/orders/7",
        "/api/apps/v1/orders/7/",
        "/api/apps/v1/orders/7/lines",
        "/API/APPS/V1/ORDERS/7",
        "/api/apps/v1/orders//7",
        "/api/apps/v1/customers/whoami",
    ] {
        assert_eq!(at(path), FULL, "{path}");
    }
    for path in [
        "/",
        "/api",
        "/api/apps",
        "/api/apps/v1",
        "/api/apps/v1/",
        "/api/apps/v1//",
        "/api/apps/v1//orders",
        "//api/apps/v1/orders",
        "/api/apps/v2/orders",
        "/apps/v1/orders",
        "/api/apps/v1x/orders",
        "/x/api/apps/v1/orders",
        "/api/apps/v1/../v2/orders",
        "/api;x/apps/v1/orders",
        "/api/apps/v1/orders/../../orders",
        "/publicx/a",
        "/admin",
    ] {
        assert_eq!(at(path), NO_ROUTE, "{path}");
        assert_eq!(outcome(&get(path)).summary, NO_ROUTE, "{path} without credentials");
    }
    // What a route protects cannot be reached under a freer one.
    for path in [
        "/public/../api/apps/v1/orders",
        "/public/%2e%2e/api/apps/v1/orders",
        "/dashboard/./../api/apps/v1/orders/",
    ] {
        assert_eq!(outcome(&get(path)).summary, "401 missing_token", "{path}");
    }
}

#[test]
fn the_most_specific_route_wins() {
    for (path, route) in [
        ("/api/apps/v1/bulk", "/api/apps/v1/bulk"),
        ("/api/apps/v1/bulk/", "/api/apps/v1/bulk"),
        ("/api/apps/v1/BULK", "/api/apps/v1/bulk"),
        ("/api/apps/v1/billing", "/api/apps/v1/billing/{*rest}"),
        ("/api/apps/v1/billing/x/y", "/api/apps/v1/billing/{*rest}"),
        ("/api/apps/v1/orders/x/y", "/api/apps/v1/{resource}/{*rest}"),
        ("/public", "/public/{*rest}"),
    ] {
        assert_eq!(outcome(&get(path).bearer(TOKEN)).route.as_deref(), Some(route), "{path}");
    }
    check([(
        "below a whole path its scopes do not count",
        get("/api/apps/v1/bulk/x").bearer(TOKEN),
        "403 insufficient_scope (read:bulk)",
    )]);
}

#[test]
fn methods_that_a_route_lists() {
    let whoami = |method: &str| outcome(&send(method, "/api/apps/v1/whoami").bearer(TOKEN));
    assert_eq!(whoami("GET").summary, FULL);
    assert_eq!(whoami("HEAD").summary, FULL);
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "get", "X"] {
        let refused = whoami(method);
        assert_eq!(
            (&*refused.summary, refused.allow.as_deref()),
            ("405 method_not_allowed", Some("GET, HEAD")),
            "{method}"
        );
    }
}

#[test]
fn kinds_that_a_route_takes() {
    const NO: &str = "401 credential_not_accepted";
    let pair = || good_pair().store("22");
    let token = || orders().bearer(TOKEN);
    let jwt = || orders().bearer(&session(22, 501));
    let (embedded, servers, tokens) =
        ("/api/apps/v1/embedded", "/api/apps/v1/servers", "/api/apps/v1/tokens");
    let jwt_ok = "session sx_app_1b16e193a28d2640d2d9734dbf4907e8 in store 22 as 501 [billing read:customers read:orders write:orders]";
    let pair_ok = jwt_ok.replacen("session", "client_credentials", 1);
    for (path, request, expected) in [
        (embedded, pair(), NO),
        (embedded, token(), NO),
        (embedded, jwt(), jwt_ok),
        (embedded, orders(), "401 missing_token"),
        (servers, pair(), &pair_ok),
        (servers, token(), FULL),
        (servers, jwt(), NO),
        (tokens, pair(), NO),
        (tokens, token(), FULL),
        (tokens, jwt(), jwt_ok),
        (tokens, orders().bearer("shpat_1"), "401 invalid_token"),
        (tokens, pair().bearer(TOKEN), "400 invalid_request"),
        (tokens, orders().line("x-client-id", APP), "401 missing_token"),
    ] {
        assert_eq!(outcome(&request.clone().to("GET", path)).summary, expected, "{path} {request:?}");
    }
    let message = outcome(&pair().to("GET", tokens)).message;
    assert!(message.contains("bearer, session") && !message.contains("client_credentials"), "{message}");
    let records = Records::new(&Platform::usual());
    crate::stage::usual().judge(&records, &pair().to("GET", tokens));
    assert_eq!(records.asked(), 0, "nothing is looked up for a kind that is not taken");
}

#[test]
fn preflights() {
    let options = |path: &str| send("OPTIONS", path);
    let orders = "/api/apps/v1/orders";
    check([
        ("a real one", options(orders).preflight(), "anonymous"),
        ("for a route with a tail", options("/api/apps/v1/orders/7").preflight(), "anonymous"),
        (
            "contradictory credentials are ignored",
            options(orders).preflight().bearer(TOKEN).client(APP, SECRET),
            "anonymous",
        ),
        (
            "repeated credentials are ignored",
            options(orders).preflight().bearer("a").bearer("b"),
            "anonymous",
        ),
        ("good credentials are not needed", options(orders).preflight().bearer(TOKEN), "anonymous"),
        (
            "without the requested method",
            options(orders).line("origin", "https://shop.test"),
            "401 missing_token",
        ),
        (
            "without an origin",
            options(orders).line("access-control-request-method", "GET"),
            "401 missing_token",
        ),
        (
            "with an empty origin",
            options(orders).line("origin", "").line("access-control-request-method", "GET"),
            "401 missing_token",
        ),
        (
            "with an empty requested method",
            options(orders).line("origin", "a").line("access-control-request-method", " "),
            "401 missing_token",
        ),
        ("by another method", send("GET", orders).preflight(), "401 missing_token"),
        ("by POST", send("POST", orders).preflight(), "401 missing_token"),
        ("by a method in lower case", send("options", orders).preflight(), "401 missing_token"),
        (
            "by another spelling",
            options(orders).line("origin", "a").line("access_control_request_method", "GET"),
            "401 missing_token",
        ),
        ("OPTIONS alone is a write", options(orders).bearer(READER), "403 insufficient_scope (write:orders)"),
        ("on a public route", options("/public/x").preflight(), "anonymous"),
        ("on an upstream route", options("/dashboard/x").preflight().bearer(TOKEN), "upstream"),
    ]);
}

#[test]
fn routes_without_credentials_ignore_them() {
    for path in ["/public", "/public/x", "/PUBLIC/x/", "/dashboard/x"] {
        let expected = if path.starts_with("/dash") { "upstream" } else { "anonymous" };
        for request in [
            get(path),
            get(path).bearer(TOKEN),
            get(path).bearer("?").bearer("?"),
            get(path).bearer("?").client("a b", "").client("", "x").store("abc").store(""),
            send("DELETE", path).store("abc").query("store_id=1&store_id=2"),
        ] {
            let records = Records::new(&Platform::usual());
            records.fail_at(Some(0));
            let outcome = crate::stage::usual().judge(&records, &request);
            assert_eq!((&*outcome.summary, records.asked()), (expected, 0), "{request:?}");
        }
    }
}

#[test]
fn case_can_count() {
    let routes =
        [("/api/Apps/{resource}/{*rest}", &[] as &[_], Auth::Kinds(&Kind::ALL, "read:{resource}", ""))];
    let stage = Stage::with_routes(&routes, PathCase::Sensitive, |_| {});
    let records = Records::new(&Platform::usual());
    for (path, expected) in [
        ("/api/Apps/orders", READS),
        ("/api/Apps/orders/", READS),
        ("/api/Apps/Orders", "403 insufficient_scope (read:Orders)"),
        ("/api/apps/orders", NO_ROUTE),
        ("/API/Apps/orders", NO_ROUTE),
    ] {
        assert_eq!(stage.judge(&records, &get(path).bearer(READER)).summary, expected, "{path}");
    }
}

#[test]
fn the_family_of_tokens_can_have_another_prefix() {
    let stage = Stage::new(|settings| settings.access_token_prefix = "shpat_".into());
    let mut platform = Platform::usual();
    platform.token(READER).text = "shpat_0001".into();
    let records = Records::new(&platform);
    for (token, expected) in [
        ("shpat_0001", READS),
        (TOKEN, "401 invalid_token"),
        ("sx_at_a.b.c", "401 invalid_token"),
        ("shpat_", "401 invalid_token"),
    ] {
        assert_eq!(stage.judge(&records, &orders().bearer(token)).summary, expected, "{token}");
    }
}

#[test]
fn no_route_means_no() {
    let stage = Stage::with_routes(&[], PathCase::Insensitive, |_| {});
    let nothing_taken =
        Stage::with_routes(&[("/{*rest}", &[], Auth::Kinds(&[], "", ""))], PathCase::Insensitive, |_| {});
    let records = Records::new(&Platform::usual());
    for path in ["/", "/api/apps/v1/orders", "/healthz", "/admin/v1/apps"] {
        assert_eq!(stage.judge(&records, &get(path).bearer(TOKEN)).summary, NO_ROUTE, "{path}");
        let refused = nothing_taken.judge(&records, &get(path).bearer(TOKEN)).summary;
        assert_eq!(refused, "401 credential_not_accepted", "{path}");
    }
}
