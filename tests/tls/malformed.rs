//! Heads over HTTP/2 that are wrong: what the client is told; the upstream receives nothing.

use crate::common::Gateway;
use crate::frames::{CONTINUATION, END_HEADERS, END_STREAM, Fate, Frames, HEADERS, block};
use crate::pki::Authority;
use crate::server::{NAME, gateway};

pub(crate) const PROTOCOL_ERROR: u32 = 1;

pub(crate) type Fields<'a> = Vec<(&'a str, &'a [u8])>;

pub(crate) fn good<'a>(method: &'a str, path: &'a [u8]) -> Fields<'a> {
    vec![
        (":method", method.as_bytes()),
        (":scheme", b"https"),
        (":authority", NAME.as_bytes()),
        (":path", path),
    ]
}

pub(crate) fn with<'a>(more: &[(&'a str, &'a [u8])]) -> Fields<'a> {
    good("GET", b"/public/a").into_iter().chain(more.iter().copied()).collect()
}

pub(crate) fn without(name: &str) -> Fields<'static> {
    good("GET", b"/public/a").into_iter().filter(|(own, _)| *own != name).collect()
}

pub(crate) fn instead(name: &str, value: &'static [u8]) -> Fields<'static> {
    good("GET", b"/public/a")
        .into_iter()
        .map(|(own, before)| (own, if own == name { value } else { before }))
        .collect()
}

/// One request on a connection of its own, in one HEADERS frame.
pub(crate) fn fate(gateway: &Gateway, authority: &Authority, fields: &[(&str, &[u8])]) -> Fate {
    let mut frames = Frames::connect(gateway.address, authority);
    frames.send(HEADERS, END_HEADERS | END_STREAM, 1, &block(fields));
    frames.fate(1)
}

/// What becomes of a request.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// Answered in JSON, with this status and code.
    Json(u16, &'static str),
    /// Answered with 400 alone.
    Bare,
    /// Its stream was reset with `PROTOCOL_ERROR`.
    Reset,
    /// Its connection was ended with `PROTOCOL_ERROR`.
    Gone,
}
use End::{Bare, Gone, Json, Reset};

const BAD: End = Json(400, "invalid_request");
const NEVER: End = Json(405, "method_not_allowed");

type Case<'a> = (&'static str, Fields<'a>, End);

/// Sections 8.2 and 8.2.1: names and values.
fn names_and_values() -> Vec<Case<'static>> {
    vec![
        ("an upper-case name", with(&[("X-Store-Id", b"22")]), Gone),
        ("one upper-case letter", with(&[("x-store-iD", b"22")]), Gone),
        ("an empty name", with(&[("", b"22")]), Gone),
        ("a blank in a name", with(&[("x store", b"22")]), Gone),
        ("a blank behind a name", with(&[("x-store-id ", b"22")]), Gone),
        ("a tab in a name", with(&[("x\tstore", b"22")]), Gone),
        ("a colon in a name", with(&[("x:store", b"22")]), Gone),
        ("a line end in a name", with(&[("x\r\ny", b"22")]), Gone),
        ("a field in a name", with(&[("x: y\r\nx-store-id", b"22")]), Gone),
        ("NUL in a name", with(&[("x\0y", b"22")]), Gone),
        ("a byte above ASCII in a name", with(&[("x-\u{e9}", b"22")]), Gone),
        ("brackets in a name", with(&[("x[y]", b"22")]), Gone),
        ("a line end in a value", with(&[("x-a", b"b\r\nx-store-id: 22")]), Gone),
        ("a line feed in a value", with(&[("x-a", b"b\nx-store-id: 22")]), Gone),
        ("a carriage return in a value", with(&[("x-a", b"b\r")]), Gone),
        ("a second request in a value", with(&[("x-a", b"b\r\n\r\nGET /api HTTP/1.1\r\n")]), Gone),
        ("NUL in a value", with(&[("x-a", b"b\0c")]), Gone),
        ("DEL in a value", with(&[("x-a", b"b\x7f")]), Gone),
        ("an escape in a value", with(&[("x-a", b"\x1b[31m")]), Gone),
        ("a blank before a value", with(&[("x-a", b" b")]), BAD),
        ("a blank behind a value", with(&[("x-a", b"b ")]), BAD),
        ("a tab before a value", with(&[("x-a", b"\tb")]), BAD),
        ("a blank as value", with(&[("x-a", b" ")]), BAD),
        ("a blank before a coding", with(&[("authorization", b" Bearer x")]), BAD),
    ]
}

