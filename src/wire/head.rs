//! The head of an HTTP/1 request, byte by byte (RFC 9112 sections 2 to 6), before any library reads
//! it: what two readers could understand differently is refused here, with an answer that says why.
//!
//! It does not interpret fields beyond those that decide where the message ends and whom it is for,
//! and does not decode the target.

use std::borrow::Cow;
use std::ops::Range;

use memchr::{memchr, memchr_iter};

use super::class::{Class, TOKEN};
use super::host::Authority;
use super::target::{Target, TargetError};

/// Why a head is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// A line that ends without a carriage return (RFC 9112 section 2.2), or one without a line feed.
    #[error("a line does not end with CR LF")]
    LineEnd,
    /// Not `method SP target SP version`.
    #[error("the request line is malformed")]
    RequestLine,
    /// Something other than HTTP/1.0 and HTTP/1.1.
    #[error("the version is neither HTTP/1.1 nor HTTP/1.0")]
    Version,
    /// TRACE and CONNECT are never served.
    #[error("the method is not supported")]
    Method,
    /// The target has a fragment, or is in absolute form and cannot be used.
    #[error("{0}")]
    Target(TargetError),
    /// A field name with a character that is none of a token, or with blanks around it.
    #[error("a header name is malformed")]
    FieldName,
    /// A control character in a field value.
    #[error("a header value has a control character")]
    FieldValue,
    /// A field value with a blank at an end, which only HTTP/2 can send (RFC 9113 section 8.2.1).
    #[error("a header value begins or ends with a blank")]
    Padded,
    /// A scheme other than http and https, or none, which only HTTP/2 can send (RFC 9113 section 8.3.1).
    #[error("the scheme is neither https nor http")]
    Scheme,
    /// A line that continues the one before (RFC 9112 section 5.2).
    #[error("a header is folded over several lines")]
    Folded,
    /// More than one Host, none, or a malformed one (RFC 9112 section 3.2).
    #[error("exactly one valid Host header is required")]
    Host,
    /// Several lengths, a malformed one, or a length beside a transfer coding (section 6.3).
    #[error("the length of the body is not stated in exactly one way")]
    Length,
    /// A transfer coding other than `chunked` alone, or in HTTP/1.0 (section 6.1).
    #[error("the transfer coding is not supported")]
    Coding,
    /// More fields than a library downstream could hold.
    #[error("there are too many header fields")]
    TooManyFields,
}

/// The most fields that are read at all; configuration may ask for fewer.
pub const MAX_FIELDS: usize = 256;

/// Looks for the end of the head: the position after the empty line. Blank lines before the request
/// line are no part of it (RFC 9112 section 2.2) and must have been [skipped](leading_blank_lines).
/// `from` is where the search went on the last time, so that a head that comes in pieces is searched
/// once.
pub fn end(bytes: &[u8], from: usize) -> Option<usize> {
    let from = from.saturating_sub(3);
    let mut ends = memchr_iter(b'\n', &bytes[from..]).map(|at| from + at + 1);
    ends.find(|&end| bytes[from..end].ends_with(b"\r\n\r\n"))
}

/// How many bytes of CR LF stand before the request line; at most one line is forgiven.
pub fn leading_blank_lines(bytes: &[u8]) -> usize {
    if bytes.starts_with(b"\r\n") { 2 } else { 0 }
}

/// Whether a line feed came without its carriage return: no head can follow from this.
pub fn has_bare_line_feed(bytes: &[u8], from: usize) -> bool {
    let mut before = if from == 0 { 0 } else { bytes[from - 1] };
    bytes[from..].iter().any(|&byte| {
        let bare = byte == b'\n' && before != b'\r';
        before = byte;
        bare
    })
}

/// A head that passed.
#[derive(Debug, PartialEq, Eq)]
pub struct CheckedHead<'h> {
    /// The method.
    pub method: &'h str,
    /// Where the target stands in the head.
    pub target: Range<usize>,
    /// What must stand there instead: the origin form of a target in absolute form, whose authority
    /// agrees with Host.
    pub origin_form: Option<String>,
}

