//! One line of the access log, written as JSON straight into its buffer.
//!
//! By hand, because it is written for every request: names are literals, most values need no escapes
//! by their types, and numbers are short.

use std::net::IpAddr;
use std::time::Duration;

/// A JSON object under way. Each member is given as it stands in the line, separator, quotes and colon
/// included: `{"time":` the first, `,"status":` the others. Literals of a known length cost a store or
/// two; put together from parts they would cost as many calls.
pub(super) struct Line<'l>(&'l mut Vec<u8>);

impl<'l> Line<'l> {
    /// Begins an object at the end of `out`.
    pub(super) fn begin(out: &'l mut Vec<u8>) -> Self {
        out.reserve(512); // longer than most lines
        Self(out)
    }

    /// A value without anything that JSON escapes: ids, methods and names of ours are so by their types.
    pub(super) fn plain<const N: usize>(&mut self, member: &[u8; N], value: &str) {
        debug_assert!(value.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\'));
        self.put(member);
        self.put(b"\"");
        self.0.extend_from_slice(value.as_bytes());
        self.put(b"\"");
    }

    /// Any text.
    pub(super) fn text<const N: usize>(&mut self, member: &[u8; N], value: &str) {
        self.put(member);
        // Writing a text to memory cannot fail; if it could, null would still be JSON.
        let start = self.0.len();
        if serde_json::to_writer(&mut *self.0, value).is_err() {
            self.0.truncate(start);
            self.put(b"null");
        }
    }

    /// What is JSON already.
    pub(super) fn json<const N: usize>(&mut self, member: &[u8; N], value: &str) {
        self.put(member);
        self.0.extend_from_slice(value.as_bytes());
    }

    pub(super) fn number<const N: usize>(&mut self, member: &[u8; N], value: u64) {
        self.put(member);
        self.digits(value, 1);
    }

    /// Seconds with six decimals.
    pub(super) fn seconds<const N: usize>(&mut self, member: &[u8; N], value: Duration) {
        self.number(member, value.as_secs());
        self.put(b".");
        self.digits(value.subsec_micros().into(), 6);
    }

    pub(super) fn address<const N: usize>(&mut self, member: &[u8; N], value: IpAddr) {
        self.put(member);
        self.put(b"\"");
        match value {
            IpAddr::V4(address) => {
                let [first, rest @ ..] = address.octets();
                self.digits(first.into(), 1);
                for part in rest {
                    self.put(b".");
                    self.digits(part.into(), 1);
                }
            }
            IpAddr::V6(address) => self.0.extend_from_slice(address.to_string().as_bytes()),
        }
        self.put(b"\"");
    }

    /// Ends the object and the line.
    pub(super) fn end(mut self) {
        self.put(b"}\n");
    }

    #[inline]
    fn put<const N: usize>(&mut self, literal: &[u8; N]) {
        self.0.extend_from_slice(literal);
    }

    /// Decimal digits, at least `least` of them.
    fn digits(&mut self, mut value: u64, least: usize) {
        if value < 10 && least == 1 {
            return self.0.push(b'0' + value as u8);
        }
        let mut digits = [b'0'; 20]; // u64::MAX has 20
        let mut start = digits.len();
        while value > 0 || digits.len() - start < least {
            start -= 1;
            digits[start] = b'0' + (value % 10) as u8;
            value /= 10;
        }
        self.0.extend_from_slice(&digits[start..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_in_full() {
        let mut out = Vec::new();
        let mut line = Line::begin(&mut out);
        line.seconds(br#"{"a":"#, Duration::new(1_763_733_949, 4_200));
        line.number(br#","b":"#, 0);
        line.number(br#","c":"#, u64::MAX);
        line.address(br#","d":"#, "192.0.2.10".parse().unwrap());
        line.address(br#","e":"#, "::1".parse().unwrap());
        line.text(br#","f":"#, "\"\\\n");
        line.json(br#","g":"#, "[1]");
        line.plain(br#","h":"#, "x");
        line.end();
        let expected = r#"{"a":1763733949.000004,"b":0,"c":18446744073709551615,"d":"192.0.2.10","e":"::1","f":"\"\\\n","g":[1],"h":"x"}"#;
        assert_eq!(String::from_utf8(out).unwrap(), format!("{expected}\n"));
    }
}
