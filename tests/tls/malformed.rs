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

/// Refused by an answer, a reset or the end of the connection.
fn is_refused(fate: Fate) -> bool {
    match fate {
        Fate::Status(status) => (400..=431).contains(&status),
        Fate::Reset(code) | Fate::Goaway(code) => code == PROTOCOL_ERROR,
        Fate::Closed => false,
    }
}

#[test]
fn malformed_heads_reach_nobody() {
    let authority = Authority::new("root");
    let gateway = gateway(&authority, "", &[]);
    let long = vec![b'x'; 40_000];
    let many: Vec<String> = (0..101).map(|n| format!("x-{n}")).collect();
    let rows: Vec<(&str, Fields<'_>)> = vec![
        // Section 8.2.1: names and values.
        ("an upper-case name", with(&[("X-Store-Id", b"22")])),
        ("an empty name", with(&[("", b"22")])),
        ("a blank in a name", with(&[("x store", b"22")])),
        ("a colon in a name", with(&[("x:store", b"22")])),
        ("a line end in a name", with(&[("x\r\ny", b"22")])),
        ("a line end in a value", with(&[("x-a", b"b\r\nx-store-id: 22")])),
        ("a carriage return in a value", with(&[("x-a", b"b\r")])),
        ("a NUL in a value", with(&[("x-a", b"b\0c")])),
        // Section 8.2.2: fields of a connection.
        ("connection", with(&[("connection", b"x-store-id")])),
        ("connection: close", with(&[("connection", b"close")])),
        ("keep-alive", with(&[("keep-alive", b"timeout=9")])),
        ("proxy-connection", with(&[("proxy-connection", b"close")])),
        ("transfer-encoding", with(&[("transfer-encoding", b"chunked")])),
        ("upgrade", with(&[("upgrade", b"websocket")])),
        ("te", with(&[("te", b"gzip")])),
        ("te and more", with(&[("te", b"trailers, gzip")])),
        // Section 8.3: pseudo-fields.
        ("no method", without(":method")),
        ("no path", without(":path")),
        ("no authority", without(":authority")),
        ("two paths", with(&[(":path", b"/public/b")])),
        ("two methods", with(&[(":method", b"POST")])),
        ("two authorities", with(&[(":authority", b"other.example.test")])),
        ("an unknown pseudo-field", with(&[(":store", b"22")])),
        ("a pseudo-field of answers", with(&[(":status", b"200")])),
        ("a pseudo-field that comes late", [with(&[("x-a", b"b")]), vec![(":path", b"/public/b")]].concat()),
        ("a method that is none", instead(":method", b"GE T")),
        ("an empty method", instead(":method", b"")),
        ("CONNECT", instead(":method", b"CONNECT")),
        ("TRACE", instead(":method", b"TRACE")),
        ("an empty path", instead(":path", b"")),
        ("a path without a slash", instead(":path", b"public/a")),
        ("an asterisk", instead(":path", b"*")),
        ("an absolute path", instead(":path", b"https://other.example.test/public/a")),
        ("a path of another host", instead(":path", b"//other.example.test/../public/a/../../..")),
        ("a blank in a path", instead(":path", b"/public/a b")),
        ("a request line in a path", instead(":path", b"/public/a HTTP/1.1\r\nX-Store-Id: 22\r\n\r\n")),
        ("a NUL in a path", instead(":path", b"/public/a\0")),
        ("a backslash", instead(":path", b"/public\\a")),
        ("an encoded slash", instead(":path", b"/public/a%2fb")),
        ("an encoded line end", instead(":path", b"/public/a%0d%0ab")),
        ("a bad percent", instead(":path", b"/public/a%zz")),
        ("raw UTF-8", instead(":path", "/public/ä".as_bytes())),
        ("a path that leaves the root", instead(":path", b"/public/../../a")),
        ("a user in the authority", instead(":authority", b"user@gateway.example.test")),
        ("a path in the authority", instead(":authority", b"gateway.example.test/a")),
        ("a list as authority", instead(":authority", b"a.test, b.test")),
        ("an empty authority", instead(":authority", b"")),
        ("another host", with(&[("host", b"other.example.test")])),
        ("two hosts", with(&[("host", NAME.as_bytes()), ("host", NAME.as_bytes())])),
        // The length of the body.
        ("a length and no body", with(&[("content-length", b"5")])),
        ("two lengths", with(&[("content-length", b"0"), ("content-length", b"5")])),
        ("a length that is none", with(&[("content-length", b"+0")])),
        ("a negative length", with(&[("content-length", b"-1")])),
        ("a length beyond all", with(&[("content-length", b"99999999999999999999999")])),
        // Sizes.
        ("too many fields", with(&many.iter().map(|name| (name.as_str(), &b"y"[..])).collect::<Vec<_>>())),
    ];
    for (what, fields) in &rows {
        let fate = fate(&gateway, &authority, fields);
        assert!(is_refused(fate), "{what}: {fate:?}");
    }
    // In as many frames as it takes.
    let fields = with(&[("x-long", &long)]);
    let mut frames = Frames::connect(gateway.address, &authority);
    let block = block(&fields);
    let parts: Vec<&[u8]> = block.chunks(16_000).collect();
    for (at, part) in parts.iter().enumerate() {
        let (kind, flags) = if at == 0 { (HEADERS, END_STREAM) } else { (CONTINUATION, 0) };
        frames.send(kind, flags | if at + 1 == parts.len() { END_HEADERS } else { 0 }, 1, part);
    }
    assert_eq!(frames.fate(1), Fate::Status(431));
    assert_eq!(gateway.upstream.heads(), 0, "{:?}", gateway.upstream.take());
    assert_eq!(fate(&gateway, &authority, &with(&[])), Fate::Status(200));
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
    ];
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
