//! Requests that no two servers read alike are refused, and the upstream hears nothing of them.

use crate::common::world::{TOKEN, bearer};
use crate::common::{Client, Gateway, Response, Settings};

/// Sends `bytes` and reads the answer, if one comes before the connection ends.
fn send(gateway: &Gateway, bytes: &[u8]) -> Option<Response> {
    let mut client = Client::connect(gateway.address);
    client.send(bytes);
    client.stream().shutdown(std::net::Shutdown::Write).unwrap();
    client.answer(false).ok()
}

#[test]
fn ours_to_refuse() {
    let gateway = Gateway::start(&Settings::default());
    let host = "Host: api.example.test\r\n";
    let rows = [
        ("no Host", "GET /public/a HTTP/1.1\r\n\r\n".to_owned()),
        ("an empty Host", "GET /public/a HTTP/1.1\r\nHost:\r\n\r\n".to_owned()),
        ("a list of hosts", "GET /public/a HTTP/1.1\r\nHost: a.test, b.test\r\n\r\n".to_owned()),
        ("a path as host", "GET /public/a HTTP/1.1\r\nHost: a.test/x\r\n\r\n".to_owned()),
        ("a bad port", "GET /public/a HTTP/1.1\r\nHost: a.test:x\r\n\r\n".to_owned()),
        (
            "both framings",
            format!(
                "POST /public/a HTTP/1.1\r\n{host}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
            ),
        ),
        (
            "both, the other way",
            format!(
                "POST /public/a HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"
            ),
        ),
        (
            "an equal length twice",
            format!("POST /public/a HTTP/1.1\r\n{host}Content-Length: 2\r\nContent-Length: 2\r\n\r\n{{}}"),
        ),
        ("a list of lengths", format!("POST /public/a HTTP/1.1\r\n{host}Content-Length: 2, 2\r\n\r\n{{}}")),
        ("a fragment", format!("GET /public/a#/b HTTP/1.1\r\n{host}\r\n")),
        ("dots with parameters", format!("GET /public/..;/api/apps/v1/orders HTTP/1.1\r\n{host}\r\n")),
        ("encoded dots with parameters", format!("GET /public/%2e%2E%3bx/api HTTP/1.1\r\n{host}\r\n")),
        ("a bad percent", format!("GET /public/a%zz HTTP/1.1\r\n{host}\r\n")),
    ];
    for (what, bytes) in rows {
        let response = send(&gateway, bytes.as_bytes()).unwrap_or_else(|| panic!("{what}: no answer"));
        assert_eq!((response.status, response.code().as_str()), (400, "invalid_request"), "{what}");
        assert_eq!(response.field("content-type").as_deref(), Some("application/json"), "{what}");
        assert_eq!(response.field("cache-control").as_deref(), Some("no-store"), "{what}");
    }
    assert_eq!(gateway.upstream.heads(), 0);
}

