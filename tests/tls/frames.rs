//! HTTP/2 frames, written by hand (RFC 9113), so that they can be wrong in every way.

use std::io::{Read, Write};
use std::net::SocketAddr;

use crate::pki::Authority;
use crate::secure::Secure;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// A connection that has sent its preface and its settings.
pub(crate) struct Frames(Secure);

/// A frame.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Answered with this status.
    Status(u16),
    /// The stream was reset with this code (section 7).
    Reset(u32),
    /// The connection was ended with this code.
    Goaway(u32),
    /// The connection was closed without a word.
    Closed,
}

impl Frames {
    pub(crate) fn connect(address: SocketAddr, authority: &Authority) -> Self {
        Self::over(Secure::connect(address, &authority.trusted_by(&["h2"], None)).unwrap())
    }

    /// On a connection that takes little at a time.
    pub(crate) fn narrow(address: SocketAddr, authority: &Authority) -> Self {
        Self::over(Secure::narrow(address, &authority.trusted_by(&["h2"], None)).unwrap())
    }

    fn over(connection: Secure) -> Self {
        let mut frames = Self(connection);
        frames.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        frames.send(SETTINGS, 0, 0, b"");
        frames
    }

    /// What the other side no longer takes is its answer's business.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let _ = self.0.0.write_all(bytes);
    }

    /// The same; says whether it was taken.
    pub(crate) fn try_write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.0.write_all(bytes)
    }

    pub(crate) fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.write(&frame(kind, flags, stream, payload));
    }

    pub(crate) fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.0.0.read_exact(&mut head).ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let mut payload = vec![0; length];
        self.0.0.read_exact(&mut payload).ok()?;
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// Waits for what becomes of a stream.
    pub(crate) fn fate(&mut self, stream: u32) -> Fate {
        loop {
            let Some(frame) = self.next() else { return Fate::Closed };
            let code = |at: usize| u32::from_be_bytes(frame.payload[at..at + 4].try_into().unwrap());
            match frame.kind {
                HEADERS if frame.stream == stream => return Fate::Status(status(&frame.payload)),
                RST_STREAM if frame.stream == stream => return Fate::Reset(code(0)),
                // A first one may announce a shutdown in good order.
                GOAWAY if code(4) != 0 => return Fate::Goaway(code(4)),
                _ => {}
            }
        }
    }

    /// What becomes of a stream, and the body of its answer, in which no frame was lost.
    pub(crate) fn answer(&mut self, stream: u32) -> (Fate, Vec<u8>) {
        let fate = loop {
            let Some(frame) = self.next() else { return (Fate::Closed, Vec::new()) };
            let code = |at: usize| u32::from_be_bytes(frame.payload[at..at + 4].try_into().unwrap());
            match frame.kind {
                HEADERS if frame.stream == stream => {
                    let fate = Fate::Status(status(&frame.payload));
                    if frame.flags & END_STREAM != 0 {
                        return (fate, Vec::new());
                    }
                    break fate;
                }
                RST_STREAM if frame.stream == stream => return (Fate::Reset(code(0)), Vec::new()),
                GOAWAY if code(4) != 0 => return (Fate::Goaway(code(4)), Vec::new()),
                _ => {}
            }
        };
        let mut body = Vec::new();
        while let Some(frame) = self.next() {
            if (frame.kind, frame.stream) == (DATA, stream) {
                body.extend_from_slice(&frame.payload);
            }
            let ends = frame.flags & END_STREAM != 0 && frame.kind == DATA || frame.kind == RST_STREAM;
            if frame.stream == stream && ends {
                break;
            }
        }
        (fate, body)
    }

    /// Waits until everything sent so far was taken in.
    pub(crate) fn is_alive(&mut self) -> bool {
        self.send(PING, 0, 0, b"are you?");
        while let Some(frame) = self.next() {
            match frame.kind {
                PING => return true,
                GOAWAY => return false,
                _ => {}
            }
        }
        false
    }
}

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A field block: every field a literal that is not indexed (RFC 7541 section 6.2.2).
pub(crate) fn block(fields: &[(&str, &[u8])]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        text(&mut block, name.as_bytes());
        text(&mut block, value);
    }
    block
}

/// A string (RFC 7541 section 5.2), its length as in section 5.1.
fn text(block: &mut Vec<u8>, bytes: &[u8]) {
    if bytes.len() < 127 {
        block.push(u8::try_from(bytes.len()).unwrap());
    } else {
        block.push(127);
        let mut rest = bytes.len() - 127;
        while rest >= 128 {
            block.push(u8::try_from(rest % 128).unwrap() | 128);
            rest /= 128;
        }
        block.push(u8::try_from(rest).unwrap());
    }
    block.extend_from_slice(bytes);
}

/// The status at the beginning of a field block: indexed (RFC 7541 appendix A), or a literal with an
/// indexed name, whose digits may have the Huffman code of appendix B.
fn status(block: &[u8]) -> u16 {
    match block[0] {
        indexed @ 0x88..=0x8e => [200, 204, 206, 304, 400, 404, 500][usize::from(indexed - 0x88)],
        0x08 | 0x48 => {
            let (huffman, length) = (block[1] & 0x80 != 0, usize::from(block[1] & 0x7f));
            let text = &block[2..2 + length];
            if !huffman {
                return std::str::from_utf8(text).unwrap().parse().unwrap();
            }
            let bits: Vec<u8> =
                text.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1)).collect();
            let mut at = 0;
            (0..3).fold(0, |status, _| {
                let number = |from: usize, count: usize| {
                    bits[from..from + count].iter().fold(0_u16, |number, bit| number << 1 | u16::from(*bit))
                };
                let short = number(at, 5);
                let digit = if short <= 2 { short } else { number(at, 6) - 0b01_1001 + 3 };
                at += if short <= 2 { 5 } else { 6 };
                status * 10 + digit
            })
        }
        other => panic!("a field block that begins with {other:#x}"),
    }
}
