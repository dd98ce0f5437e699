//! HTTP/2 that is wrong: what the client is told, and what the upstream receives of it.

use std::time::Duration;

use crate::common::{Gateway, Settings, wait_until};
use crate::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Fate, Frames, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, block, frame,
};
use crate::pki::Authority;
use crate::server::{NAME, gateway, gateway_with, tls};

const PROTOCOL_ERROR: u32 = 1;
const FRAME_SIZE_ERROR: u32 = 6;
const REFUSED_STREAM: u32 = 7;

type Fields<'a> = Vec<(&'a str, &'a [u8])>;

fn good<'a>(method: &'a str, path: &'a [u8]) -> Fields<'a> {
    vec![
        (":method", method.as_bytes()),
        (":scheme", b"https"),
        (":authority", NAME.as_bytes()),
        (":path", path),
    ]
}

fn with<'a>(more: &[(&'a str, &'a [u8])]) -> Fields<'a> {
    good("GET", b"/public/a").into_iter().chain(more.iter().copied()).collect()
}

fn without(name: &str) -> Fields<'static> {
    good("GET", b"/public/a").into_iter().filter(|(own, _)| *own != name).collect()
}

fn instead(name: &str, value: &'static [u8]) -> Fields<'static> {
    good("GET", b"/public/a")
        .into_iter()
        .map(|(own, before)| (own, if own == name { value } else { before }))
        .collect()
}

/// One request on a connection of its own, in one HEADERS frame.
fn fate(gateway: &Gateway, authority: &Authority, fields: &[(&str, &[u8])]) -> Fate {
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

/// Frames that are in order, the request line and some fields as the upstream received them.
#[test]
fn what_the_upstream_receives_of_http2() {
    let authority = Authority::new("root");
    let gateway = gateway(&authority, "", &[]);
    let name = NAME.as_bytes();
    let host_alone = [without(":authority"), vec![("host", name)]].concat();
    type Received = (&'static str, &'static str);
    let rows: Vec<(&str, Fields<'_>, &str, Vec<Received>)> = vec![
        ("nothing odd", with(&[]), "GET /public/a", vec![("host", NAME)]),
        ("host alone", host_alone, "GET /public/a", vec![("host", NAME), ("x-forwarded-host", NAME)]),
        ("host and authority", with(&[("host", name)]), "GET /public/a", vec![("host", NAME)]),
        ("scheme http", instead(":scheme", b"http"), "GET /public/a", vec![("x-forwarded-proto", "https")]),
        (
            "cookies in crumbs",
            with(&[("cookie", b"a=1"), ("x-a", b"b"), ("cookie", b"b=2"), ("cookie", b"c=3; d=4")]),
            "GET /public/a",
            vec![("cookie", "a=1; b=2; c=3; d=4")],
        ),
        ("te: trailers", with(&[("te", b"trailers")]), "GET /public/a", vec![("te", "")]),
        (
            "what is for this hop",
            with(&[("proxy-authorization", b"x"), ("http2-settings", b"AA"), ("trailer", b"x-a")]),
            "GET /public/a",
            vec![("proxy-authorization", ""), ("http2-settings", ""), ("trailer", "")],
        ),
        (
            "names of ours",
            with(&[
                ("x-store-id", b"66"),
                ("x_store_id", b"66"),
                ("x.scopes", b"admin"),
                ("x-subject", b"root"),
            ]),
            "GET /public/a",
            vec![("x-store-id", ""), ("x_store_id", ""), ("x.scopes", ""), ("x-subject", "")],
        ),
        (
            "who called",
            with(&[
                ("x-forwarded-for", b"6.6.6.6"),
                ("forwarded", b"for=6.6.6.6"),
                ("x_real_ip", b"6.6.6.6"),
            ]),
            "GET /public/a",
            vec![("x-forwarded-for", "127.0.0.1"), ("forwarded", ""), ("x_real_ip", "")],
        ),
        (
            "other spellings of a length",
            with(&[("content_length", b"5"), ("transfer.encoding", b"chunked")]),
            "GET /public/a",
            vec![("content_length", ""), ("transfer.encoding", ""), ("transfer-encoding", "")],
        ),
        ("dots", instead(":path", b"/x/../public/%61/./b?c=%2e"), "GET /public/a/b?c=%2e", vec![]),
        ("two slashes", instead(":path", b"/public//a"), "GET /public//a", vec![("host", NAME)]),
        // The parser drops a fragment before anybody decides: matched and forwarded is the rest.
        ("a fragment", instead(":path", b"/public/a#/../../api"), "GET /public/a", vec![]),
        ("a fragment in a query", instead(":path", b"/public/a?b#c"), "GET /public/a?b", vec![]),
        ("an unknown method", instead(":method", b"FROB"), "FROB /public/a", vec![]),
        (
            "a length of nothing",
            with(&[("content-length", b"0")]),
            "GET /public/a",
            vec![("content-length", "0")],
        ),
    ];
    for (what, fields, line, received) in rows {
        assert_eq!(fate(&gateway, &authority, &fields), Fate::Status(200), "{what}");
        let seen = gateway.upstream.one();
        assert_eq!(seen.line(), format!("{line} HTTP/1.1"), "{what}");
        for (name, value) in received {
            assert_eq!(seen.field(name).unwrap_or_default(), value, "{what}: {name}");
        }
    }
}

/// Fields behind a body are no fields of the request.
#[test]
fn trailers_of_requests_end_here() {
    let authority = Authority::new("root");
    let gateway = gateway(&authority, "", &[]);
    let mut frames = Frames::connect(gateway.address, &authority);
    frames.send(HEADERS, END_HEADERS, 1, &block(&good("POST", b"/public/a")));
    frames.send(DATA, 0, 1, b"abc");
    let late: Fields<'_> = vec![("x-store-id", b"66"), ("x-scopes", b"admin"), ("content-length", b"9")];
    frames.send(HEADERS, END_HEADERS | END_STREAM, 1, &block(&late));
    assert_eq!(frames.fate(1), Fate::Status(200));
    let seen = gateway.upstream.one();
    assert_eq!((seen.body.as_slice(), seen.complete), (&b"abc"[..], true));
    assert!(
        ["x-store-id", "x-scopes", "content-length", "trailer"].iter().all(|name| seen.field(name).is_none())
    );
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

/// Refused by an answer, a reset or the end of the connection.
fn is_refused(fate: Fate) -> bool {
    match fate {
        Fate::Status(status) => (400..=431).contains(&status),
        Fate::Reset(code) | Fate::Goaway(code) => code == PROTOCOL_ERROR,
        Fate::Closed => false,
    }
}

/// A body that is not as long as it says is known when it ends: the upstream may have its beginning, and
/// never a whole request.
#[test]
fn bodies_of_another_length_are_no_requests() {
    let authority = Authority::new("root");
    let gateway = gateway(&authority, "", &[]);
    for (stated, sent) in [("5", &b"abc"[..]), ("3", b"abcde"), ("1", b""), ("0", b"a")] {
        let mut frames = Frames::connect(gateway.address, &authority);
        let mut fields = good("POST", b"/public/a");
        fields.push(("content-length", stated.as_bytes()));
        frames.send(HEADERS, END_HEADERS, 1, &block(&fields));
        frames.send(DATA, END_STREAM, 1, sent);
        let fate = frames.fate(1);
        assert!(is_refused(fate), "{stated} and {sent:?}: {fate:?}");
    }
    // A request that states no body is whole without one.
    let whole: Vec<_> = gateway.upstream.take().into_iter().filter(|seen| seen.complete).collect();
    assert!(whole.iter().all(|seen| seen.field("content-length").as_deref() == Some("0")), "{whole:?}");
    assert!(whole.iter().all(|seen| seen.body.is_empty()));
}

#[test]
fn broken_frames_end_the_connection() {
    let authority = Authority::new("root");
    let gateway = gateway(&authority, "", &[]);
    let head = block(&good("GET", b"/public/a"));
    let headers = |flags, stream| frame(HEADERS, flags, stream, &head);
    let whole = END_HEADERS | END_STREAM;
    let rows: Vec<(&str, Vec<u8>)> = vec![
        ("DATA on no stream", frame(DATA, 0, 0, b"x")),
        ("HEADERS on no stream", headers(whole, 0)),
        ("HEADERS on a server's stream", headers(whole, 2)),
        ("DATA on an idle stream", frame(DATA, END_STREAM, 1, b"x")),
        ("CONTINUATION of nothing", frame(CONTINUATION, END_HEADERS, 1, &head)),
        ("another frame within a head", [headers(END_STREAM, 1), frame(PING, 0, 0, b"12345678")].concat()),
        (
            "another stream's CONTINUATION",
            [headers(END_STREAM, 1), frame(CONTINUATION, END_HEADERS, 3, b"")].concat(),
        ),
        ("a promise of a client", frame(5, END_HEADERS, 1, b"\0\0\0\x02")),
        ("a window of nothing", frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\0")),
        ("a window too large", frame(WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff")),
        ("SETTINGS on a stream", frame(SETTINGS, 0, 1, b"")),
        ("SETTINGS of half a setting", frame(SETTINGS, 0, 0, b"\0\x01\0")),
        ("SETTINGS with a bad value", frame(SETTINGS, 0, 0, b"\0\x02\0\0\0\x02")),
        ("a short PING", frame(PING, 0, 0, b"1234")),
        ("a reset of an idle stream", frame(RST_STREAM, 0, 1, b"\0\0\0\x08")),
        ("a frame too large", frame(DATA, 0, 1, &vec![0; 20_000])),
        ("padding longer than the frame", frame(HEADERS, whole | 8, 1, b"\xff\x00")),
        ("a field block that is none", frame(HEADERS, whole, 1, b"\xff\xff\xff\xff\xff\xff\xff\xff")),
        ("an index of nothing", frame(HEADERS, whole, 1, b"\xbe")),
        ("HTTP/1", b"GET /public/a HTTP/1.1\r\nHost: a\r\n\r\n".to_vec()),
        ("a long PING", frame(PING, 0, 0, b"123456789")),
        ("PING on a stream", frame(PING, 0, 1, b"12345678")),
        ("GOAWAY on a stream", frame(GOAWAY, 0, 1, &[0; 8])),
        ("a short GOAWAY", frame(GOAWAY, 0, 0, &[0; 4])),
        ("a reset of no stream", frame(RST_STREAM, 0, 0, b"\0\0\0\x08")),
        ("a short reset", [headers(END_HEADERS, 1), frame(RST_STREAM, 0, 1, b"\0\0")].concat()),
        ("a window of an idle stream", frame(WINDOW_UPDATE, 0, 1, b"\0\0\0\x01")),
        ("a short window", frame(WINDOW_UPDATE, 0, 0, b"\0\0\x01")),
        ("an acknowledgement with settings", frame(SETTINGS, 1, 0, b"\0\x03\0\0\0\x64")),
        ("a frame size too small", frame(SETTINGS, 0, 0, b"\0\x05\0\0\0\x01")),
        ("a window size too large", frame(SETTINGS, 0, 0, b"\0\x04\xff\xff\xff\xff")),
        ("a stream number that falls", [headers(whole, 5), headers(whole, 3)].concat()),
        ("HEADERS after the end", [headers(whole, 1), headers(whole, 1)].concat()),
        (
            "CONTINUATION after the end",
            [headers(whole, 1), frame(CONTINUATION, END_HEADERS, 1, &head)].concat(),
        ),
        (
            "CONTINUATION on no stream",
            [headers(END_STREAM, 1), frame(CONTINUATION, END_HEADERS, 0, b"")].concat(),
        ),
        ("DATA within a head", [headers(0, 1), frame(DATA, END_STREAM, 1, b"x")].concat()),
        (
            "a head on which itself depends",
            frame(HEADERS, whole | 0x20, 1, &[&[0, 0, 0, 1, 16][..], &head].concat()),
        ),
        (
            "padding of DATA longer than it",
            [headers(END_HEADERS, 1), frame(DATA, END_STREAM | 8, 1, b"\xffx")].concat(),
        ),
        (
            "a table size beyond the limit",
            frame(HEADERS, whole, 1, &[&[0x3f, 0xe1, 0xff, 0x03][..], &head].concat()),
        ),
        ("a string beyond its block", frame(HEADERS, whole, 1, b"\0\x7f\xff\xff\xff\x7fx")),
        ("a bad Huffman code", frame(HEADERS, whole, 1, b"\0\x84\xff\xff\xff\xff\x00")),
    ];
    println!("{} sequences of frames", rows.len());
    for (what, bytes) in rows {
        let mut frames = Frames::connect(gateway.address, &authority);
        frames.write(&bytes);
        match frames.fate(1) {
            Fate::Goaway(_) | Fate::Closed | Fate::Reset(PROTOCOL_ERROR | FRAME_SIZE_ERROR) => {}
            fate => panic!("{what}: {fate:?}"),
        }
    }
    assert_eq!(gateway.upstream.heads(), 0);
    assert_eq!(fate(&gateway, &authority, &with(&[])), Fate::Status(200));
}

/// The settings say 100, and a client that does not care is held to it.
#[test]
fn the_101st_stream_is_refused() {
    let authority = Authority::new("root");
    let gateway = gateway(&authority, "", &[]);
    let mut frames = Frames::connect(gateway.address, &authority);
    let settings = frames.next().unwrap();
    assert_eq!((settings.kind, settings.stream), (SETTINGS, 0));
    let values: Vec<(u8, u32)> = settings
        .payload
        .chunks(6)
        .map(|one| (one[1], u32::from_be_bytes(one[2..].try_into().unwrap())))
        .collect();
    assert!(values.contains(&(3, 100)), "SETTINGS_MAX_CONCURRENT_STREAMS: {values:?}");
    assert!(values.contains(&(6, 32_768 + 32 * 100)), "SETTINGS_MAX_HEADER_LIST_SIZE: {values:?}");
    let head = block(&good("GET", b"/public/slow"));
    for stream in (1..=201).step_by(2) {
        frames.send(HEADERS, END_HEADERS | END_STREAM, stream, &head);
    }
    assert_eq!(frames.fate(201), Fate::Reset(REFUSED_STREAM));
    gateway.upstream.wait_for_heads(100);
    assert!(frames.is_alive());
    gateway.upstream.release();
    assert_eq!(frames.fate(1), Fate::Status(200));
    assert_eq!(gateway.upstream.heads(), 100);
}

/// CVE-2023-44487: streams opened and reset without end. The connection goes, the others stay.
#[test]
fn rapid_resets_end_the_connection_that_sends_them() {
    let authority = Authority::new("root");
    let gateway = gateway(&authority, "", &[]);
    let mut frames = Frames::connect(gateway.address, &authority);
    let head = block(&good("GET", b"/public/a"));
    let mut flood = Vec::new();
    for stream in (1..20_000).step_by(2) {
        flood.extend(frame(HEADERS, END_HEADERS | END_STREAM, stream, &head));
        flood.extend(frame(RST_STREAM, 0, stream, b"\0\0\0\x08"));
    }
    frames.write(&flood);
    let ended = wait_until(Duration::from_secs(20), || match frames.next() {
        None => Some(true),
        Some(frame) => (frame.kind == GOAWAY).then_some(true),
    });
    assert_eq!(ended, Some(true));
    assert_eq!(fate(&gateway, &authority, &with(&[])), Fate::Status(200));
    assert!(gateway.upstream.heads() < 5_000, "{}", gateway.upstream.heads());
}

/// A head without an end (CVE-2024-27316) is cut off where the limit is.
#[test]
fn continuations_without_end() {
    let authority = Authority::new("root");
    let gateway = gateway(&authority, "", &[]);
    let mut frames = Frames::connect(gateway.address, &authority);
    frames.send(HEADERS, END_STREAM, 1, &block(&good("GET", b"/public/a")));
    let part = block(&[("x-a", &[b'b'; 10_000])]);
    for _ in 0..2_000 {
        frames.send(CONTINUATION, 0, 1, &part);
    }
    match frames.fate(1) {
        Fate::Goaway(_) | Fate::Closed | Fate::Status(431) | Fate::Reset(_) => {}
        fate => panic!("{fate:?}"),
    }
    assert!(gateway.memory("VmHWM") < 300_000, "{} KiB", gateway.memory("VmHWM"));
    assert_eq!(gateway.upstream.heads(), 0);
}

/// What HTTP/1.1 may send, HTTP/2 may: the limit of the head is one.
#[test]
fn a_head_as_large_as_allowed_passes() {
    let authority = Authority::new("root");
    let server = format!("max_head_bytes = 8192\nmax_header_fields = 20\n{}", tls(""));
    let gateway = gateway_with(&authority, &Settings { server, ..Settings::default() }, &[]);
    let (small, large) = (vec![b'x'; 7_900], vec![b'x'; 8_300]);
    assert_eq!(fate(&gateway, &authority, &with(&[("x-a", &small)])), Fate::Status(200));
    assert_eq!(gateway.upstream.take().len(), 1);
    assert_eq!(fate(&gateway, &authority, &with(&[("x-a", &large)])), Fate::Status(431));
    assert_eq!(gateway.upstream.heads(), 1);
}