/// Section 8.2.2: fields of a connection.
fn connection_fields() -> Vec<Case<'static>> {
    vec![
        ("connection", with(&[("connection", b"x-store-id")]), Reset),
        ("connection: close", with(&[("connection", b"close")]), Reset),
        ("an empty connection", with(&[("connection", b"")]), Reset),
        ("keep-alive", with(&[("keep-alive", b"timeout=9")]), Reset),
        ("proxy-connection", with(&[("proxy-connection", b"close")]), Reset),
        ("transfer-encoding", with(&[("transfer-encoding", b"chunked")]), Reset),
        ("an empty transfer-encoding", with(&[("transfer-encoding", b"")]), Reset),
        (
            "transfer-encoding and a length",
            with(&[("transfer-encoding", b"chunked"), ("content-length", b"0")]),
            Reset,
        ),
        ("upgrade", with(&[("upgrade", b"websocket")]), Reset),
        ("upgrade: h2c", with(&[("upgrade", b"h2c"), ("http2-settings", b"AAMAAABkAAQAAP__")]), Reset),
        ("te", with(&[("te", b"gzip")]), Reset),
        ("te and more", with(&[("te", b"trailers, gzip")]), Reset),
        ("te: chunked", with(&[("te", b"chunked")]), Reset),
        ("te with a weight", with(&[("te", b"trailers;q=0.5")]), Reset),
    ]
}

/// Section 8.3: pseudo-fields.
fn pseudo_fields() -> Vec<Case<'static>> {
    let late =
        |name: &'static str, value: &'static [u8]| [with(&[("x-a", b"b")]), vec![(name, value)]].concat();
    let extended =
        |protocol: &'static [u8]| [instead(":method", b"CONNECT"), vec![(":protocol", protocol)]].concat();
    vec![
        ("no method", without(":method"), Reset),
        ("no scheme", without(":scheme"), Reset),
        ("no path", without(":path"), Reset),
        ("no authority", without(":authority"), Bare),
        ("nothing", vec![], Reset),
        ("fields alone", vec![("x-a", b"b")], Reset),
        ("two paths", with(&[(":path", b"/public/b")]), Reset),
        ("an equal path twice", with(&[(":path", b"/public/a")]), Reset),
        ("two methods", with(&[(":method", b"POST")]), Reset),
        ("two schemes", with(&[(":scheme", b"http")]), Reset),
        ("two authorities", with(&[(":authority", b"other.example.test")]), Reset),
        ("an unknown pseudo-field", with(&[(":store", b"22")]), Gone),
        ("a pseudo-field without a name", with(&[(":", b"22")]), Gone),
        ("a pseudo-field in upper case", with(&[(":Path", b"/public/b")]), Gone),
        ("a pseudo-field of answers", with(&[(":status", b"200")]), Reset),
        ("a path that comes late", late(":path", b"/public/b"), Reset),
        ("a method that comes late", late(":method", b"POST"), Reset),
        ("an authority that comes late", late(":authority", b"other.example.test"), Reset),
        ("a method that is none", instead(":method", b"GE T"), Gone),
        ("an empty method", instead(":method", b""), Gone),
        ("a request line as method", instead(":method", b"GET /api HTTP/1.1\r\nX: y\r\n\r\nGET"), Gone),
        ("CONNECT", instead(":method", b"CONNECT"), Reset),
        (
            "CONNECT with an authority alone",
            vec![(":method", b"CONNECT"), (":authority", b"gateway.example.test:80")],
            NEVER,
        ),
        ("CONNECT to another port", vec![(":method", b"CONNECT"), (":authority", b"127.0.0.1:22")], NEVER),
        ("WebSocket over HTTP/2", extended(b"websocket"), Reset),
        ("another protocol over HTTP/2", extended(b"connect-udp"), Reset),
        ("an empty protocol", extended(b""), Reset),
        ("a protocol without CONNECT", with(&[(":protocol", b"websocket")]), Reset),
        ("TRACE", instead(":method", b"TRACE"), NEVER),
        ("another scheme", instead(":scheme", b"ftp"), BAD),
        ("a scheme that is none", instead(":scheme", b"ht tp"), Reset),
        ("an empty scheme", instead(":scheme", b""), BAD),
    ]
}

