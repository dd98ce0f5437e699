//! HTTP/1.1 messages off a stream (RFC 9112), for the client and the upstream alike.

use std::io::{Error, ErrorKind, Read, Result};
use std::net::TcpStream;

/// A stream and what was read from it too early.
pub(crate) struct Wire {
    pub(crate) stream: TcpStream,
    buffer: Vec<u8>,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    fn fill(&mut self) -> Result<()> {
        let mut chunk = [0; 64 * 1024];
        // A read with a timeout is interrupted where the whole process is stopped for a while (signal(7)).
        let read = loop {
            match self.stream.read(&mut chunk) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        match read {
            0 => Err(Error::new(ErrorKind::UnexpectedEof, "the connection was closed")),
            n => {
                self.buffer.extend_from_slice(&chunk[..n]);
                Ok(())
            }
        }
    }

    /// Everything up to and with the blank line.
    pub(crate) fn head(&mut self) -> Result<Vec<u8>> {
        self.until(b"\r\n\r\n")
    }

    fn until(&mut self, end: &[u8]) -> Result<Vec<u8>> {
        loop {
            if let Some(at) = self.buffer.windows(end.len()).position(|window| window == end) {
                let rest = self.buffer.split_off(at + end.len());
                return Ok(std::mem::replace(&mut self.buffer, rest));
            }
            self.fill()?;
        }
    }

    /// Hands `length` bytes to `sink`, piece by piece.
    pub(crate) fn exactly(&mut self, mut length: usize, sink: &mut dyn FnMut(&[u8])) -> Result<()> {
        while length > 0 {
            if self.buffer.is_empty() {
                self.fill()?;
            }
            let part = length.min(self.buffer.len());
            sink(&self.buffer[..part]);
            self.buffer.drain(..part);
            length -= part;
        }
        Ok(())
    }

    /// Hands the content of a chunked body to `sink`.
    pub(crate) fn chunked(&mut self, sink: &mut dyn FnMut(&[u8])) -> Result<()> {
        loop {
            let line = self.until(b"\r\n")?;
            let size = std::str::from_utf8(&line).ok().and_then(|text| text.trim().split(';').next());
            let size = size.and_then(|hex| usize::from_str_radix(hex, 16).ok());
            let size = size.ok_or_else(|| Error::new(ErrorKind::InvalidData, "no chunk size"))?;
            if size == 0 {
                while self.until(b"\r\n")? != b"\r\n" {}
                return Ok(());
            }
            self.exactly(size, sink)?;
            self.until(b"\r\n")?;
        }
    }

    /// Everything until the other side closes.
    pub(crate) fn until_closed(&mut self, sink: &mut dyn FnMut(&[u8])) -> Result<()> {
        loop {
            sink(&self.buffer);
            self.buffer.clear();
            match self.fill() {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}

/// The field lines of a head, in order, as they are spelled.
pub(crate) fn fields(head: &[u8]) -> Vec<(String, String)> {
    let text = String::from_utf8_lossy(head).into_owned();
    let lines = text.split("\r\n").skip(1).filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            (name.to_owned(), value.trim().to_owned())
        })
        .collect()
}

/// The only value of a field; panics when it stands there twice.
pub(crate) fn single<'f>(fields: &'f [(String, String)], name: &str) -> Option<&'f str> {
    let mut values = fields.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name));
    let first = values.next().map(|(_, value)| value.as_str());
    assert!(values.next().is_none(), "{name} stands there twice: {fields:?}");
    first
}
