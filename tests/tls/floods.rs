//! Frames that are wrong, and floods of good ones: what becomes of the connection, and of the others.

use std::time::Duration;

use crate::common::{Settings, wait_until};
use crate::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Fate, Frames, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, block, frame,
};
use crate::malformed::{PROTOCOL_ERROR, fate, good, with};
use crate::pki::Authority;
use crate::server::{gateway, gateway_with, tls};

const FRAME_SIZE_ERROR: u32 = 6;
const REFUSED_STREAM: u32 = 7;

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