fn targets() -> Vec<Case<'static>> {
    vec![
        ("an empty path", instead(":path", b""), Reset),
        ("a path without a slash", instead(":path", b"public/a"), Reset),
        ("an asterisk", instead(":path", b"*"), BAD),
        ("an absolute path", instead(":path", b"https://other.example.test/public/a"), Reset),
        ("an absolute path of our own", instead(":path", b"https://gateway.example.test/public/a"), Reset),
        ("a path of another host", instead(":path", b"//other.example.test/../../.."), BAD),
        ("a blank in a path", instead(":path", b"/public/a b"), Reset),
        (
            "a request line in a path",
            instead(":path", b"/public/a HTTP/1.1\r\nX-Store-Id: 22\r\n\r\n"),
            Reset,
        ),
        ("a line feed in a path", instead(":path", b"/public/a\nb"), Reset),
        ("a tab in a path", instead(":path", b"/public/a\tb"), Reset),
        ("NUL in a path", instead(":path", b"/public/a\0"), Reset),
        ("DEL in a path", instead(":path", b"/public/a\x7f"), Reset),
        ("a backslash", instead(":path", b"/public\\a"), BAD),
        ("angle brackets", instead(":path", b"/public/<a>"), Reset),
        ("a quote", instead(":path", b"/public/\"a"), BAD),
        ("a quote in the query", instead(":path", b"/public/a?\"b"), Reset),
        ("a bar", instead(":path", b"/public/a|b"), BAD),
        ("a caret", instead(":path", b"/public/a^b"), BAD),
        ("a backtick", instead(":path", b"/public/`a`"), Reset),
        ("braces", instead(":path", b"/public/{a}"), BAD),
        ("an encoded slash", instead(":path", b"/public/a%2fb"), BAD),
        ("an encoded backslash", instead(":path", b"/public/a%5cb"), BAD),
        ("an encoded NUL", instead(":path", b"/public/a%00"), BAD),
        ("an encoded line end", instead(":path", b"/public/a%0d%0ab"), BAD),
        ("a bad percent", instead(":path", b"/public/a%zz"), BAD),
        ("a percent sign alone", instead(":path", b"/public/a%"), BAD),
        ("raw UTF-8", instead(":path", b"/public/\xc3\xa4"), BAD),
        ("no UTF-8", instead(":path", b"/public/\xff"), Gone),
        ("a path that leaves the root", instead(":path", b"/public/../../a"), BAD),
        ("encoded dots that leave it", instead(":path", b"/%2e%2E/a"), BAD),
        ("dots with parameters", instead(":path", b"/public/..;/api/apps/v1/orders"), BAD),
    ]
}

fn authorities() -> Vec<Case<'static>> {
    let name = NAME.as_bytes();
    vec![
        ("a user", instead(":authority", b"user@gateway.example.test"), Bare),
        ("a user and a password", instead(":authority", b"a:b@gateway.example.test"), Bare),
        ("a path", instead(":authority", b"gateway.example.test/a"), Reset),
        ("a query", instead(":authority", b"gateway.example.test?a"), Reset),
        ("a fragment", instead(":authority", b"gateway.example.test#a"), Reset),
        ("a list", instead(":authority", b"a.test, b.test"), Reset),
        ("a blank", instead(":authority", b"a.test b.test"), Reset),
        ("an empty one", instead(":authority", b""), Reset),
        ("a port that is none", instead(":authority", b"a.test:x"), BAD),
        ("port 65536", instead(":authority", b"a.test:65536"), BAD),
        ("an empty port", instead(":authority", b"a.test:"), BAD),
        ("an open bracket", instead(":authority", b"[::1"), Reset),
        ("a percent triplet", instead(":authority", b"a%2etest"), Reset),
        ("an empty label", instead(":authority", b"a..test"), BAD),
        ("a wildcard", instead(":authority", b"*"), BAD),
        ("another host", with(&[("host", b"other.example.test")]), Bare),
        ("our host in another case", with(&[("host", b"GATEWAY.example.test")]), Bare),
        ("another port in host", with(&[("host", b"gateway.example.test:8443")]), Bare),
        ("an empty host", with(&[("host", b"")]), Bare),
        ("an equal host twice", with(&[("host", name), ("host", name)]), Bare),
        ("two hosts", with(&[("host", name), ("host", b"other.example.test")]), Bare),
        ("a list as host", with(&[("host", b"gateway.example.test, a")]), Bare),
        ("host alone, a list", [without(":authority"), vec![("host", b"a, b")]].concat(), BAD),
        ("host alone, twice", [without(":authority"), vec![("host", name), ("host", name)]].concat(), Bare),
        ("host alone, with a user", [without(":authority"), vec![("host", b"u@a")]].concat(), Bare),
        ("host alone, empty", [without(":authority"), vec![("host", b"")]].concat(), BAD),
    ]
}