#[test]
fn never_understood() {
    let gateway = Gateway::start(&Settings::default());
    let host = "Host: api.example.test\r\n";
    let token = &bearer(TOKEN)[0];
    let rows: Vec<Vec<u8>> = [
        format!("GET /public/a HTTP/1.1\r\n{host}{host}\r\n"),
        format!("GET /public/a HTTP/1.1\r\n{host}Host: other.test\r\n\r\n"),
        "GET /public/a HTTP/1.1\r\nHost: user@api.example.test\r\n\r\n".to_owned(),
        format!("GET http://other.test/public/a HTTP/1.1\r\n{host}\r\n"),
        format!("POST /public/a HTTP/1.1\r\n{host}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{{}}"),
        format!("POST /public/a HTTP/1.1\r\n{host}Content-Length: +2\r\n\r\n{{}}"),
        format!("POST /public/a HTTP/1.1\r\n{host}Content-Length: -2\r\n\r\n{{}}"),
        format!("POST /public/a HTTP/1.1\r\n{host}Content-Length: 0x2\r\n\r\n{{}}"),
        format!("POST /public/a HTTP/1.1\r\n{host}Content-Length: 99999999999999999999\r\n\r\n{{}}"),
        format!("POST /public/a HTTP/1.1\r\n{host}Content-Length:\r\n\r\n{{}}"),
        format!("POST /public/a HTTP/1.1\r\n{host}Transfer-Encoding: identity\r\n\r\n{{}}"),
        format!("POST /public/a HTTP/1.1\r\n{host}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
        format!("POST /public/a HTTP/1.1\r\n{host}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
        format!("POST /public/a HTTP/1.0\r\n{host}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        format!("GET /public/a HTTP/1.1\r\n{host}X-Folded: a\r\n b\r\n\r\n"),
        format!("GET /public/a HTTP/1.1\r\n{host}X-Space : a\r\n\r\n"),
        format!("GET /public/a HTTP/1.1\r\n{host}X Space: a\r\n\r\n"),
        format!("GET /public/a HTTP/1.1\r\n{host}no colon\r\n\r\n"),
        format!("GET /public/a HTTP/1.1\r\n{host}X-Nul: a\0b\r\n\r\n"),
        format!("GET /public/a HTTP/1.1\r\n{host}X-Cr: a\rX-Scopes: b\r\n\r\n"),
        format!("GET /public/a HTTP/1.1\r\n{host}:authority: x\r\n\r\n"),
        format!("GET /public/a HTTP/3.0\r\n{host}\r\n"),
        format!("GET /public/a HTTP/1.1\n{host}\r\n\r\n"),
        format!("GET /public/a HTTP/1.1\r\nX-Line: feed\n{host}\r\n"),
        format!("GET /public/a b HTTP/1.1\r\n{host}\r\n"),
        format!("GET  /public/a HTTP/1.1\r\n{host}\r\n"),
        format!("POST /public/a HTTP/1.1\r\n{host}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        format!("GET\t/public/a\tHTTP/1.1\r\n{host}\r\n"),
        "GET /public/a\r\n\r\n".to_owned(),
        format!("GET /public/\u{f6} HTTP/1.1\r\n{host}\r\n"),
        format!("GET public/a HTTP/1.1\r\n{host}{token}\r\n\r\n"),
        format!("TRACE /public/a HTTP/1.1\r\n{host}{token}\r\n\r\n"),
        format!("CONNECT api.example.test:80 HTTP/1.1\r\n{host}{token}\r\n\r\n"),
        format!("CONNECT /public/a HTTP/1.1\r\n{host}\r\n"),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        "\x16\x03\x01\x02\0\x01\0\x01\u{fc}\x03\x03".to_owned(),
        "\r\n\r\n\r\n".to_owned(),
        "\0".repeat(100),
    ]
    .map(String::into_bytes)
    .to_vec();
    for bytes in &rows {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let response = send(&gateway, bytes);
        if !text.contains("\r\n\r\n") {
            continue; // no head, and nobody to answer
        }
        let response = response.unwrap_or_else(|| panic!("{text:?}: no answer"));
        assert!([400, 405].contains(&response.status), "{text:?}: {}", response.status);
        assert!(["invalid_request", "method_not_allowed"].contains(&response.code().as_str()), "{text:?}");
        assert_eq!(response.field("connection").as_deref(), Some("close"), "{text:?}");
        assert_eq!(response.field("allow").is_some(), response.status == 405, "{text:?}");
        assert_eq!(response.field("server"), None, "{text:?}");
        assert!(!response.text().contains(TOKEN), "{text:?}");
    }
    // What the upstream gets to see of a chunked body that breaks off is the head; it is never complete.
    let broken =
        ["zz\r\n", "+3\r\nabc\r\n", "0x3\r\nabc\r\n", "3\r\nabcdef\r\n", "3 \n", "ffffffffffffffffff\r\n"];
    let heads = gateway.upstream.heads();
    assert_eq!(heads, 0, "{:?}", gateway.upstream.take());
    for body in broken {
        let head = format!("POST /public/a HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\n{body}");
        let response = send(&gateway, head.as_bytes());
        assert!(response.is_none_or(|response| response.status == 400), "{body:?}");
    }
    assert!(gateway.upstream.take().iter().all(|seen| !seen.complete));
    assert_eq!(gateway.ask("GET /public/a", &[""; 0]).status, 200, "it goes on");
}

#[test]
fn heads_have_a_limit() {
    let gateway = Gateway::start(&Settings::default());
    let long = "a".repeat(33 * 1024);
    let many: Vec<_> = (0..150).map(|n| format!("X-{n}: a")).collect();
    let rows = [
        ("a long value", "GET /public/a".to_owned(), vec![format!("X-Long: {long}")]),
        ("a long name", "GET /public/a".to_owned(), vec![format!("{long}: x")]),
        ("a long target", format!("GET /public/{long}"), vec![]),
        ("a long query", format!("GET /public/a?{long}"), vec![]),
        ("many fields", "GET /public/a".to_owned(), many),
        ("a long token", "GET /api/apps/v1/orders".to_owned(), bearer(&long)),
        ("a long cookie", "GET /native/a".to_owned(), vec![format!("Cookie: {long}")]),
    ];
    for (what, line, lines) in rows {
        let response = gateway.ask(&line, &lines);
        assert!([400, 431].contains(&response.status), "{what}: {}", response.status);
        if response.status == 431 {
            assert_eq!(response.code(), "invalid_request", "{what}");
        }
    }
    let statuses: Vec<_> = [300_000, 2_000_000]
        .iter()
        .map(|length| {
            let mut client = Client::connect(gateway.address);
            let head =
                format!("GET /public/a HTTP/1.1\r\nHost: a.test\r\nX-Long: {}\r\n\r\n", "a".repeat(*length));
            let mut stream = client.stream().try_clone().unwrap();
            // It may be refused before it was sent.
            let sender =
                std::thread::spawn(move || std::io::Write::write_all(&mut stream, head.as_bytes()).is_ok());
            let status = client.answer(false).map_or(0, |response| response.status);
            sender.join().unwrap();
            status
        })
        .collect();
    assert!(statuses.iter().all(|status| [0, 400, 431].contains(status)), "{statuses:?}");
    assert_eq!(gateway.upstream.heads(), 0);
    assert_eq!(gateway.ask("GET /public/a", &[format!("X-Fits: {}", &long[..16 * 1024])]).status, 200);
}
