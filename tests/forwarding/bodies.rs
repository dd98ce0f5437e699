//! Bodies stream, whatever their size; so does a WebSocket.

use std::io::Write;

use crate::common::world::{TOKEN, bearer};
use crate::common::{Gateway, Settings, request};

const MIB: usize = 1 << 20;

/// What 64 MiB may add to the memory of the process, in KiB.
const BOUND_KIB: usize = 24 * 1024;

#[test]
fn a_large_upload_streams() {
    let gateway = Gateway::start(&Settings::default());
    assert_eq!(gateway.orders(&bearer(TOKEN)), 200);
    gateway.upstream.take();
    let before = gateway.memory("VmHWM");
    let lines = [bearer(TOKEN), vec![format!("Content-Length: {}", 64 * MIB)]].concat();
    let mut client = gateway.connect();
    client.send(request("POST /api/apps/v1/orders/import", &lines));
    let piece = vec![b'u'; MIB];
    for _ in 0..64 {
        client.send(&piece);
    }
    let response = client.answer(false).unwrap();
    assert_eq!((response.status, response.text().as_str()), (200, "{\"received\":67108864}"));
    let seen = gateway.upstream.one();
    assert!(seen.complete && seen.length == 64 * MIB && seen.body.iter().all(|&byte| byte == b'u'));
    assert!(gateway.memory("VmHWM") < before + BOUND_KIB, "from {before} to {} KiB", gateway.memory("VmHWM"));
}

#[test]
fn a_large_download_streams_even_to_a_slow_reader() {
    let gateway = Gateway::start(&Settings::default());
    assert_eq!(gateway.orders(&bearer(TOKEN)), 200);
    let before = gateway.memory("VmHWM");
    let mut client = gateway.connect();
    let line = format!("GET /api/apps/v1/orders/stream?bytes={}", 64 * MIB);
    client.send(request(&line, &bearer(TOKEN)));
    // Nobody reads until the upstream has long begun to send.
    gateway.upstream.wait_for_heads(2);
    let response = client.answer(false).unwrap();
    assert_eq!((response.status, response.length), (200, 64 * MIB));
    assert!(response.body.iter().all(|&byte| byte == b's'));
    assert!(gateway.memory("VmHWM") < before + BOUND_KIB, "from {before} to {} KiB", gateway.memory("VmHWM"));
    assert_eq!(client.ask(request("GET /public/a", &[""; 0])).status, 200);
}

#[test]
fn chunked_bodies_pass_both_ways() {
    let gateway = Gateway::start(&Settings::default());
    let mut client = gateway.connect();
    client.send(request("POST /public/a", &["Transfer-Encoding: chunked"]));
    gateway.upstream.wait_for_heads(1); // before the body is complete: it streams
    client.send("5\r\nhello\r\n6;x=y\r\n world\r\n");
    client.send("0\r\nX-Scopes: admin\r\n\r\n");
    assert_eq!(client.answer(false).unwrap().text(), "{\"received\":11}");
    let seen = gateway.upstream.one();
    assert_eq!(seen.body, b"hello world");
    assert_eq!(seen.field("content-length"), None);
    let response = client.ask(request("GET /public/chunked", &[""; 0]));
    assert_eq!((response.status, response.text().as_str()), (200, "abcde"));
    assert_eq!(client.ask(request("GET /public/empty", &[""; 0])).status, 204);
    let body = [request("PUT /public/a", &["Content-Length: 3"]), b"\0\xff\n".to_vec()].concat();
    assert_eq!(client.ask(body).text(), "{\"received\":3}");
    assert_eq!(gateway.upstream.take().pop().unwrap().body, b"\0\xff\n");
}

#[test]
fn an_answer_may_come_before_the_body_has_gone() {
    let gateway = Gateway::start(&Settings::default());
    let mut client = gateway.connect();
    client.send(request("POST /public/early", &["Content-Length: 1000"]));
    let response = client.answer(false).unwrap();
    assert_eq!((response.status, response.text().as_str()), (413, "early"));
}