/// Checks a whole head, the empty line at its end included.
///
/// # Errors
///
/// [`HeadError`], the first in the order of the bytes where one can be told before the end.
pub fn check(head: &[u8]) -> Result<CheckedHead<'_>, HeadError> {
    let mut lines = Lines { rest: head };
    let request_line = lines.next_line()?;
    let (method, target, is_http_10) = request_line_parts(request_line)?;
    let mut fields = Fields::default();
    let mut count = 0;
    loop {
        let line = lines.next_line()?;
        if line.is_empty() {
            break;
        }
        count += 1;
        if count > MAX_FIELDS {
            return Err(HeadError::TooManyFields);
        }
        fields.read(line)?;
    }
    let host = match fields.hosts {
        1 => Authority::parse(fields.host).map_err(|_| HeadError::Host)?,
        _ => return Err(HeadError::Host),
    };
    fields.check_framing(is_http_10)?;
    let start = method.len() + 1;
    let origin_form = match target {
        [b'/', ..] => None,
        absolute => {
            let target = Target::parse(absolute, Some(host.as_str())).map_err(HeadError::Target)?;
            Some(Cow::into_owned(target.path_and_query()))
        }
    };
    Ok(CheckedHead { method, target: start..start + target.len(), origin_form })
}

fn request_line_parts(line: &[u8]) -> Result<(&str, &[u8], bool), HeadError> {
    let mut parts = line.split(|&byte| byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(HeadError::RequestLine);
    };
    if method.is_empty() || method.len() > 64 || !TOKEN.holds_all(method) {
        return Err(HeadError::RequestLine);
    }
    // Control characters and bytes outside ASCII have no place in any form of target.
    if target.is_empty() || target.iter().any(|&byte| !(0x21..=0x7E).contains(&byte)) {
        return Err(HeadError::RequestLine);
    }
    // A library downstream would cut it off in silence.
    if target.contains(&b'#') {
        return Err(HeadError::Target(TargetError::Fragment));
    }
    // It refuses some of these with an answer of its own.
    if !URI.holds_all(target) {
        return Err(HeadError::Target(TargetError::RawByte));
    }
    let is_http_10 = match version {
        b"HTTP/1.1" => false,
        b"HTTP/1.0" => true,
        _ => return Err(HeadError::Version),
    };
    // The bytes of a token are ASCII.
    let method = std::str::from_utf8(method).map_err(|_| HeadError::RequestLine)?;
    if method == "CONNECT" || method == "TRACE" {
        return Err(HeadError::Method);
    }
    Ok((method, target, is_http_10))
}

struct Lines<'h> {
    rest: &'h [u8],
}

impl<'h> Lines<'h> {
    /// The next line without its end.
    fn next_line(&mut self) -> Result<&'h [u8], HeadError> {
        let end = memchr(b'\n', self.rest).ok_or(HeadError::LineEnd)?;
        let line = self.rest[..end].strip_suffix(b"\r").ok_or(HeadError::LineEnd)?;
        if memchr(b'\r', line).is_some() {
            return Err(HeadError::LineEnd);
        }
        self.rest = &self.rest[end + 1..];
        Ok(line)
    }
}

/// What the fields say of host and body.
#[derive(Default)]
struct Fields<'h> {
    hosts: usize,
    host: &'h [u8],
    lengths: usize,
    codings: usize,
    is_chunked: bool,
}

