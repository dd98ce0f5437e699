//! Upstreams that are down, slow or broken; methods and routes of the gateway itself.

use std::time::{Duration, Instant};

use crate::common::world::{TOKEN, bearer};
use crate::common::{Gateway, Place, RecordingUpstream, Response, Settings, request};

fn is_refusal(response: &Response, status: u16, code: &str) {
    assert_eq!((response.status, response.code().as_str()), (status, code), "{}", response.text());
    assert_eq!(response.field("content-type").as_deref(), Some("application/json"));
    assert_eq!(response.field("cache-control").as_deref(), Some("no-store"));
    assert_eq!(response.field("x-request-id").as_deref(), response.json()["request_id"].as_str());
    assert_eq!(response.json()["status"], status);
}

#[test]
fn an_upstream_that_is_down_is_502() {
    let place = Place::with(&Settings::default().toml("127.0.0.1:1")); // nobody listens on port 1
    place.seed();
    let gateway = Gateway::start_in(place, RecordingUpstream::start());
    is_refusal(&gateway.ask("GET /public/a", &[""; 0]), 502, "bad_gateway");
    is_refusal(&gateway.ask("GET /api/apps/v1/orders", &bearer(TOKEN)), 502, "bad_gateway");
    let mut client = gateway.connect();
    let upload = [request("POST /public/a", &["Content-Length: 5"]), b"hello".to_vec()].concat();
    is_refusal(&client.ask(upload), 502, "bad_gateway");
    // Who may not call learns nothing of it.
    is_refusal(&gateway.ask("GET /api/apps/v1/orders", &[""; 0]), 401, "missing_token");
}

#[test]
fn an_upstream_that_breaks_off_is_502() {
    let gateway = Gateway::start(&Settings::default());
    for path in ["close", "garbage"] {
        is_refusal(&gateway.ask(&format!("GET /public/{path}"), &[""; 0]), 502, "bad_gateway");
    }
    // Once the answer has begun, breaking off is all that can be told.
    let mut client = gateway.connect();
    client.send(request("GET /public/half", &[""; 0]));
    assert!(client.answer(false).is_err());
    assert_eq!(gateway.ask("GET /public/a", &[""; 0]).status, 200);
    // A request that was sent is not sent again.
    gateway.upstream.take();
    let upload = [request("POST /public/close", &["Content-Length: 5"]), b"hello".to_vec()].concat();
    is_refusal(&gateway.connect().ask(upload), 502, "bad_gateway");
    assert_eq!(gateway.upstream.take().len(), 1);
}

#[test]
fn an_upstream_that_is_slow_is_504_in_time() {
    let settings = Settings { upstream: "read_timeout = \"2s\"".into(), ..Settings::default() };
    let gateway = Gateway::start(&settings);
    let begin = Instant::now();
    is_refusal(&gateway.ask("GET /public/slow", &[""; 0]), 504, "gateway_timeout");
    let took = begin.elapsed();
    assert!(took >= Duration::from_millis(1900) && took < Duration::from_secs(15), "{took:?}");
    assert_eq!(gateway.upstream.heads(), 1, "it is not asked again");
    assert_eq!(gateway.ask("GET /public/a", &[""; 0]).status, 200);
}

#[test]
fn servers_take_turns_and_a_dead_one_is_passed_over() {
    let upstream = RecordingUpstream::start();
    let servers = format!("{}\", \"http://127.0.0.1:1", upstream.address);
    let place = Place::with(&Settings::default().toml(&servers));
    place.seed();
    let gateway = Gateway::start_in(place, upstream);
    for _ in 0..6 {
        let upload = [request("POST /public/a", &["Content-Length: 5"]), b"hello".to_vec()].concat();
        assert_eq!(gateway.connect().ask(upload).text(), "{\"received\":5}");
    }
}

#[test]
fn methods_of_a_route() {
    let gateway = Gateway::start(&Settings::default());
    let refused = gateway.ask("DELETE /reports", &[""; 0]);
    is_refusal(&refused, 405, "method_not_allowed");
    let allow = refused.field("allow").unwrap_or_default();
    let mut methods: Vec<_> = allow.split(',').map(str::trim).collect();
    methods.sort_unstable();
    methods.retain(|method| *method != "HEAD");
    assert_eq!(methods, ["GET", "POST"], "{allow}");
    is_refusal(&gateway.ask("GET /unknown", &[""; 0]), 404, "not_found");
    assert_eq!(gateway.ask("GET /unknown", &[""; 0]).field("allow"), None);
    assert_eq!(gateway.upstream.heads(), 0);
}

#[test]
fn preflights_and_actual_requests() {
    let gateway = Gateway::start(&Settings::default());
    let preflight = [
        "Origin: https://shop.example.test",
        "Access-Control-Request-Method: PUT",
        "Access-Control-Request-Headers: authorization",
    ];
    assert_eq!(gateway.ask("OPTIONS /api/apps/v1/orders/5", &preflight).status, 200);
    let seen = gateway.upstream.one();
    assert_eq!(seen.line(), "OPTIONS /api/apps/v1/orders/5 HTTP/1.1");
    assert_eq!(seen.field("origin").as_deref(), Some("https://shop.example.test"));
    assert_eq!(seen.field("x-store-id"), None);
    is_refusal(&gateway.ask("PUT /api/apps/v1/orders/5", &preflight[..1]), 401, "missing_token");
}
