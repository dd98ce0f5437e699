//! A client that sends exactly the bytes it is given.

use std::io::{ErrorKind, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::reading::{Wire, fields, single};

/// Longer than anything that a test waits for.
const PATIENCE: Duration = Duration::from_secs(20);

/// One connection.
pub(crate) struct Client {
    wire: Wire,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: Vec<u8>,
    pub(crate) body: Vec<u8>,
    /// The length of the body, which is kept up to a mebibyte.
    pub(crate) length: usize,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { wire: Wire::new(stream) }
    }

    /// What the other side no longer takes is its answer's business: it may have refused, and closed, before it was
    /// sent everything.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        if let Err(error) = self.wire.stream.write_all(bytes.as_ref()) {
            assert!(matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{error}");
        }
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        &self.wire.stream
    }

    /// Sends, and reads one answer to it; a request that begins with HEAD has an answer without a body.
    pub(crate) fn ask(&mut self, bytes: impl AsRef<[u8]>) -> Response {
        let is_head = bytes.as_ref().starts_with(b"HEAD ");
        self.send(bytes);
        self.answer(is_head).unwrap()
    }

    /// Reads one answer; interim ones (RFC 9110 section 15.2) are passed over.
    pub(crate) fn answer(&mut self, to_head: bool) -> Result<Response> {
        loop {
            let head = self.wire.head()?;
            let status = std::str::from_utf8(&head[9..12]).unwrap().parse().unwrap();
            if status != 100 {
                return self.body_of(status, head, to_head);
            }
        }
    }

    fn body_of(&mut self, status: u16, head: Vec<u8>, to_head: bool) -> Result<Response> {
        let lines = fields(&head);
        let (mut body, mut length) = (Vec::new(), 0);
        let mut sink = |bytes: &[u8]| {
            length += bytes.len();
            if body.len() < 1 << 20 {
                body.extend_from_slice(bytes);
            }
        };
        if !to_head && status != 101 && status != 204 && status != 304 {
            match single(&lines, "content-length") {
                Some(stated) => self.wire.exactly(stated.parse().unwrap(), &mut sink)?,
                None if single(&lines, "transfer-encoding").is_some() => self.wire.chunked(&mut sink)?,
                None => self.wire.until_closed(&mut sink)?,
            }
        }
        Ok(Response { status, head, body, length })
    }

    /// Reads a head, also an interim one, and nothing of its body.
    pub(crate) fn head(&mut self) -> String {
        String::from_utf8(self.wire.head().unwrap()).unwrap()
    }

    /// Whether a WebSocket answers a message with the same.
    pub(crate) fn echoes(&mut self) -> bool {
        self.send(b"\x81\x02hi");
        self.exactly(4) == b"\x81\x02hi"
    }

    /// Reads `length` bytes as they come.
    pub(crate) fn exactly(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.wire.exactly(length, &mut |part| bytes.extend_from_slice(part)).unwrap();
        bytes
    }

    /// Waits until the other side has closed; whatever comes before counts as a failure.
    pub(crate) fn is_closed(&mut self) -> bool {
        match self.wire.stream.read(&mut [0; 1]) {
            Ok(n) => n == 0,
            Err(error) => error.kind() == ErrorKind::ConnectionReset,
        }
    }
}

impl Response {
    pub(crate) fn fields(&self) -> Vec<(String, String)> {
        fields(&self.head)
    }

    pub(crate) fn field(&self, name: &str) -> Option<String> {
        single(&self.fields(), name).map(str::to_owned)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The `code` of a refusal; empty where there is none.
    pub(crate) fn code(&self) -> String {
        let body: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        body["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// One request over a connection of its own.
pub(crate) fn ask(address: SocketAddr, bytes: impl AsRef<[u8]>) -> Response {
    Client::connect(address).ask(bytes)
}

/// A request head: `GET /path`, a Host, and these field lines.
pub(crate) fn request(line: &str, lines: &[impl AsRef<str>]) -> Vec<u8> {
    let mut text = format!("{line} HTTP/1.1\r\nHost: api.example.test\r\n");
    for line in lines {
        text.push_str(line.as_ref());
        text.push_str("\r\n");
    }
    text.push_str("\r\n");
    text.into_bytes()
}
