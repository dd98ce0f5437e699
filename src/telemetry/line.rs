//! One line of the access log, written as JSON straight into its buffer.
//!
//! By hand, because it is written for every request: names are literals, most values need no escapes
//! by their types, and numbers are short.

use std::net::IpAddr;
use std::time::Duration;

/// A JSON object under way.
pub(super) struct Line<'l> {
    out: &'l mut Vec<u8>,
    separator: u8,
}

impl<'l> Line<'l> {
    /// Begins an object at the end of `out`.
    pub(super) fn begin(out: &'l mut Vec<u8>) -> Self {
        out.reserve(512); // longer than most lines
        Self { out, separator: b'{' }
    }

    /// A value without anything that JSON escapes: ids, methods and names of ours are so by their types.
    pub(super) fn plain(&mut self, name: &'static str, value: &str) {
        debug_assert!(value.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\'));
        self.name(name);
        self.out.push(b'"');
        self.out.extend_from_slice(value.as_bytes());
        self.out.push(b'"');
    }

    /// Any text.
    pub(super) fn text(&mut self, name: &'static str, value: &str) {
        self.name(name);
        // Writing a text to memory cannot fail; if it could, null would still be JSON.
        let start = self.out.len();
        if serde_json::to_writer(&mut *self.out, value).is_err() {
            self.out.truncate(start);
            self.out.extend_from_slice(b"null");
        }
    }

    /// What is JSON already.
    pub(super) fn json(&mut self, name: &'static str, value: &str) {
        self.name(name);
        self.out.extend_from_slice(value.as_bytes());
    }

    pub(super) fn number(&mut self, name: &'static str, value: u64) {
        self.name(name);
        self.digits(value, 1);
    }

    /// Seconds with six decimals.
    pub(super) fn seconds(&mut self, name: &'static str, value: Duration) {
        self.number(name, value.as_secs());
        self.out.push(b'.');
        self.digits(value.subsec_micros().into(), 6);
    }

    pub(super) fn address(&mut self, name: &'static str, value: IpAddr) {
        self.name(name);
        self.out.push(b'"');
        match value {
            IpAddr::V4(address) => {
                for (position, part) in address.octets().into_iter().enumerate() {
                    if position > 0 {
                        self.out.push(b'.');
                    }
                    self.digits(part.into(), 1);
                }
            }
            IpAddr::V6(address) => self.out.extend_from_slice(address.to_string().as_bytes()),
        }
        self.out.push(b'"');
    }

    /// Ends the object and the line.
    pub(super) fn end(self) {
        self.out.extend_from_slice(b"}\n");
    }

    fn name(&mut self, name: &'static str) {
        self.out.push(self.separator);
        self.separator = b',';
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    /// Decimal digits, at least `least` of them.
    fn digits(&mut self, mut value: u64, least: usize) {
        let mut digits = [b'0'; 20]; // u64::MAX has 20
        let mut start = digits.len();
        while value > 0 || digits.len() - start < least {
            start -= 1;
            digits[start] = b'0' + (value % 10) as u8;
            value /= 10;
        }
        self.out.extend_from_slice(&digits[start..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_in_full() {
        let mut out = Vec::new();
        let mut line = Line::begin(&mut out);
        line.seconds("a", Duration::new(1_763_733_949, 4_200));
        line.number("b", 0);
        line.number("c", u64::MAX);
        line.address("d", "192.0.2.10".parse().unwrap());
        line.address("e", "::1".parse().unwrap());
        line.text("f", "\"\\\n");
        line.json("g", "[1]");
        line.plain("h", "x");
        line.end();
        let expected = r#"{"a":1763733949.000004,"b":0,"c":18446744073709551615,"d":"192.0.2.10","e":"::1","f":"\"\\\n","g":[1],"h":"x"}"#;
        assert_eq!(String::from_utf8(out).unwrap(), format!("{expected}\n"));
    }
}
