//! What belongs to one hop, and what a client or an upstream would like to make of that: nominations in
//! `Connection`, hop-by-hop headers, answers that speak in the gateway's name.

use crate::common::world::{TOKEN, bearer};
use crate::common::{Gateway, Settings};
use crate::heads::trusting;

#[test]
fn hop_by_hop_headers_end_here() {
    let gateway = Gateway::start(&Settings::default());
    let hops = [
        "Connection: keep-alive, X-Hop, x-other",
        "Keep-Alive: timeout=5",
        "Proxy-Connection: keep-alive",
        "Proxy-Authorization: Basic eDp5",
        "Proxy-Authenticate: Basic",
        "TE: trailers",
        "Trailer: X-Late",
        "Upgrade: h2c",
        "HTTP2-Settings: AAMAAABkAAQAAP__",
        "X-Hop: 1",
        "X-Other: 1",
        "X-Kept: 1",
        "Cookie: a=b",
        "Accept: */*",
    ];
    let response =
        gateway.ask("GET /api/apps/v1/hops", &[bearer(TOKEN), hops.map(str::to_owned).to_vec()].concat());
    assert_eq!(response.status, 403, "no scope: {}", response.text());
    for path in ["GET /public/hops", "GET /native/hops", "GET /free/hops"] {
        let lines = [bearer(TOKEN), hops.map(str::to_owned).to_vec()].concat();
        let response = gateway.ask(path, &lines);
        assert_eq!(response.status, 200, "{path} {}", response.text());
        let seen = gateway.upstream.one();
        for gone in [
            "keep-alive",
            "proxy-connection",
            "proxy-authorization",
            "proxy-authenticate",
            "te",
            "trailer",
            "upgrade",
            "http2-settings",
            "x-hop",
            "x-other",
        ] {
            assert_eq!(seen.field(gone), None, "{path} {gone}");
        }
        let connection = seen.field("connection").unwrap_or_default().to_lowercase();
        assert!(["", "keep-alive"].contains(&connection.as_str()), "{path} {connection}");
        assert_eq!(seen.field("x-kept").as_deref(), Some("1"));
        assert_eq!(seen.field("cookie").as_deref(), Some("a=b"));
        assert_eq!(seen.field("accept").as_deref(), Some("*/*"));
        // Of the answer, too.
        assert_eq!(response.field("keep-alive").filter(|value| value == "timeout=9"), None);
        assert_eq!(response.field("x-own-hop"), None);
        assert_eq!(response.field("trailer"), None);
        assert_eq!(response.field("x-kept").as_deref(), Some("yes"));
        assert_ne!(response.field("x-request-id").as_deref(), Some("of-the-upstream"));
    }
}

/// What the upstream relies on, a client cannot have deleted on the way by naming it in `Connection`.
#[test]
fn what_a_client_nominates_away_is_kept_refused_or_its_own() {
    let gateway = Gateway::start(&Settings::default());
    let kept = [
        "Origin: https://shop.example.test",
        "content-type: application/json",
        "Content-Encoding: gzip",
        "ACCEPT: text/plain",
        "Accept-Language: bn",
        "If-Match: \"1\"",
        "Range: bytes=0-1",
        "User-Agent: probe",
        "Referer: https://shop.example.test/a",
        "Sec-Fetch-Site: cross-site",
        "Access-Control-Request-Method: DELETE",
        "Access-Control-Request-Headers: x-a",
        "X-CSRF-Token: t",
        "Idempotency-Key: k",
        "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "Cache-Control: no-cache",
    ];
    let own = ["X-Own: 1", "X-Origin: 1", "Contents: 1", "Security: 1"];
    for line in kept.iter().chain(&own) {
        let name = line.split(':').next().unwrap();
        for connection in [name.to_owned(), format!("close, {name}"), name.to_uppercase()] {
            let lines = [(*line).to_owned(), format!("Connection: {connection}")];
            assert_eq!(gateway.ask("GET /public/a", &lines).status, 200, "{lines:?}");
            let expected = kept.contains(line).then(|| line.split_once(": ").unwrap().1.to_owned());
            let seen = gateway.upstream.one();
            assert_eq!(seen.field(name), expected, "{lines:?}");
            assert!(
                !seen.field("connection").unwrap_or_default().to_lowercase().contains(&name.to_lowercase())
            );
        }
    }
    // All lines of a field come back, and a preflight stays one.
    let lines = ["Accept: a", "Accept: b", "Connection: accept"];
    assert_eq!(gateway.ask("GET /public/a", &lines).status, 200);
    let seen = gateway.upstream.one().fields();
    let accepted: Vec<_> = seen.iter().filter(|(name, _)| name == "accept").map(|(_, value)| value).collect();
    assert_eq!(accepted, ["a", "b"]);
    let preflight = [
        "Origin: https://a.test",
        "Access-Control-Request-Method: GET",
        "Connection: origin, access-control-request-method",
    ];
    assert_eq!(gateway.ask("OPTIONS /api/apps/v1/orders", &preflight).status, 200);
    let seen = gateway.upstream.one();
    assert!(seen.field("origin").is_some() && seen.field("access-control-request-method").is_some());

    let refused = [
        "Cookie",
        "Host",
        "via",
        "Authorization",
        "X-Client-Secret",
        "x-scopes",
        "X_Scopes",
        "X.Store.Id",
        "X-Forwarded-For",
        "x_forwarded_for",
        "X-Forwarded-Anything",
        "Forwarded",
        "X-Real-IP",
        "x.real.ip",
        "X-Original-URL",
        "X-Request-Id",
        "Content-Length",
        "content_length",
        "Transfer-Encoding",
    ];
    for name in refused {
        for connection in
            [name.to_owned(), format!("keep-alive,\t{name} ,"), format!("close\r\nConnection: {name}")]
        {
            let lines = [format!("Connection: {connection}"), "Cookie: a=b".to_owned()];
            let response = gateway.ask("GET /public/a", &lines);
            assert_eq!((response.status, response.code().as_str()), (400, "invalid_request"), "{lines:?}");
        }
    }
    assert_eq!(gateway.upstream.take().len(), 0);
}

