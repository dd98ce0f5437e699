//! From HTTP/2 to HTTP/2: what ends at the gateway, in requests, answers and trailers.

use crate::common::world::{TOKEN, bearer};
use crate::grpc::{call, gateway, message, start, status};
use crate::pki::Authority;
use crate::secure::{Http2, block_on, request};
use crate::server::NAME;

/// What only the gateway may say, neither the head nor the trailers of an upstream say.
#[test]
fn trailers_do_not_speak_in_our_name() {
    let authority = Authority::new("root");
    block_on(async {
        let (address, _) = start(None).await;
        let gateway = gateway(&authority, &format!("http://{address}"), "", "");
        let connection = Http2::connect(gateway.address, &authority.trusted_by(&["h2"], None)).await;
        let answer = connection.ask(call("/shop.v1.Orders/Claims", &bearer(TOKEN)), b"").await.unwrap();
        assert_eq!(status(&answer), ("0", ""), "{answer:?}");
        for name in ["x-scopes", "x_store_id", "x-installation-id", "alt-svc"] {
            assert_eq!((answer.headers.get(name), answer.trailers.get(name)), (None, None), "{name}");
        }
        for name in ["x-request-id", "content-length", "trailer"] {
            assert_eq!(answer.trailers.get(name), None, "{name}");
        }
        assert_eq!(answer.field("x-request-id").map(str::len), Some(32));
        assert_eq!(
            (answer.field("x-served"), answer.trailers.get("x-served").is_some()),
            (Some("forged"), true)
        );
    });
}

/// From HTTP/2 to HTTP/2 Pingora cleans nothing: what an HTTP/2 upstream receives of what was sent.
#[test]
fn an_http2_upstream_receives_clean_requests() {
    let authority = Authority::new("root");
    block_on(async {
        let (address, heads) = start(None).await;
        let gateway = gateway(&authority, &format!("http://{address}"), "", "");
        let connection = Http2::connect(gateway.address, &authority.trusted_by(&["h2"], None)).await;
        let lines = [
            "te: trailers",
            "proxy-authorization: Basic eA==",
            "proxy-authenticate: x",
            "http2-settings: AA",
            "trailer: x-late",
            "cookie: a=1",
            "cookie: b=2",
            "cookie: c=3",
            "x-store-id: 66",
            "x_store_id: 66",
            "x.scopes: admin",
            "x-subject: root",
            "x-forwarded-for: 6.6.6.6",
            "x_forwarded_proto: x",
            "forwarded: for=6.6.6.6",
            "x-real-ip: 6.6.6.6",
            "x-request-id: forged",
            "x-http-method-override: DELETE",
            "content_length: 5",
            "x-original-url: /admin",
            "x-kept: yes",
        ];
        for path in ["/public/a", "/public/./%61"] {
            let answer = connection.ask(request("POST", path, &lines), &message("x")).await.unwrap();
            assert_eq!(answer.status.as_u16(), 200, "{answer:?}");
            let head = heads.lock().unwrap().pop().unwrap();
            assert_eq!((head.method.as_str(), head.uri.path()), ("POST", "/public/a"));
            assert_eq!(head.uri.authority().unwrap().as_str(), NAME);
            let mut received: Vec<String> = head
                .headers
                .iter()
                .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
                .filter(|line| !line.starts_with("x-request-id: "))
                .collect();
            received.sort();
            let expected = [
                "cookie: a=1; b=2; c=3",
                "te: trailers",
                "x-forwarded-for: 127.0.0.1",
                &format!("x-forwarded-host: {NAME}"),
                "x-forwarded-proto: https",
                "x-kept: yes",
            ];
            assert_eq!(received, expected, "{path}");
            assert_eq!(head.headers.get("x-request-id").map(|id| id.len()), Some(32));
        }
    });
}