impl<'h> Fields<'h> {
    fn read(&mut self, line: &'h [u8]) -> Result<(), HeadError> {
        if matches!(line.first(), Some(b' ' | b'\t')) {
            return Err(HeadError::Folded);
        }
        let colon = memchr(b':', line).ok_or(HeadError::FieldName)?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.is_empty() || !TOKEN.holds_all(name) {
            return Err(HeadError::FieldName);
        }
        // Without an early end, so that it is done for many bytes at once.
        let is_control = |byte: u8| ((byte < 0x20) & (byte != b'\t')) | (byte == 0x7F);
        if line[colon + 1..].iter().fold(false, |found, &byte| found | is_control(byte)) {
            return Err(HeadError::FieldValue);
        }
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => {
                self.hosts += 1;
                self.host = value;
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                self.lengths += 1;
                // 19 digits hold every length that fits 63 bits.
                let is_number =
                    !value.is_empty() && value.len() <= 19 && value.iter().all(u8::is_ascii_digit);
                if !is_number {
                    return Err(HeadError::Length);
                }
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                self.codings += 1;
                self.is_chunked = value.eq_ignore_ascii_case(b"chunked");
            }
            _ => {}
        }
        Ok(())
    }

    fn check_framing(&self, is_http_10: bool) -> Result<(), HeadError> {
        match (self.lengths, self.codings) {
            (0 | 1, 0) => Ok(()),
            (0, 1) if self.is_chunked && !is_http_10 => Ok(()),
            (0, _) => Err(HeadError::Coding),
            _ => Err(HeadError::Length),
        }
    }
}