#[test]
fn a_client_that_leaves_takes_its_request_along() {
    let gateway = Gateway::start(&Settings::default());
    let mut client = gateway.connect();
    client.send(request("POST /public/a", &["Content-Length: 1000"]));
    client.send("half of it");
    gateway.upstream.wait_for_heads(1);
    drop(client);
    assert_eq!(gateway.ask("GET /public/a", &[""; 0]).text(), "{\"received\":0}");
    let seen = gateway.upstream.take();
    assert!(seen.iter().all(|seen| seen.line().starts_with("GET") || !seen.complete), "{seen:?}");
}

#[test]
fn expect_100_continue_is_answered() {
    let gateway = Gateway::start(&Settings::default());
    let mut client = gateway.connect();
    client.send(request("POST /public/a", &["Content-Length: 4", "Expect: 100-continue"]));
    assert!(client.head().starts_with("HTTP/1.1 100"));
    client.send("body");
    let answer = client.answer(false).unwrap();
    assert_eq!(answer.text(), "{\"received\":4}");
}

#[test]
fn a_websocket_passes() {
    let gateway = Gateway::start(&Settings::default());
    let handshake = |more: Vec<String>| {
        let lines = [
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        ];
        request("GET /free/websocket", &[lines.map(str::to_owned).to_vec(), more].concat())
    };
    let refused = gateway.connect().ask(handshake(vec![]));
    assert_eq!((refused.status, refused.code().as_str()), (401, "missing_token"));
    assert_eq!(gateway.upstream.heads(), 0);
    let mut client = gateway.connect();
    let response = client.ask(handshake(bearer(TOKEN)));
    assert_eq!(response.status, 101);
    assert_eq!(response.field("sec-websocket-accept").as_deref(), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(response.field("upgrade").map(|value| value.to_lowercase()).as_deref(), Some("websocket"));
    let seen = gateway.upstream.one();
    assert_eq!(seen.field("x-store-id").as_deref(), Some("22"));
    assert_eq!(seen.field("upgrade").as_deref(), Some("websocket"));
    assert_eq!(seen.field("authorization"), None);
    for frame in [b"\x81\x05hello".to_vec(), vec![0; 100_000], b"GET / HTTP/1.1\r\n\r\n".to_vec()] {
        let mut stream = client.stream().try_clone().unwrap();
        let sent = frame.clone();
        let sender = std::thread::spawn(move || stream.write_all(&sent).unwrap());
        assert_eq!(client.exactly(frame.len()), frame);
        sender.join().unwrap();
    }
    client.stream().shutdown(std::net::Shutdown::Write).unwrap();
    assert!(client.is_closed());
}

#[test]
fn other_upgrades_do_not_pass() {
    let gateway = Gateway::start(&Settings::default());
    let (get, post) = ("GET /public/a", "POST /public/a");
    let rows: [(&str, &[&str]); 7] = [
        (get, &["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"]),
        (get, &["Connection: Upgrade", "Upgrade: TLS/1.0"]),
        (get, &["Connection: Upgrade", "Upgrade: h2c, websocket"]),
        (get, &["Upgrade: websocket"]),
        (get, &["Connection: keep-alive", "Upgrade: websocket"]),
        (get, &["Connection: x-upgrade", "Upgrade: websocket"]),
        (post, &["Connection: Upgrade", "Upgrade: websocket", "Content-Length: 0"]),
    ];
    for (line, lines) in rows {
        assert_eq!(gateway.ask(line, lines).status, 200, "{lines:?}");
        let seen = gateway.upstream.one();
        for name in ["upgrade", "connection", "http2-settings"] {
            assert_eq!(seen.field(name), None, "{lines:?}");
        }
    }
    // What follows a handshake that the upstream refused is the next request, decided on its own.
    let mut client = gateway.connect();
    let handshake = ["Connection: Upgrade", "Upgrade: websocket"];
    assert_eq!(client.ask(request("GET /public/a", &handshake)).status, 200);
    assert_eq!(client.ask(request("GET /api/apps/v1/orders", &[""; 0])).status, 401);
    assert_eq!(gateway.upstream.take().len(), 1);
}
