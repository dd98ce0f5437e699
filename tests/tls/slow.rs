//! Peers that are slow, silent or flooding, over TLS and HTTP/2: each is ended in time, and its neighbours
//! on the same connection go on.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::common::world::{MAIN, TOKEN, TOKEN_BOUND, bearer};
use crate::common::{Gateway, Session, Settings, now, wait_until};
use crate::frames::{
    DATA, END_HEADERS, END_STREAM, Fate, Frame, Frames, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, block, frame,
};
use crate::pki::Authority;
use crate::secure::{Http2, block_on, request};
use crate::server::{NAME, gateway, gateway_with, tls};

const NO_ERROR: u32 = 0;
const CANCEL: u32 = 8;

/// Far more than any limit here, far less than the defaults.
const SOON: Duration = Duration::from_secs(15);

/// Pieces of 16 KiB have two seconds. A client on a busy machine may pause for one.
const LIMITS: &str = "header_timeout = \"2s\"\nbody_timeout = \"2s\"\nmin_body_rate = 20000";

fn limited(authority: &Authority) -> Gateway {
    let server = format!("{LIMITS}\n{}", tls(""));
    gateway_with(authority, &Settings { server, ..Settings::default() }, &[])
}

fn wait_for_slow(gateway: &Gateway, at: &str, times: u64) {
    gateway.counts(&format!("storegate_slow_peers_total{{at=\"{at}\"}} {times}"));
}

/// How often somebody was too slow at this.
fn slow(gateway: &Gateway, at: &str) -> u64 {
    let text = gateway.admin("/metrics").text();
    let name = format!("storegate_slow_peers_total{{at=\"{at}\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&name)).unwrap().parse().unwrap()
}

fn head(method: &str, path: &str, lines: &[String]) -> Vec<u8> {
    let split: Vec<(String, &str)> = lines
        .iter()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value))
        .collect();
    let mut fields: Vec<(&str, &[u8])> = vec![
        (":method", method.as_bytes()),
        (":scheme", b"https"),
        (":authority", NAME.as_bytes()),
        (":path", path.as_bytes()),
    ];
    fields.extend(split.iter().map(|(name, value)| (name.as_str(), value.as_bytes())));
    block(&fields)
}

/// A new request on an old connection passes.
fn is_served(frames: &mut Frames, stream: u32) -> bool {
    frames.send(HEADERS, END_HEADERS | END_STREAM, stream, &head("GET", "/public/a", &[]));
    frames.fate(stream) == Fate::Status(200)
}

/// Reads until a stream is reset: with which code, and how much of its content came.
fn reset(frames: &mut Frames, stream: u32) -> (u32, usize) {
    let mut content = 0;
    while let Some(Frame { kind, stream: of, payload, .. }) = frames.next() {
        match kind {
            DATA if of == stream => content += payload.len(),
            RST_STREAM if of == stream => return (u32::from_be_bytes(payload.try_into().unwrap()), content),
            GOAWAY => panic!("the whole connection was ended"),
            _ => {}
        }
    }
    panic!("the whole connection was closed");
}

