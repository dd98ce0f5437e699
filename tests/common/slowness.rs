//! Upstreams that take their time, by the last segment of the path.

use std::io::{Result, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::reading::Wire;

/// Between two drops.
const TICK: Duration = Duration::from_millis(100);

/// What is done before the body of the request is read.
pub(super) fn before_body(wire: &mut Wire, path: &str) -> Result<()> {
    match path {
        // Longer than the tests give a client for its body.
        "late-continue" | "slow-reader" => std::thread::sleep(Duration::from_secs(3)),
        "begun" => {
            wire.stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegun\r\n")?
        }
        _ => {}
    }
    Ok(())
}

/// The answer, if the path asks for one of these; the connection ends with it.
pub(super) fn answer(out: &mut TcpStream, path: &str) -> Option<Result<()>> {
    Some(match path {
        "drip" => drip(out, b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b"d"),
        "drip-chunked" => drip(out, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nd\r\n"),
        "drip-head" => drip(out, b"HTTP/1.1 200 OK\r\nX-Long: ", b"x"),
        "hints" => hints(out),
        "events" => events(out),
        "ticker" => drip(
            out,
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
            b"\x89\x00", // a ping
        ),
        "begun" => out.write_all(b"0\r\n\r\n"),
        _ => return None,
    })
}

/// A beginning, then a drop at a time until nobody takes it.
fn drip(out: &mut TcpStream, beginning: &[u8], drop: &[u8]) -> Result<()> {
    std::thread::sleep(Duration::from_millis(20)); // see "websocket"
    out.write_all(beginning)?;
    for _ in 0..1000 {
        out.write_all(drop)?;
        std::thread::sleep(TICK);
    }
    Ok(())
}

/// Three events with long pauses.
fn events(out: &mut TcpStream) -> Result<()> {
    out.write_all(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
    )?;
    for pause in [0, 3, 3] {
        std::thread::sleep(Duration::from_secs(pause));
        out.write_all(b"9\r\ndata: e\n\n\r\n")?;
    }
    out.write_all(b"0\r\n\r\n")
}

/// Interim answers, then the real one.
fn hints(out: &mut TcpStream) -> Result<()> {
    for _ in 0..8 {
        out.write_all(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n")?;
        std::thread::sleep(Duration::from_millis(500));
    }
    out.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
}
