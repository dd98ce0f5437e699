//! Connections: kept after refusals, cut when a head does not come.

use std::io::Write;
use std::time::{Duration, Instant};

use crate::common::world::{MAIN, TOKEN, bearer, client};
use crate::common::{Gateway, Settings, request, wait_until};

#[test]
fn refusals_keep_the_connection() {
    let gateway = Gateway::start(&Settings::default());
    let mut connection = gateway.connect();
    let rows: [(&str, Vec<String>, &str, u16); 9] = [
        ("GET /api/apps/v1/orders", vec![], "", 401),
        ("GET /unknown", vec![], "", 404),
        ("DELETE /reports", vec![], "", 405),
        ("POST /api/apps/v1/orders", vec!["Content-Length: 11".into()], "hello world", 401),
        (
            "POST /api/apps/v1/orders",
            vec!["Transfer-Encoding: chunked".into()],
            "5\r\nhello\r\n0\r\n\r\n",
            401,
        ),
        ("POST /unknown", vec!["Content-Length: 0".into()], "", 404),
        (
            "POST /api/apps/v1/products",
            [client(&MAIN, "22"), vec!["Content-Length: 2".into()]].concat(),
            "{}",
            403,
        ),
        ("HEAD /api/apps/v1/orders", vec![], "", 401),
        ("GET /api/apps/v1/%zz", vec![], "", 400),
    ];
    for round in 0..3 {
        for (line, lines, body, status) in &rows {
            let bytes = [request(line, lines), body.as_bytes().to_vec()].concat();
            assert_eq!(connection.ask(bytes).status, *status, "{round} {line}");
            let good = connection.ask(request("GET /api/apps/v1/orders", &bearer(TOKEN)));
            assert_eq!(good.status, 200, "after {line}");
        }
    }
    assert_eq!(gateway.upstream.heads(), 3 * rows.len());
    assert!(gateway.upstream.take().iter().all(|seen| seen.line() == "GET /api/apps/v1/orders HTTP/1.1"));
    assert!(gateway.upstream.connections() <= 4, "connections to the upstream are reused");
}

#[test]
fn a_body_that_comes_after_the_refusal_is_not_the_next_request() {
    let gateway = Gateway::start(&Settings::default());
    let mut connection = gateway.connect();
    let smuggled = request("GET /public/smuggled", &[""; 0]);
    connection.send(request("POST /api/apps/v1/orders", &[format!("Content-Length: {}", smuggled.len())]));
    assert_eq!(connection.answer(false).unwrap().status, 401);
    connection.send(&smuggled);
    let next = connection.ask(request("GET /public/next", &[""; 0]));
    assert_eq!((next.status, gateway.upstream.one().target().as_str()), (200, "/public/next"));
}

#[test]
fn a_large_body_does_not_hide_the_refusal() {
    let gateway = Gateway::start(&Settings::default());
    let mut connection = gateway.connect();
    connection.send(request("POST /api/apps/v1/orders", &["Content-Length: 100000000"]));
    let mut stream = connection.stream().try_clone().unwrap();
    let sender = std::thread::spawn(move || while stream.write_all(&[b'x'; 65_536]).is_ok() {});
    let response = connection.answer(false).unwrap();
    assert_eq!((response.status, response.code().as_str()), (401, "missing_token"));
    connection.stream().shutdown(std::net::Shutdown::Both).unwrap();
    sender.join().unwrap();
    assert_eq!(gateway.upstream.heads(), 0);
}

#[test]
fn a_client_that_expects_to_be_asked_is_refused_at_once() {
    let gateway = Gateway::start(&Settings::default());
    let mut connection = gateway.connect();
    let lines = ["Content-Length: 1000", "Expect: 100-continue"];
    let response = connection.ask(request("POST /api/apps/v1/orders", &lines));
    assert_eq!(response.status, 401);
    assert!(connection.is_closed(), "the body's end is unknown");
}

#[test]
fn refusals_of_head_have_no_body() {
    let gateway = Gateway::start(&Settings::default());
    let mut connection = gateway.connect();
    for (path, status) in [("/api/apps/v1/orders", 401), ("/unknown", 404), ("/api/apps/v1/%00", 400)] {
        let response = connection.ask(request(&format!("HEAD {path}"), &[""; 0]));
        assert_eq!(response.status, status);
        assert_eq!(response.field("content-type").as_deref(), Some("application/json"));
        assert!(response.field("content-length").is_none_or(|length| length != "0"));
        // The next answer begins where this head ends.
        assert_eq!(connection.ask(request("GET /unknown", &[""; 0])).code(), "not_found");
    }
    assert_eq!(connection.ask(request("HEAD /public/a", &[""; 0])).status, 200);
    assert_eq!(connection.ask(request("GET /public/a", &[""; 0])).text(), "{\"received\":0}");
}

