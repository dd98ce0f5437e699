//! The authority of a request: Host (RFC 9110 section 7.2) or `:authority` of HTTP/2.
//!
//! It is stricter than RFC 3986 section 3.2: no userinfo, no percent triplets, no empty port. It does
//! not ask whether the name is one that we serve.

use std::net::Ipv6Addr;

use super::class::Class;
use crate::model::Malformed;

const WHY: Malformed = Malformed("an authority is a host name or address, and perhaps a port");

/// The longest host, in bytes: more than DNS can name (RFC 1035 section 2.3.4).
const MAX_HOST_BYTES: usize = 255;

/// A well-formed `host[:port]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Authority<'a> {
    text: &'a str,
    host: &'a str,
    port: Option<u16>,
}

impl<'a> Authority<'a> {
    /// Reads one field value. The host is a name of letters, digits, `.`, `-` and `_` without empty
    /// labels (one trailing dot aside), an IPv4 address, or an IPv6 address in brackets.
    ///
    /// # Errors
    ///
    /// [`Malformed`] for everything else: an empty value, userinfo, a list, a path, a blank, a port
    /// that is empty, zero, has a leading zero or is above 65535.
    pub fn parse(value: &'a [u8]) -> Result<Self, Malformed> {
        let text = std::str::from_utf8(value).map_err(|_| WHY)?;
        let host_end = match text.strip_prefix('[') {
            Some(rest) => rest.find(']').ok_or(WHY)? + 2,
            None => text.find(':').unwrap_or(text.len()),
        };
        let (host, rest) = text.split_at(host_end);
        let well_formed = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(address) => address.parse::<Ipv6Addr>().is_ok(),
            None => is_name(host),
        };
        if !well_formed {
            return Err(WHY);
        }
        Ok(Self { text, host, port: port(rest)? })
    }

    /// The host as it was sent; brackets stay around an IPv6 address.
    pub fn host(&self) -> &'a str {
        self.host
    }

    /// The port, where one was sent.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The whole text as it was sent.
    pub fn as_str(&self) -> &'a str {
        self.text
    }

    /// Whether `other` names the same host, in any case, and the same port, where none and 80, and
    /// none and 443, are the same. A malformed `other` agrees with nothing.
    pub fn agrees_with(&self, other: &str) -> bool {
        Authority::parse(other.as_bytes())
            .is_ok_and(|other| self.is_same(&other, 80) || self.is_same(&other, 443))
    }

    /// Whether both name the same host and port, where none stands for `default_port`.
    pub(super) fn is_same(&self, other: &Authority<'_>, default_port: u16) -> bool {
        self.host.eq_ignore_ascii_case(other.host)
            && self.port.unwrap_or(default_port) == other.port.unwrap_or(default_port)
    }
}

/// IPv4 addresses are names by this rule, too.
fn is_name(host: &str) -> bool {
    let labels = host.strip_suffix('.').unwrap_or(host);
    // A dot may not follow a dot, nor stand at either end.
    let mut ends_label = false;
    let well_formed = labels.bytes().all(|byte| {
        let follows = std::mem::replace(&mut ends_label, byte != b'.');
        if byte == b'.' { follows } else { LABEL.contains(byte) }
    });
    host.len() <= MAX_HOST_BYTES && well_formed && ends_label
}

static LABEL: Class = Class::alphanumeric_and(b"-_");

fn port(rest: &str) -> Result<Option<u16>, Malformed> {
    if rest.is_empty() {
        return Ok(None);
    }
    let digits = rest.strip_prefix(':').ok_or(WHY)?;
    // `parse` alone would take a plus sign.
    if digits.starts_with('0') || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(WHY);
    }
    digits.parse().map(Some).map_err(|_| WHY)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hosts_with_and_without_a_port() {
        for (text, host, port) in [
            ("api.test", "api.test", None),
            ("API.Test:8080", "API.Test", Some(8080)),
            ("api.test.", "api.test.", None),
            ("localhost:1", "localhost", Some(1)),
            ("my_store-2.test", "my_store-2.test", None),
            ("127.0.0.1:65535", "127.0.0.1", Some(65535)),
            ("[::1]", "[::1]", None),
            ("[2001:db8::1]:443", "[2001:db8::1]", Some(443)),
            ("[::ffff:192.0.2.1]:80", "[::ffff:192.0.2.1]", Some(80)),
        ] {
            let authority = Authority::parse(text.as_bytes()).unwrap();
            assert_eq!((authority.host(), authority.port(), authority.as_str()), (host, port, text));
        }
    }

    #[test]
    fn everything_else_is_refused() {
        let refused = [
            "",
            " ",
            ".",
            "..",
            ".a",
            "a..b",
            "a..",
            ":80",
            "a:",
            "a:0",
            "a:00",
            "a:080",
            "a:+80",
            "a:-1",
            "a:65536",
            "a:99999999999999999999",
            "a:80:80",
            "a:80 ",
            "a:8 0",
            " a",
            "a ",
            "a b",
            "a\tb",
            "a\0",
            "a\r\nb",
            "user@a",
            "user:pass@a",
            "a/b",
            "a/",
            "a\\b",
            "a?b",
            "a#b",
            "a%2eb",
            "a,b",
            "a.test, b.test",
            "é.test",
            "a*b",
            "*",
            "http://a",
            "::1",
            "[::1",
            "::1]",
            "[]",
            "[]:80",
            "[::1]80",
            "[::1]a",
            "[::1]:",
            "[::1]:0",
            "[::1]]",
            "[[::1]]",
            "[127.0.0.1]",
            "[fe80::1%25eth0]",
            "[fe80::1%1]",
            "[v1.a]",
            "a[::1]",
            "[::1].a",
        ];
        for text in refused {
            assert!(Authority::parse(text.as_bytes()).is_err(), "{text:?} was accepted");
        }
        assert!(Authority::parse(b"a\xff").is_err());
        assert!(Authority::parse("a".repeat(256).as_bytes()).is_err());
        assert!(Authority::parse("a".repeat(255).as_bytes()).is_ok());
    }

    #[test]
    fn agreement_ignores_case_and_default_ports() {
        for (one, other, agrees) in [
            ("a.test", "A.TEST", true),
            ("a.test", "a.test:80", true),
            ("a.test:443", "a.test", true),
            ("a.test:8080", "a.test:8080", true),
            ("[2001:DB8::1]", "[2001:db8::1]:80", true),
            ("a.test:80", "a.test:443", false),
            ("a.test:8080", "a.test", false),
            ("a.test", "a.test:8080", false),
            ("a.test", "b.test", false),
            ("a.test", "a.test.", false),
            ("a.test", "a.test.evil", false),
            ("a.test", "", false),
            ("a.test", "a.test:", false),
            ("a.test", "user@a.test", false),
            ("[::1]", "[0:0:0:0:0:0:0:1]", false),
        ] {
            assert_eq!(Authority::parse(one.as_bytes()).unwrap().agrees_with(other), agrees, "{one} {other}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        #[test]
        fn nothing_panics_and_what_is_taken_is_plain(value in "[\\[\\]:.%@a-z0-9 é]{0,12}") {
            if let Ok(authority) = Authority::parse(value.as_bytes()) {
                prop_assert!(!authority.host().is_empty());
                prop_assert!(!value.contains(['%', '@', ' ', 'é']));
                prop_assert!(authority.agrees_with(&value));
            }
        }
    }
}