/// The characters of RFC 3986 section 2, the number sign apart.
static URI: Class = Class::alphanumeric_and(b"-._~:/?[]@!$&'()*+,;=%");

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn with(lines: &str) -> String {
        format!("GET /a HTTP/1.1\r\nHost: a.test\r\n{lines}\r\n")
    }

    #[test]
    fn ordinary_heads_pass() {
        let long = format!("X-Long: {}\r\n", "v".repeat(8000));
        let rows = [
            with(""),
            with("Accept: */*\r\nX-Empty:\r\nX-Blank: \t \r\nX-Latin: \u{e9}\r\n"),
            with("Content-Length: 0\r\n"),
            with("Content-Length:   12  \r\n"),
            with("Transfer-Encoding: Chunked\r\n"),
            with("X_Store_Id: 1\r\nX.Y!: 2\r\n"),
            with(&long),
            "PROPFIND /x?y=%zz HTTP/1.0\r\nHost: [::1]:8080\r\n\r\n".to_owned(),
        ];
        for head in rows {
            let checked = check(head.as_bytes());
            assert!(checked.is_ok(), "{head:?}: {checked:?}");
        }
    }

    #[test]
    fn absolute_targets_become_origin_form() {
        let head = b"GET HTTP://A.test:80/x/../y?q HTTP/1.1\r\nHost: a.TEST\r\n\r\n";
        let checked = check(head).unwrap();
        assert_eq!(&head[checked.target.clone()], b"HTTP://A.test:80/x/../y?q");
        assert_eq!(checked.origin_form.as_deref(), Some("/y?q"));
        assert_eq!(
            check(b"GET http://a.test HTTP/1.1\r\nHost: a.test\r\n\r\n").unwrap().origin_form.unwrap(),
            "/"
        );
        for target in ["http://b.test/", "*", "a.test:80", "foo", "\\x", "foo:bar://a/admin", "//a.test/x\\"]
        {
            let head = format!("GET {target} HTTP/1.1\r\nHost: a.test\r\n\r\n");
            let refused = check(head.as_bytes());
            // Its path is judged later, its characters at once.
            let passes_on = target.starts_with('/') && !target.contains('\\');
            assert_eq!(refused.is_ok(), passes_on, "{target}: {refused:?}");
        }
    }

    #[test]
    fn what_two_readers_could_read_differently_is_refused() {
        use HeadError::*;
        let rows = [
            ("GET /a HTTP/1.1\nHost: a\r\n\r\n".to_owned(), LineEnd),
            ("GET /a HTTP/1.1\r\nHost: a\n\r\n".to_owned(), LineEnd),
            ("GET /a\rX HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), LineEnd),
            (with("A: b\rC: d\r\n"), LineEnd),
            (with("A: b\r\r\n"), LineEnd),
            ("GET  /a HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), RequestLine),
            ("GET /a  HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), RequestLine),
            ("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), RequestLine),
            (" GET /a HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), RequestLine),
            ("GET\t/a\tHTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), RequestLine),
            ("GET /a\r\nHost: a\r\n\r\n".to_owned(), RequestLine),
            ("G(T /a HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), RequestLine),
            ("GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), RequestLine),
            ("GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), RequestLine),
            ("GET /<a> HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), Target(TargetError::RawByte)),
            ("GET /a?\"b HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), Target(TargetError::RawByte)),
            ("GET /a HTTP/1.1 \r\nHost: a\r\n\r\n".to_owned(), RequestLine),
            ("GET /a HTTP/2.0\r\nHost: a\r\n\r\n".to_owned(), Version),
            ("GET /a HTTP/1.2\r\nHost: a\r\n\r\n".to_owned(), Version),
            ("GET /a http/1.1\r\nHost: a\r\n\r\n".to_owned(), Version),
            ("GET /a HTTP/0.9\r\nHost: a\r\n\r\n".to_owned(), Version),
            ("TRACE /a HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), Method),
            ("CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), Method),
            ("GET /a HTTP/1.1\r\n\r\n".to_owned(), Host),
            ("GET /a HTTP/1.0\r\n\r\n".to_owned(), Host),
            (with("Host: a.test\r\n"), Host),
            (with("hOST: b.test\r\n"), Host),
            ("GET /a HTTP/1.1\r\nHost:\r\n\r\n".to_owned(), Host),
            ("GET /a HTTP/1.1\r\nHost: u@a\r\n\r\n".to_owned(), Host),
            ("GET /a HTTP/1.1\r\nHost: a, b\r\n\r\n".to_owned(), Host),
            ("GET /a HTTP/1.1\r\nHost: a/b c\r\n\r\n".to_owned(), Host),
            (with(" folded\r\n"), Folded),
            (with("A: b\r\n\tc\r\n"), Folded),
            (with("A : b\r\n"), FieldName),
            (with(": b\r\n"), FieldName),
            (with("nothing\r\n"), FieldName),
            (with("A B: c\r\n"), FieldName),
            (with("\u{e9}: c\r\n"), FieldName),
            (with(":authority: c\r\n"), FieldName),
            (with("A: b\0c\r\n"), FieldValue),
            (with("A: b\u{7f}\r\n"), FieldValue),
            (with("A: \u{b}chunked\r\n"), FieldValue),
            (with("Content-Length: 3\r\nContent-Length: 3\r\n"), Length),
            (with("Content-Length: 3, 3\r\n"), Length),
            (with("Content-Length: +3\r\n"), Length),
            (with("Content-Length: -1\r\n"), Length),
            (with("Content-Length:\r\n"), Length),
            (with("Content-Length: 0x3\r\n"), Length),
            (with("Content-Length: 99999999999999999999\r\n"), Length),
            (with("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"), Length),
            (with("Transfer-Encoding: chunked\r\ncontent-length: 0\r\n"), Length),
            (with("Transfer-Encoding: gzip, chunked\r\n"), Coding),
            (with("Transfer-Encoding: identity\r\n"), Coding),
            (with("Transfer-Encoding: xchunked\r\n"), Coding),
            (with("Transfer-Encoding:\r\n"), Coding),
            (with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), Coding),
            ("POST /a HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(), Coding),
            (with(&"A: b\r\n".repeat(256)), TooManyFields),
        ];
        for (head, error) in rows {
            assert_eq!(check(head.as_bytes()), Err(error), "{head:?}");
        }
    }

    #[test]
    fn the_end_is_found_however_it_comes() {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nbody\r\n\r\n";
        let mut searched = 0;
        for length in 0..head.len() {
            let found = end(&head[..length], searched);
            assert_eq!(found, (length >= 27).then_some(27), "{length}");
            if found.is_none() {
                searched = length;
            }
        }
        assert_eq!(leading_blank_lines(b"\r\nGET"), 2);
        assert_eq!(leading_blank_lines(b"GET"), 0);
        assert!(has_bare_line_feed(b"\n", 0) && has_bare_line_feed(b"a\r\nb\n", 3));
        assert!(!has_bare_line_feed(b"a\r\nb\r\n", 0) && !has_bare_line_feed(b"a\r\n", 2));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = check(&bytes);
            let _ = end(&bytes, bytes.len() / 2);
            let _ = has_bare_line_feed(&bytes, bytes.len() / 2);
        }
    }
}