#[test]
fn http_1_0_and_close_are_understood() {
    let gateway = Gateway::start(&Settings::default());
    for bytes in [
        "GET /public/a HTTP/1.0\r\nHost: api.example.test\r\n\r\n",
        "GET /unknown HTTP/1.0\r\nHost: api.example.test\r\n\r\n",
        "GET /public/a HTTP/1.1\r\nHost: api.example.test\r\nConnection: close\r\n\r\n",
        "GET /unknown HTTP/1.1\r\nHost: api.example.test\r\nConnection: close\r\n\r\n",
    ] {
        let mut connection = gateway.connect();
        let response = connection.ask(bytes);
        assert!([200, 404].contains(&response.status), "{bytes}");
        assert!(connection.is_closed(), "{bytes}");
    }
}

#[test]
fn a_head_must_come_in_time() {
    let gateway =
        Gateway::start(&Settings { server: "header_timeout = \"2s\"".into(), ..Settings::default() });
    let begin = Instant::now();
    // One after another byte, none late: the whole head has the deadline.
    let mut dripping = gateway.connect();
    dripping.send("GET /public/a HTTP/1.1\r\nX: ");
    let mut stream = dripping.stream().try_clone().unwrap();
    let drip = std::thread::spawn(move || {
        wait_until(Duration::from_secs(20), || {
            std::thread::sleep(Duration::from_millis(100));
            stream.write_all(b"a").is_err().then_some(())
        })
    });
    let mut silent = gateway.connect();
    let mut begun = gateway.connect();
    begun.send("GET /");
    // A connection that has served a request, and stops within the next head.
    let mut second = gateway.connect();
    assert_eq!(second.ask(request("GET /public/a", &[""; 0])).status, 200);
    assert!(silent.is_closed(), "a silent connection");
    assert!(begun.is_closed(), "half a line");
    assert!(drip.join().unwrap().is_some(), "a dripping head");
    assert!(begin.elapsed() < Duration::from_secs(9), "{:?}", begin.elapsed());
    // Idleness between requests is another matter.
    assert_eq!(second.ask(request("GET /public/a", &[""; 0])).status, 200);
    assert_eq!(gateway.upstream.heads(), 2);
}

#[test]
fn so_must_the_second_head_of_a_connection() {
    let gateway =
        Gateway::start(&Settings { server: "header_timeout = \"2s\"".into(), ..Settings::default() });
    let mut dripping = gateway.connect();
    assert_eq!(dripping.ask(request("GET /public/a", &[""; 0])).status, 200);
    let begin = Instant::now();
    let mut stream = dripping.stream().try_clone().unwrap();
    let cut = wait_until(Duration::from_secs(20), || {
        std::thread::sleep(Duration::from_millis(100));
        stream.write_all(b"G").is_err().then_some(())
    });
    assert!(cut.is_some() && begin.elapsed() < Duration::from_secs(9), "{:?}", begin.elapsed());
}

#[test]
fn there_are_so_many_places_for_connections() {
    let settings = "max_connections = 64\nmax_connections_per_address = 4";
    let gateway = Gateway::start(&Settings { server: settings.into(), ..Settings::default() });
    let mut taken: Vec<_> = (0..4).map(|_| gateway.connect()).collect();
    for connection in &mut taken {
        assert_eq!(connection.ask(request("GET /public/a", &[""; 0])).status, 200);
    }
    assert!(gateway.connect().is_closed(), "a fifth");
    gateway.counts("storegate_connections 4");
    gateway.counts("storegate_connections_refused_total 1");
    taken.pop();
    let again = wait_until(Duration::from_secs(20), || {
        let mut connection = gateway.connect();
        connection.send(request("GET /public/a", &[""; 0]));
        connection.answer(false).ok().filter(|response| response.status == 200).map(|_| ())
    });
    assert!(again.is_some(), "the place of one that left");
}

#[test]
fn a_slow_body_is_not_a_slow_head() {
    let gateway =
        Gateway::start(&Settings { server: "header_timeout = \"2s\"".into(), ..Settings::default() });
    let mut connection = gateway.connect();
    connection.send(request("POST /public/slow", &["Content-Length: 2"]));
    std::thread::sleep(Duration::from_millis(2500)); // the deadline of the head passes
    connection.send("{}");
    gateway.upstream.release();
    assert_eq!(connection.answer(false).unwrap().status, 200);
}
