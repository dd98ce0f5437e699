//! The same decisions over TLS, by HTTP/1.1 and by HTTP/2.

use std::io::{Read, Write};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::common::world::{MAIN, OTHER, TOKEN, TOKEN_EXPIRED, TOKEN_SUSPENDED, bearer, client, pair};
use crate::common::{Gateway, Session, Settings};
use crate::pki::Authority;
use crate::secure::{Http2, Secure, block_on, request};
use crate::server::{NAME, gateway, gateway_with, tls};

/// Method, path, field lines, status and code.
type Row = (&'static str, &'static str, Vec<String>, u16, &'static str);

fn rows() -> Vec<Row> {
    let orders = "/api/apps/v1/orders";
    let none = Vec::new;
    let both = [bearer(TOKEN), client(&MAIN, "22")].concat();
    let twice = [bearer(TOKEN), bearer(TOKEN)].concat();
    let forged = vec!["X-Client-Id: x".to_owned(), "x_client_secret: y".to_owned()];
    vec![
        ("GET", orders, bearer(TOKEN), 200, ""),
        ("POST", orders, bearer(TOKEN), 200, ""),
        ("HEAD", orders, bearer(TOKEN), 200, ""),
        ("GET", orders, client(&MAIN, "22"), 200, ""),
        ("GET", "/api/apps/v1/orders?store_id=22", pair(MAIN.client_id, MAIN.secret), 200, ""),
        ("GET", "/public/a", none(), 200, ""),
        ("GET", "/api/apps/v1/%6Frders/../orders", bearer(TOKEN), 200, ""),
        ("GET", orders, none(), 401, "missing_token"),
        ("GET", orders, bearer("x"), 401, "invalid_token"),
        ("GET", orders, bearer(TOKEN_EXPIRED), 401, "invalid_token"),
        ("GET", orders, bearer(TOKEN_SUSPENDED), 403, "store_suspended"),
        ("GET", orders, client(&OTHER, "22"), 401, "not_installed"),
        ("GET", orders, client(&MAIN, "022"), 400, "invalid_store_id"),
        ("GET", orders, pair(MAIN.client_id, MAIN.secret), 400, "missing_store_id"),
        ("GET", orders, both, 400, "invalid_request"),
        ("GET", orders, twice, 400, "invalid_request"),
        ("GET", orders, forged, 401, "missing_token"),
        ("DELETE", "/api/apps/v1/products", bearer(TOKEN), 403, "insufficient_scope"),
        ("GET", "/nothing", bearer(TOKEN), 404, "not_found"),
        ("DELETE", "/reports", none(), 405, "method_not_allowed"),
        ("TRACE", "/public/a", none(), 405, "method_not_allowed"),
        ("GET", "/public/%2e%2e/%2e%2e/a", none(), 400, "invalid_request"),
        ("GET", "/public/a%2fb", none(), 400, "invalid_request"),
        ("GET", "/public/a%00", none(), 400, "invalid_request"),
    ]
}

/// What the upstream received of the rows that it was meant to receive, and of nothing else.
fn check_received(gateway: &Gateway, version: &str) {
    let seen = gateway.upstream.take();
    let expected: Vec<_> = rows().into_iter().filter(|row| row.3 == 200).collect();
    assert_eq!(seen.len(), expected.len(), "{version}: {seen:?}");
    for (exchange, (method, path, lines, ..)) in seen.iter().zip(expected) {
        let line = path.replace("/%6Frders/..", "");
        assert_eq!(exchange.line(), format!("{method} {line} HTTP/1.1"), "{version}");
        assert_eq!(exchange.field("host").as_deref(), Some(NAME), "{version}");
        assert_eq!(exchange.field("x-forwarded-proto").as_deref(), Some("https"), "{version}");
        assert_eq!(exchange.field("x-forwarded-host").as_deref(), Some(NAME), "{version}");
        assert_eq!(exchange.field("x-forwarded-for").as_deref(), Some("127.0.0.1"), "{version}");
        let store = (!lines.is_empty()).then_some("22");
        assert_eq!(exchange.field("x-store-id").as_deref(), store, "{version}: {exchange:?}");
        for gone in ["authorization", "x-client-secret", "x-client-cert-subject"] {
            assert_eq!(exchange.field(gone), None, "{version}: {gone}");
        }
    }
}

#[test]
fn decisions_over_tls_and_http1() {
    let authority = Authority::new("root");
    let gateway = gateway(&authority, "", &[]);
    let config = authority.trusted_by(&["http/1.1"], None);
    for (method, path, lines, status, code) in rows() {
        let mut bytes = format!("{method} {path} HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n");
        for line in &lines {
            bytes.push_str(&format!("{line}\r\n"));
        }
        bytes.push_str("\r\n");
        let mut connection = Secure::connect(gateway.address, &config).unwrap();
        if method == "HEAD" {
            // Its answer states a length and has no body.
            connection.0.write_all(bytes.as_bytes()).unwrap();
            let mut start = [0; 12];
            connection.0.read_exact(&mut start).unwrap();
            assert_eq!(&start[9..], b"200");
            continue;
        }
        let answer = connection.ask(bytes.as_bytes()).unwrap();
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{method} {path} {lines:?}");
    }
    check_received(&gateway, "HTTP/1.1");
}

#[test]
fn decisions_over_http2() {
    let authority = Authority::new("root");
    let gateway = gateway(&authority, "", &[]);
    let config = authority.trusted_by(&["h2"], None);
    block_on(async {
        let connection = Http2::connect(gateway.address, &config).await;
        for (method, path, lines, status, code) in rows() {
            let answer = connection.ask(request(method, path, &lines), b"").await.unwrap();
            let found = (answer.status.as_u16(), answer.code());
            assert_eq!(found, (status, code.to_owned()), "{method} {path} {lines:?}");
            if status != 200 {
                assert_eq!(answer.field("content-type"), Some("application/json"));
                assert_eq!(answer.field("cache-control"), Some("no-store"));
                assert_eq!(
                    answer.field("www-authenticate").is_some(),
                    status == 401 || code == "insufficient_scope"
                );
            }
            assert!(answer.field("x-request-id").is_some());
        }
    });
    check_received(&gateway, "HTTP/2");
}

/// Also where an upstream has failed, with and without a body.
#[test]
fn failures_of_upstreams_over_http2() {
    let authority = Authority::new("root");
    let gateway = gateway(&authority, "", &[]);
    let config = authority.trusted_by(&["h2"], None);
    block_on(async {
        let connection = Http2::connect(gateway.address, &config).await;
        for (method, path, code) in [("GET", "/public/close", "bad_gateway"), ("HEAD", "/public/close", "")] {
            let answer = connection.ask(request(method, path, &[""; 0]), b"").await.unwrap();
            assert_eq!((answer.status.as_u16(), answer.code().as_str()), (502, code), "{method} {path}");
        }
        for (method, code) in [("GET", "not_found"), ("HEAD", "")] {
            let answer = connection.ask(request(method, "/nothing", &[""; 0]), b"").await.unwrap();
            assert_eq!((answer.status.as_u16(), answer.code().as_str()), (404, code), "{method}");
        }
    });
}

/// A refusal comes through while the body is still on its way (some clients lose it otherwise), and the
/// connection goes on.
#[test]
fn a_refusal_over_http2_survives_an_upload() {
    let authority = Authority::new("root");
    let gateway = gateway(&authority, "", &[]);
    let config = authority.trusted_by(&["h2"], None);
    block_on(async {
        let connection = Http2::connect(gateway.address, &config).await;
        let body = vec![b'x'; 60_000];
        for _ in 0..5 {
            let upload = request("POST", "/api/apps/v1/orders", &[""; 0]);
            let answer = connection.ask(upload, &body).await.unwrap();
            assert_eq!((answer.status.as_u16(), answer.code().as_str()), (401, "missing_token"));
        }
        let upload = request("POST", "/api/apps/v1/orders", &bearer(TOKEN));
        let answer = connection.ask(upload, &body).await.unwrap();
        assert_eq!(answer.body, b"{\"received\":60000}");
    });
    assert_eq!(gateway.upstream.one().body.len(), 60_000);
}

/// RFC 9113 section 8.2.3.
#[test]
fn cookies_of_http2_are_joined() {
    let authority = Authority::new("root");
    let gateway = gateway(&authority, "", &[]);
    let config = authority.trusted_by(&["h2"], None);
    block_on(async {
        let connection = Http2::connect(gateway.address, &config).await;
        for lines in [&["cookie: a=1", "x-other: y", "cookie: b=2; c=3", "cookie: d"][..], &["cookie: a=1"]] {
            let answer = connection.ask(request("GET", "/public/a", lines), b"").await.unwrap();
            assert_eq!(answer.status, 200);
        }
    });
    let cookies: Vec<_> = gateway.upstream.take().iter().map(|seen| seen.field("cookie")).collect();
    assert_eq!(cookies, [Some("a=1; b=2; c=3; d".to_owned()), Some("a=1".to_owned())]);
}

/// Hop-by-hop fields that HTTP/2 allows, and what belongs to a proxy, end here.
#[test]
fn hop_by_hop_fields_of_http2_end_here() {
    let authority = Authority::new("root");
    let gateway = gateway(&authority, "", &[]);
    let config = authority.trusted_by(&["h2"], None);
    let lines = ["proxy-authorization: Basic eA==", "te: trailers", "trailer: x-late", "http2-settings: AA"];
    block_on(async {
        let connection = Http2::connect(gateway.address, &config).await;
        let answer = connection.ask(request("GET", "/public/hops", &lines), b"").await.unwrap();
        assert_eq!(answer.field("x-kept"), Some("yes"));
        for gone in ["x-own-hop", "keep-alive", "connection", "trailer"] {
            assert_eq!(answer.field(gone), None, "{gone}");
        }
    });
    let seen = gateway.upstream.one();
    for gone in ["proxy-authorization", "te", "trailer", "http2-settings"] {
        assert_eq!(seen.field(gone), None, "{gone}");
    }
}

#[test]
fn session_tokens_pass_by_http2() {
    let authority = Authority::new("root");
    let gateway = gateway(&authority, "", &[]);
    let config = authority.trusted_by(&["h2"], None);
    let token = Session::of(&MAIN, 22, 501).token();
    block_on(async {
        let connection = Http2::connect(gateway.address, &config).await;
        let answer = connection.ask(request("GET", "/tokens", &bearer(&token)), b"").await.unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
    });
    assert_eq!(gateway.upstream.one().field("x-auth-method").as_deref(), Some("session"));
}

/// A client that shakes hands and says nothing does not keep its place.
#[test]
fn a_silent_http2_connection_is_closed() {
    let authority = Authority::new("root");
    let server = format!("header_timeout = \"3s\"\n{}", tls(""));
    let gateway = gateway_with(&authority, &Settings { server, ..Settings::default() }, &[]);
    let config = authority.trusted_by(&["h2"], None);
    let preface_and_settings =
        [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &[0, 0, 0, 4, 0, 0, 0, 0, 0]].concat();
    for sent in [&b""[..], b"PRI * HT", &preface_and_settings] {
        let begin = Instant::now();
        let mut silent = Secure::connect(gateway.address, &config).unwrap();
        silent.0.write_all(sent).unwrap();
        let mut rest = Vec::new();
        let _ = silent.0.read_to_end(&mut rest); // settings may come; the end must
        assert!(begin.elapsed() < Duration::from_secs(10), "{sent:?}: {:?}", begin.elapsed());
    }
}

/// With the client that people have.
#[test]
fn curl_is_served_by_both_versions() {
    if Command::new("curl").arg("--version").output().is_err() {
        eprintln!("there is no curl: nothing was tried");
        return;
    }
    let authority = Authority::new("root");
    let gateway = gateway(&authority, "", &[]);
    let root = gateway.place.write("root.pem", &authority.pem());
    let port = gateway.address.port();
    for (version, number) in [("--http1.1", "1.1"), ("--http2", "2")] {
        for (lines, status) in [(bearer(TOKEN), "200"), (Vec::new(), "401")] {
            let mut curl = Command::new("curl");
            curl.args([
                "-s",
                "-o",
                "/dev/null",
                "-w",
                "%{http_version} %{http_code}",
                version,
                "--max-time",
                "20",
            ]);
            curl.arg("--cacert").arg(&root).arg("--resolve").arg(format!("{NAME}:{port}:127.0.0.1"));
            curl.args(["--noproxy", "*"]);
            for line in lines {
                curl.arg("-H").arg(line);
            }
            let done = curl.arg(format!("https://{NAME}:{port}/api/apps/v1/orders")).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&done.stdout), format!("{number} {status}"), "{done:?}");
        }
    }
}
