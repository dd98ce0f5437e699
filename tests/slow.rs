//! Peers that are slow or silent, over HTTP/1: each is ended in time, and nobody for another's slowness.

#![allow(clippy::unwrap_used)] // a test may panic

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use common::world::{TOKEN, bearer};
use common::{Client, Gateway, Settings, request, wait_until};

/// Far more than any limit here, far less than the defaults.
const SOON: Duration = Duration::from_secs(15);

/// 1000 bytes in each second of waiting.
const LIMITS: &str = "body_timeout = \"1s\"\nmin_body_rate = 1000\nwebsocket_idle_timeout = \"4s\"";

fn gateway() -> Gateway {
    gateway_with("")
}

fn gateway_with(upstream: &str) -> Gateway {
    Gateway::start(&Settings { server: LIMITS.into(), upstream: upstream.into(), ..Settings::default() })
}

fn wait_for_slow(gateway: &Gateway, at: &str, times: u64) {
    gateway.counts(&format!("storegate_slow_peers_total{{at=\"{at}\"}} {times}"));
}

/// How often somebody was too slow at this.
fn slow(gateway: &Gateway, at: &str) -> u64 {
    let text = gateway.admin("/metrics").text();
    let name = format!("storegate_slow_peers_total{{at=\"{at}\"}} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&name));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
}

/// The line of the access log that holds this.
fn logged(gateway: &Gateway, part: &str) -> serde_json::Value {
    let line = wait_until(SOON, || gateway.out().lines().find(|line| line.contains(part)).map(str::to_owned));
    serde_json::from_str(&line.unwrap_or_else(|| panic!("no {part} in {}", gateway.said()))).unwrap()
}

/// Sends this over and over, until nobody takes it or a time has passed.
fn drip(client: &Client, bytes: &'static [u8], every: Duration) -> std::thread::JoinHandle<()> {
    let mut stream = client.stream().try_clone().unwrap();
    std::thread::spawn(move || {
        let end = Instant::now() + SOON;
        while Instant::now() < end && stream.write_all(bytes).is_ok() {
            std::thread::sleep(every);
        }
    })
}

fn upload(path: &str, length: usize) -> Vec<u8> {
    request(&format!("POST {path}"), &[bearer(TOKEN), vec![format!("Content-Length: {length}")]].concat())
}

#[test]
fn a_body_that_stops_or_drips_is_408() {
    let gateway = gateway();
    let chunked = [bearer(TOKEN), vec!["Transfer-Encoding: chunked".into()]].concat();
    let rows: [(&str, Vec<u8>, &'static [u8]); 4] = [
        ("it stops", upload("/free/a", 10_000), b""),
        ("it drips", upload("/free/a", 10_000), b"x"),
        ("chunks drip", request("POST /free/a", &chunked), b"1\r\nx\r\n"),
        ("the framing drips", [request("POST /free/a", &chunked), b"5;".to_vec()].concat(), b"a"),
    ];
    for (number, (what, head, drops)) in rows.into_iter().enumerate() {
        let begin = Instant::now();
        let mut client = gateway.connect();
        client.send(head);
        let dripping = drip(&client, drops, Duration::from_millis(50));
        let answer = client.answer(false).unwrap();
        assert_eq!((answer.status, answer.code().as_str()), (408, "request_timeout"), "{what}");
        assert_eq!(answer.field("connection").as_deref(), Some("close"), "{what}");
        let took = begin.elapsed();
        assert!(took > Duration::from_millis(900) && took < SOON, "{what}: {took:?}");
        assert!(client.is_closed(), "{what}");
        drop(client);
        dripping.join().unwrap();
        wait_for_slow(&gateway, "request_body", number as u64 + 1);
        gateway.upstream.take();
    }
    let line = logged(&gateway, "request_timeout");
    assert_eq!(
        (line["ended"].as_str(), line["status"].as_u64()),
        (Some("request_body"), Some(408)),
        "{line}"
    );
    assert_eq!(gateway.orders(&bearer(TOKEN)), 200);
}

/// Not as fast as that, but as fast as asked, for several windows.
#[test]
fn a_steady_body_passes_whatever_its_length() {
    // On a busy machine this client may pause for a second or two.
    let server = "body_timeout = \"3s\"\nmin_body_rate = 1000";
    let gateway = Gateway::start(&Settings { server: server.into(), ..Settings::default() });
    let mut client = gateway.connect();
    client.send(upload("/free/a", 160_000));
    for _ in 0..160 {
        client.send([b'x'; 1000]); // 20,000 bytes a second
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(client.answer(false).unwrap().text(), "{\"received\":160000}");
    assert_eq!(slow(&gateway, "request_body"), 0);
}

#[test]
fn once_an_answer_has_begun_a_slow_body_ends_the_connection() {
    // The answer must come within the window, on a busy machine too.
    let server = "body_timeout = \"4s\"";
    let gateway = Gateway::start(&Settings { server: server.into(), ..Settings::default() });
    let mut client = gateway.connect();
    client.send(upload("/free/begun", 10_000));
    assert!(client.head().starts_with("HTTP/1.1 200"));
    assert_eq!(client.exactly(10), b"5\r\nbegun\r\n");
    let begin = Instant::now();
    assert!(client.is_closed(), "neither another answer nor the last chunk of this one");
    assert!(begin.elapsed() < SOON);
    wait_for_slow(&gateway, "request_body", 1);
}

/// The upstream lets the client wait: no blame on the client.
#[test]
fn a_client_is_not_blamed_for_its_upstream() {
    let server = "body_timeout = \"2s\"\nmin_body_rate = 1000";
    let gateway = Gateway::start(&Settings { server: server.into(), ..Settings::default() });
    // It takes nothing for three seconds, while the client has more to send than all buffers hold.
    let mut client = gateway.connect();
    client.send(upload("/free/slow-reader", 32 << 20));
    let mut stream = client.stream().try_clone().unwrap();
    let sending = std::thread::spawn(move || stream.write_all(&vec![b'x'; 32 << 20]));
    assert_eq!(client.answer(false).unwrap().text(), format!("{{\"received\":{}}}", 32 << 20));
    sending.join().unwrap().unwrap();
    // It asks for the body late.
    let expect = [bearer(TOKEN), vec!["Content-Length: 2".into(), "Expect: 100-continue".into()]].concat();
    let mut client = gateway.connect();
    client.send(request("POST /free/late-continue", &expect));
    assert!(client.head().starts_with("HTTP/1.1 100"));
    client.send("{}");
    assert_eq!(client.answer(false).unwrap().status, 200);
    // It sends events when there are any.
    let events = gateway.ask("GET /free/events", &bearer(TOKEN));
    assert_eq!((events.status, events.body.len()), (200, 27));
    // It thinks for a while.
    let mut client = gateway.connect();
    client.send(request("GET /free/slow", &bearer(TOKEN)));
    std::thread::sleep(Duration::from_secs(3));
    gateway.upstream.release();
    assert_eq!(client.answer(false).unwrap().status, 200);
    let text = gateway.admin("/metrics").text();
    let ended: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("storegate_slow_peers_total") && !line.ends_with(" 0"))
        .collect();
    assert_eq!(ended, [""; 0]);
}

#[test]
fn a_client_that_was_asked_for_its_body_must_send_it() {
    let gateway = gateway();
    let expect = [bearer(TOKEN), vec!["Content-Length: 2".into(), "Expect: 100-continue".into()]].concat();
    let mut client = gateway.connect();
    client.send(request("POST /free/a", &expect));
    assert!(client.head().starts_with("HTTP/1.1 100"));
    assert_eq!(client.answer(false).unwrap().status, 408);
}

/// Reads until the end; says how many bytes came.
fn rest(stream: &mut TcpStream) -> usize {
    let (mut buffer, mut taken) = (vec![0; 1 << 16], 0);
    loop {
        match stream.read(&mut buffer) {
            Ok(read) if read > 0 => taken += read,
            _ => return taken,
        }
    }
}

#[test]
fn an_answer_that_is_not_taken_ends_the_connection() {
    let gateway = gateway();
    let ask = request("GET /free/stream?bytes=100000000", &bearer(TOKEN));
    // One takes nothing, the other a drop now and then.
    let (mut idle, mut dripping) = (gateway.connect(), gateway.connect());
    idle.send(&ask);
    dripping.send(&ask);
    let mut stream = dripping.stream().try_clone().unwrap();
    let taking = std::thread::spawn(move || {
        for _ in 0..80 {
            if !matches!(stream.read(&mut [0; 8]), Ok(read) if read > 0) {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    let both = wait_until(SOON, || (slow(&gateway, "response") == 2).then_some(()));
    assert!(both.is_some(), "{} ended", slow(&gateway, "response"));
    assert_eq!(gateway.orders(&bearer(TOKEN)), 200);
    let left = rest(&mut idle.stream().try_clone().unwrap());
    assert!(left < 100_000_000, "all of it came");
    assert_eq!(logged(&gateway, "\"ended\":\"response\"")["outcome"], "broken");
    taking.join().unwrap();
}

/// The gateway's socket has room again only after seconds, while the client takes what is there: that
/// nothing could be written for a window says nothing of the client.
#[test]
fn a_slow_and_steady_taker_gets_everything() {
    let server = "body_timeout = \"2s\"\nmin_body_rate = 1000";
    let gateway = Gateway::start(&Settings { server: server.into(), ..Settings::default() });
    let mut client = gateway.connect();
    let close = [bearer(TOKEN), vec!["Connection: close".into()]].concat();
    client.send(request("GET /free/stream?bytes=24000000", &close));
    let mut stream = client.stream().try_clone().unwrap();
    let (begin, mut taken) = (Instant::now(), 0);
    while begin.elapsed() < Duration::from_secs(6) {
        taken += stream.read(&mut [0; 20_000]).unwrap();
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(taken < 2_000_000, "{taken}");
    taken += rest(&mut stream);
    assert!(taken > 24_000_000, "{taken}");
    assert_eq!(slow(&gateway, "response"), 0);
}

#[test]
fn an_upstream_that_drips_is_ended() {
    let gateway = gateway_with("read_timeout = \"1s\"");
    // An answer of a stated length.
    let begin = Instant::now();
    let mut client = gateway.connect();
    client.send(request("GET /free/drip", &bearer(TOKEN)));
    assert!(client.answer(false).is_err(), "a thousand bytes in drops");
    assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
    wait_for_slow(&gateway, "upstream_answer", 1);
    assert_eq!(logged(&gateway, "upstream_answer")["outcome"], "broken");
    // A head, each byte of which is in time.
    let begin = Instant::now();
    let answer = gateway.ask("GET /free/drip-head", &bearer(TOKEN));
    assert_eq!((answer.status, answer.code().as_str()), (504, "gateway_timeout"));
    assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
    wait_for_slow(&gateway, "upstream_answer", 2);
    // A stream may come in drops, and interim answers may come first.
    let mut client = gateway.connect();
    client.send(request("GET /free/drip-chunked", &bearer(TOKEN)));
    assert!(client.head().starts_with("HTTP/1.1 200"));
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(4) {
        client.exactly(6);
    }
    let mut client = gateway.connect();
    client.send(request("GET /free/hints", &bearer(TOKEN)));
    let last = (0..9).map(|_| client.head()).find(|head| !head.starts_with("HTTP/1.1 103"));
    assert!(last.as_ref().is_some_and(|head| head.starts_with("HTTP/1.1 200")), "{last:?}");
    wait_for_slow(&gateway, "upstream_answer", 2);
}

#[test]
fn an_idle_websocket_hears_1001() {
    // Its silence has its own limit, not that of answers.
    let gateway = gateway_with("read_timeout = \"1s\"");
    let begin = Instant::now();
    let mut silent = gateway.websocket("/public/websocket", &[]);
    let mut ticking = gateway.websocket("/public/ticker", &[]);
    let mut talking = gateway.websocket("/public/websocket", &[]);
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(1500));
        talking.send(b"\x81\x02on");
        assert_eq!(talking.exactly(4), b"\x81\x02on");
    }
    assert_eq!(silent.exactly(4), [0x88, 2, 3, 0xE9], "close code 1001");
    assert!(silent.is_closed());
    wait_for_slow(&gateway, "websocket_idle", 1);
    // One side alone keeps it open.
    while begin.elapsed() < Duration::from_secs(6) {
        assert_eq!(ticking.exactly(2), b"\x89\x00");
    }
    talking.send(b"\x81\x02on");
    assert_eq!(talking.exactly(4), b"\x81\x02on");
    assert_eq!(logged(&gateway, "websocket_idle")["status"], 101);
}

/// The handshake has the time of any answer.
#[test]
fn an_upgrade_that_is_not_answered_is_504() {
    let gateway = gateway_with("read_timeout = \"1s\"");
    let begin = Instant::now();
    let answer = gateway.ask("GET /public/slow", &["Connection: Upgrade", "Upgrade: websocket"]);
    assert_eq!((answer.status, answer.code().as_str()), (504, "gateway_timeout"));
    assert!(begin.elapsed() > Duration::from_millis(900) && begin.elapsed() < SOON);
}

#[test]
fn without_a_rate_only_silence_ends_a_body() {
    let server = "body_timeout = \"3s\"\nmin_body_rate = 0";
    let gateway = Gateway::start(&Settings { server: server.into(), ..Settings::default() });
    let mut client = gateway.connect();
    client.send(upload("/free/a", 10));
    for _ in 0..10 {
        std::thread::sleep(Duration::from_millis(500));
        client.send("x");
    }
    assert_eq!(client.answer(false).unwrap().status, 200);
    client.send(upload("/free/a", 10));
    assert_eq!(client.answer(false).unwrap().status, 408);
}