#[test]
fn a_handshake_must_come_in_time() {
    let authority = Authority::new("root");
    let gateway = limited(&authority);
    // A record of a ClientHello, half of it.
    let half = [&[22, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3][..], &[7; 60]].concat();
    let begin = Instant::now();
    let mut connections: Vec<TcpStream> = [&[][..], &[22], &half]
        .iter()
        .map(|sent| {
            let mut stream = TcpStream::connect(gateway.address).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            stream.write_all(sent).unwrap();
            stream
        })
        .collect();
    // Each byte in time, and the whole not.
    let mut dripping = connections.last().unwrap().try_clone().unwrap();
    let drip = std::thread::spawn(move || {
        while begin.elapsed() < SOON && dripping.write_all(&[7]).is_ok() {
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    let open = wait_until(SOON, || {
        gateway.admin("/metrics").text().contains("\nstoregate_connections 3\n").then_some(())
    });
    assert!(open.is_some(), "they are counted from the start");
    for stream in &mut connections {
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest); // an alert may come; the end must
    }
    assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
    drip.join().unwrap();
    wait_for_slow(&gateway, "tls_handshake", 3);
    assert!(is_served(&mut Frames::connect(gateway.address, &authority), 1));
    // What is no handshake ends at once, and fills no log.
    let mut plain = TcpStream::connect(gateway.address).unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let _ = plain.read_to_end(&mut Vec::new());
    assert!(!gateway.said().contains("ERROR"), "{}", gateway.said());
    gateway.counts("storegate_tls_handshake_failures_total 1");
}

/// Places are taken before hands are shaken.
#[test]
fn handshakes_count_as_connections() {
    let authority = Authority::new("root");
    let server = format!("max_connections_per_address = 2\n{}", tls(""));
    let gateway = gateway_with(&authority, &Settings { server, ..Settings::default() }, &[]);
    let _silent: Vec<TcpStream> = (0..2).map(|_| TcpStream::connect(gateway.address).unwrap()).collect();
    let mut third = TcpStream::connect(gateway.address).unwrap();
    third.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    assert!(matches!(third.read(&mut [0]), Ok(0) | Err(_)));
    gateway.counts("storegate_connections_refused_total 1");
}

#[test]
fn a_body_that_stops_or_drips_is_408_over_http2() {
    let authority = Authority::new("root");
    let gateway = limited(&authority);
    for (number, drops) in [false, true].into_iter().enumerate() {
        let mut frames = Frames::connect(gateway.address, &authority);
        frames.send(HEADERS, END_HEADERS, 1, &head("POST", "/free/a", &bearer(TOKEN)));
        let begin = Instant::now();
        let fate = if drops {
            let drip = frame(DATA, 0, 1, b"x");
            let answered = wait_until(SOON, || {
                frames.write(&drip);
                std::thread::sleep(Duration::from_millis(50));
                (slow(&gateway, "request_body") > number as u64).then_some(())
            });
            assert!(answered.is_some());
            frames.fate(1)
        } else {
            frames.fate(1)
        };
        assert_eq!(fate, Fate::Status(408));
        assert!(begin.elapsed() > Duration::from_millis(900) && begin.elapsed() < SOON);
        assert_eq!(reset(&mut frames, 1).0, NO_ERROR, "the rest of the body is not wanted");
        assert!(is_served(&mut frames, 3), "the connection goes on");
    }
    // And so with every stream that a connection may have.
    let mut frames = Frames::connect(gateway.address, &authority);
    for stream in (1..200).step_by(2) {
        frames.send(HEADERS, END_HEADERS, stream, &head("POST", "/free/a", &bearer(TOKEN)));
    }
    let mut answered = 0;
    while answered < 100 {
        answered += u32::from(frames.next().is_some_and(|frame| frame.kind == HEADERS));
    }
    assert!(is_served(&mut frames, 201));
    gateway.hear("request_timeout");
    let line = gateway.out().lines().find(|line| line.contains("request_timeout")).map(str::to_owned);
    assert!(line.as_ref().is_some_and(|line| line.contains("\"ended\":\"request_body\"")), "{line:?}");
}

/// Uploads that are steady, and answers that the client takes, pass at any length.
#[test]
fn large_bodies_pass_over_http2() {
    let authority = Authority::new("root");
    let gateway = limited(&authority);
    block_on(async {
        let connection = Http2::connect(gateway.address, &authority.trusted_by(&["h2"], None)).await;
        let answer = connection.ask(request("GET", "/free/stream?bytes=20000000", &bearer(TOKEN)), b"").await;
        assert_eq!(answer.unwrap().body.len(), 20_000_000);
        let answer = connection.ask(request("POST", "/free/a", &bearer(TOKEN)), &vec![b'x'; 5_000_000]).await;
        assert_eq!(answer.unwrap().body, b"{\"received\":5000000}");
        // Longer than a window, and silent.
        let answer = connection.ask(request("GET", "/free/events", &bearer(TOKEN)), b"").await.unwrap();
        assert_eq!(answer.body.len(), 27);
    });
    assert_eq!((slow(&gateway, "response"), slow(&gateway, "request_body")), (0, 0));
}

/// SETTINGS_INITIAL_WINDOW_SIZE 0, and windows that open by a byte: CVE-2019-9511 and its like.
#[test]
fn windows_that_do_not_open_end_their_streams() {
    let authority = Authority::new("root");
    let gateway = limited(&authority);
    let mut frames = Frames::connect(gateway.address, &authority);
    frames.send(SETTINGS, 0, 0, b"\0\x04\0\0\0\0");
    let ask = head("GET", "/free/stream?bytes=1000000", &bearer(TOKEN));
    for stream in [1, 3, 5] {
        frames.send(HEADERS, END_HEADERS | END_STREAM, stream, &ask);
    }
    let begin = Instant::now();
    let drops = wait_until(SOON, || {
        frames.send(WINDOW_UPDATE, 0, 3, b"\0\0\0\x01");
        std::thread::sleep(Duration::from_millis(50));
        (slow(&gateway, "response") == 3).then_some(())
    });
    assert!(drops.is_some(), "{} ended", slow(&gateway, "response"));
    assert!(begin.elapsed() > Duration::from_millis(900));
    assert_eq!(reset(&mut frames, 1), (CANCEL, 0));
    // Windows are the client's, for each stream: a new one with room is served.
    frames.send(HEADERS, END_HEADERS | END_STREAM, 7, &head("GET", "/public/a", &[]));
    frames.send(WINDOW_UPDATE, 0, 7, b"\0\0\xff\xff");
    assert_eq!(frames.fate(7), Fate::Status(200));
}

/// Windows wide open, and nothing read: what waits for the client is bounded and is not kept.
#[test]
fn a_client_that_reads_nothing_loses_its_connection() {
    let authority = Authority::new("root");
    let gateway = limited(&authority);
    let before = gateway.memory("VmRSS");
    let mut frames = Frames::connect(gateway.address, &authority);
    frames.send(SETTINGS, 0, 0, b"\0\x04\x7f\xff\xff\xff");
    frames.send(WINDOW_UPDATE, 0, 0, &(0x7fff_ffff_u32 - 65_535).to_be_bytes());
    let ask = head("GET", "/free/stream?bytes=100000000", &bearer(TOKEN));
    for stream in (1..200).step_by(2) {
        frames.send(HEADERS, END_HEADERS | END_STREAM, stream, &ask);
    }
    let ended = wait_until(SOON, || (slow(&gateway, "response") > 0).then_some(()));
    assert!(ended.is_some());
    let closed = wait_until(SOON, || {
        gateway.admin("/metrics").text().contains("\nstoregate_connections 0\n").then_some(())
    });
    assert!(closed.is_some());
    let peak = gateway.memory("VmHWM") - before;
    assert!(peak < 100_000, "{peak} KiB for 100 streams");
    assert!(is_served(&mut Frames::connect(gateway.address, &authority), 1));
}

/// CVE-2019-9512 and CVE-2019-9515: what must be acknowledged, from a client that reads no acknowledgement.
#[test]
fn floods_of_control_frames_end_the_connection() {
    let authority = Authority::new("root");
    let gateway = limited(&authority);
    let before = gateway.memory("VmRSS");
    let rows = [
        ("PING", frame(PING, 0, 0, b"12345678")),
        ("SETTINGS", frame(SETTINGS, 0, 0, b"\0\x04\0\0\xff\xff")),
        ("empty SETTINGS", frame(SETTINGS, 0, 0, b"")),
    ];
    for (number, (what, one)) in rows.into_iter().enumerate() {
        let mut frames = Frames::narrow(gateway.address, &authority);
        // So that it is past its first request, and its answer is read.
        assert!(is_served(&mut frames, 1), "{what}");
        let flood = one.repeat(16_384 / one.len());
        let begin = Instant::now();
        let is_over = || (slow(&gateway, "response") > number as u64).then_some(());
        let writing =
            std::thread::spawn(
                move || {
                    while begin.elapsed() < 2 * SOON && frames.try_write(&flood).is_ok() {}
                },
            );
        assert!(wait_until(2 * SOON, is_over).is_some(), "{what}");
        writing.join().unwrap();
        let peak = gateway.memory("VmHWM") - before;
        assert!(peak < 60_000, "{what}: {peak} KiB");
    }
    assert!(is_served(&mut Frames::connect(gateway.address, &authority), 1));
}

/// Frames that mean nothing, from a client that reads: others are served meanwhile, and nothing grows.
#[test]
fn floods_that_are_read_cost_no_memory() {
    let authority = Authority::new("root");
    let gateway = limited(&authority);
    let before = gateway.memory("VmRSS");
    let rows = [
        ("PING", frame(PING, 0, 0, b"12345678")),
        ("SETTINGS", frame(SETTINGS, 0, 0, b"")),
        ("WINDOW_UPDATE", frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\x01")),
        ("PRIORITY", frame(2, 0, 1, b"\0\0\0\0\x10")),
        ("empty DATA", frame(DATA, 0, 1, b"")),
        ("an unknown frame", frame(0x77, 0, 0, b"whatever")),
    ];
    for (what, one) in rows {
        let mut frames = Frames::connect(gateway.address, &authority);
        frames.send(HEADERS, END_HEADERS, 1, &head("POST", "/free/a", &bearer(TOKEN)));
        for _ in 0..50 {
            frames.write(&one.repeat(200));
            if !frames.is_alive() {
                break; // as good an answer as another
            }
        }
        let peak = gateway.memory("VmHWM") - before;
        assert!(peak < 40_000, "{what}: {peak} KiB");
        assert!(is_served(&mut Frames::connect(gateway.address, &authority), 1), "{what}");
    }
}

/// A stream whose credential is revoked or runs out is reset soon; the others of the connection, in the name of
/// others, go on.
#[test]
fn a_stream_ends_with_its_credential_and_alone() {
    let authority = Authority::new("root");
    let gateway = gateway(&authority, "", &[]);
    let mut frames = Frames::connect(gateway.address, &authority);
    let claims = |from: i64, to: i64| {
        format!(r#"{{"sub":22,"sid":501,"app_id":{},"iat":{from},"exp":{to}}}"#, MAIN.app_id)
    };
    // The session token runs out later than the other is revoked, on any but the busiest machine.
    for stream in [1, 3, 5] {
        let credential = match stream {
            1 => bearer(TOKEN),
            3 => bearer(TOKEN_BOUND),
            _ => bearer(&Session::of(&MAIN, 22, 501).claims(claims(now(), now() + 5)).token()),
        };
        let ask = head("GET", "/free/drip-chunked", &credential);
        frames.send(HEADERS, END_HEADERS | END_STREAM, stream, &ask);
        assert_eq!(frames.fate(stream), Fate::Status(200), "{stream}");
    }
    gateway.place.ok(&["token", "revoke", TOKEN]);
    let begin = Instant::now();
    let mut ended = std::collections::BTreeMap::new();
    while ended.len() < 2 {
        let frame = frames.next().expect("the connection goes on");
        assert_ne!(frame.kind, GOAWAY);
        if frame.kind == RST_STREAM {
            ended.insert(frame.stream, u32::from_be_bytes(frame.payload.try_into().unwrap()));
        }
    }
    assert_eq!(ended, [(1, CANCEL), (5, CANCEL)].into());
    assert!(begin.elapsed() < Duration::from_secs(15), "{:?}", begin.elapsed());
    // The third goes on, and so does the connection.
    loop {
        let frame = frames.next().unwrap();
        match (frame.kind, frame.stream) {
            (DATA, 3) => break,
            (RST_STREAM, 3) | (GOAWAY, _) => panic!("{frame:?}"),
            _ => {}
        }
    }
    assert!(is_served(&mut frames, 7));
    gateway.counts("storegate_connections_cut_total 2");
    gateway.hear_times("\"ended\":\"credential\"", 2);
}

/// Also one that the client does not take, and one on which nothing happens.
#[test]
fn silent_and_stuck_streams_end_with_their_credential() {
    let authority = Authority::new("root");
    let gateway = gateway(&authority, "", &[]);
    let mut frames = Frames::connect(gateway.address, &authority);
    frames.send(SETTINGS, 0, 0, b"\0\x04\0\0\0\0"); // no room for anything
    for (stream, path) in [(1, "/free/drip-chunked"), (3, "/free/events")] {
        frames.send(HEADERS, END_HEADERS | END_STREAM, stream, &head("GET", path, &bearer(TOKEN)));
        assert_eq!(frames.fate(stream), Fate::Status(200), "{path}");
    }
    gateway.place.ok(&["token", "revoke", TOKEN]);
    let begin = Instant::now();
    let mut open = vec![1, 3];
    while !open.is_empty() {
        let frame = frames.next().unwrap();
        assert_ne!(frame.kind, GOAWAY);
        open.retain(|stream| frame.kind != RST_STREAM || frame.stream != *stream);
    }
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
}
