//! Frames that are in order, if odd: what an HTTP/1 upstream receives of them.

use crate::frames::{DATA, END_HEADERS, END_STREAM, Fate, Frames, HEADERS, block};
use crate::malformed::{Fields, fate, good, instead, with, without};
use crate::pki::Authority;
use crate::server::{NAME, gateway};

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