/// A proxy that passes its client's `Connection` on would have us delete what it added.
#[test]
fn what_a_trusted_proxy_added_is_not_nominated_away() {
    let gateway = Gateway::start(&trusting());
    let lines = [
        "X-Waf-Verdict: clean",
        "TE: trailers",
        "Keep-Alive: timeout=1",
        "Connection: x-waf-verdict, TE, keep-alive",
    ];
    assert_eq!(gateway.ask("GET /public/a", &lines).status, 200);
    let seen = gateway.upstream.one();
    assert_eq!(seen.field("x-waf-verdict").as_deref(), Some("clean"));
    assert_eq!((seen.field("te"), seen.field("keep-alive")), (None, None));
}

/// What only the gateway may say to a client, no upstream says in its place.
#[test]
fn an_upstream_does_not_speak_in_our_name() {
    let limits = "[limits]\nrequests_per_second = 1000\nburst = 1000".to_owned();
    for (rest, rationed) in [(String::new(), false), (limits, true)] {
        let gateway = Gateway::start(&Settings { rest, ..Settings::default() });
        for path in ["/free/claims", "/public/claims", "/native/claims"] {
            let response = gateway.ask(&format!("GET {path}"), &bearer(TOKEN));
            assert_eq!(response.status, 200);
            // Ours: once each, with our value.
            let lines = response.fields();
            let values = |name: &str| {
                let of_name = lines.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name));
                of_name.map(|(_, value)| value.as_str()).collect::<Vec<_>>()
            };
            let ids = values("x-request-id");
            assert!(ids.len() == 1 && ids[0].len() == 32, "{path}: {ids:?}");
            for gone in [
                "x_request_id",
                "X-Scopes",
                "x.scopes",
                "X_Store_Id",
                "X-Installation-Id",
                "X-Auth-Method",
                "X-Subject",
                "X-Client-Cert-Subject",
                "Alt-Svc",
                "Proxy-Authenticate",
                "Keep-Alive",
                "Proxy-Connection",
                "Upgrade",
                "Trailer",
                "TE",
                "X-Nominated",
                "Proxy-Authentication-Info",
            ] {
                assert_eq!(values(gone), [""; 0], "{path} {gone}");
            }
            // Where the upstream reads credentials by itself, it may say whose they are.
            let own = if path.starts_with("/native") { vec!["66"] } else { vec![] };
            assert_eq!(values("x-store-id"), own, "{path}");
            // The limits of the gateway where it has some, and otherwise those of the upstream.
            let limited = rationed && path.starts_with("/free");
            let policy = values("ratelimit-policy");
            assert_eq!(policy.iter().any(|value| value.contains("upstream")), !limited, "{path}: {policy:?}");
            assert_eq!(policy.len(), 1, "{path}");
            assert_eq!(values("ratelimit-limit").is_empty(), limited, "{path}");
            for (kept, value) in [
                ("x-kept", "yes"),
                ("set-cookie", "a=b"),
                ("www-authenticate", "Basic"),
                ("x-ratelimit-limit", "9"),
                ("server", "store"),
            ] {
                assert_eq!(values(kept), [value], "{path} {kept}");
            }
        }
    }
}