/// Section 8.1.1: the length of the body, which has none here.
fn lengths() -> Vec<Case<'static>> {
    let length = |value: &'static [u8]| with(&[("content-length", value)]);
    vec![
        ("a length and no body", length(b"5"), Reset),
        ("two lengths", with(&[("content-length", b"0"), ("content-length", b"5")]), Reset),
        ("an equal length twice", with(&[("content-length", b"0"), ("content-length", b"0")]), BAD),
        ("a list", length(b"0, 0"), Reset),
        ("a plus sign", length(b"+0"), Reset),
        ("a minus sign", length(b"-1"), Reset),
        ("hexadecimal", length(b"0x0"), Reset),
        ("no digits", length(b""), Reset),
        ("a fraction", length(b"0.0"), Reset),
        ("a blank", length(b" 0"), Reset),
        ("beyond all", length(b"99999999999999999999999"), Reset),
    ]
}

/// What a request may not do in anybody's name, nor hide in more fields or bytes than allowed.
fn sizes() -> Vec<Case<'static>> {
    const NAMES: [&str; 16] = [
        "x-0", "x-1", "x-2", "x-3", "x-4", "x-5", "x-6", "x-7", "x-8", "x-9", "x-a", "x-b", "x-c", "x-d",
        "x-e", "x-f",
    ];
    let many: Vec<(&str, &[u8])> = NAMES.iter().cycle().take(101).map(|name| (*name, &b"y"[..])).collect();
    vec![("101 fields", with(&many), Json(431, "invalid_request"))]
}

/// Where the protocol allows an answer it is the one of HTTP/1; where it does not, stream or connection ends.
#[test]
fn malformed_heads_over_http2() {
    let authority = Authority::new("root");
    let gateway = gateway(&authority, "", &[]);
    let cases: Vec<Case<'_>> = [
        names_and_values(),
        connection_fields(),
        pseudo_fields(),
        targets(),
        authorities(),
        lengths(),
        sizes(),
    ]
    .into_iter()
    .flatten()
    .collect();
    let mut wrong = Vec::new();
    for (what, fields, expected) in &cases {
        let mut frames = Frames::connect(gateway.address, &authority);
        frames.send(HEADERS, END_HEADERS | END_STREAM, 1, &block(fields));
        let (fate, body) = frames.answer(1);
        let as_expected = match (expected, fate) {
            (Json(status, code), Fate::Status(found)) => {
                let body: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
                found == *status && body["code"] == *code && body["status"] == *status
            }
            (Bare, Fate::Status(400)) => body.is_empty(),
            (Reset, Fate::Reset(PROTOCOL_ERROR)) | (Gone, Fate::Goaway(PROTOCOL_ERROR)) => true,
            _ => false,
        };
        if !as_expected {
            wrong.push(format!(
                "{what}: {fate:?} {} in place of {expected:?}",
                String::from_utf8_lossy(&body)
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(gateway.upstream.heads(), 0, "{:?}", gateway.upstream.take());
    assert_eq!(fate(&gateway, &authority, &with(&[])), Fate::Status(200), "it goes on");
    assert!(cases.len() >= 139, "{} cases", cases.len());
    println!("{} malformed heads over HTTP/2", cases.len());
}

/// In as many frames as it takes.
#[test]
fn a_head_too_large_in_many_frames() {
    let authority = Authority::new("root");
    let gateway = gateway(&authority, "", &[]);
    let long = vec![b'x'; 40_000];
    let mut frames = Frames::connect(gateway.address, &authority);
    let block = block(&with(&[("x-long", &long)]));
    let parts: Vec<&[u8]> = block.chunks(16_000).collect();
    for (at, part) in parts.iter().enumerate() {
        let (kind, flags) = if at == 0 { (HEADERS, END_STREAM) } else { (CONTINUATION, 0) };
        frames.send(kind, flags | if at + 1 == parts.len() { END_HEADERS } else { 0 }, 1, part);
    }
    assert_eq!(frames.fate(1), Fate::Status(431));
    assert_eq!(gateway.upstream.heads(), 0);
}
