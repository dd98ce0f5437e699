//! One line of the access log, written as JSON or logfmt straight into its buffer.
//!
//! By hand, because it is written for every request: names are literals, most values need no escapes
//! by their types, and numbers are short.

use std::io::Write;
use std::net::IpAddr;
use std::time::Duration;

/// How a line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// An object a line: `{"status":200}`.
    #[default]
    Json,
    /// Pairs separated by blanks: `status=200`.
    Logfmt,
}

impl Format {
    /// Every format with its name.
    pub const NAMES: [(&'static str, Self); 2] = [("json", Self::Json), ("logfmt", Self::Logfmt)];
}

/// The name of a field as it stands in a line of each format, separator, quotes and colon included.
/// Literals of a known length cost a store or two; put together from parts they would cost as many calls.
#[derive(Clone, Copy)]
pub(super) struct Name {
    pub(super) json: &'static [u8],
    pub(super) logfmt: &'static [u8],
}

/// The name of any field but the first.
macro_rules! name {
    ($name:literal) => {
        $crate::telemetry::line::Name {
            json: concat!(",\"", $name, "\":").as_bytes(),
            logfmt: concat!(" ", $name, "=").as_bytes(),
        }
    };
}
pub(super) use name;

/// A text that stands in many lines, written once for each format.
#[derive(Debug)]
pub(super) struct Written {
    json: Box<[u8]>,
    logfmt: Box<[u8]>,
}

impl Written {
    pub(super) fn new(value: &str) -> Self {
        let in_format = |format| {
            let mut out = Vec::new();
            put_text(format, &mut out, value);
            out.into_boxed_slice()
        };
        Self { json: in_format(Format::Json), logfmt: in_format(Format::Logfmt) }
    }
}

/// A line under way.
pub(super) struct Line<'l> {
    out: &'l mut Vec<u8>,
    format: Format,
}

impl<'l> Line<'l> {
    /// Begins a line at the end of `out`, with its time: seconds with six decimals.
    pub(super) fn begin(format: Format, out: &'l mut Vec<u8>, time: Duration) -> Self {
        out.reserve(512); // longer than most lines
        let mut line = Self { out, format };
        line.put(match format {
            Format::Json => b"{\"time\":",
            Format::Logfmt => b"time=",
        });
        line.digits(time.as_secs(), 1);
        line.put(b".");
        line.digits(time.subsec_micros().into(), 6);
        line
    }

    /// A value without anything that JSON escapes: ids, methods and names of ours are so by their types.
    #[inline]
    pub(super) fn plain(&mut self, name: Name, value: &str) {
        debug_assert!(value.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\'));
        self.name(name);
        match self.format {
            Format::Json => {
                self.put(b"\"");
                self.put(value.as_bytes());
                self.put(b"\"");
            }
            Format::Logfmt => put_text(Format::Logfmt, self.out, value),
        }
    }

    /// Any text.
    pub(super) fn text(&mut self, name: Name, value: &str) {
        self.name(name);
        put_text(self.format, self.out, value);
    }

    pub(super) fn written(&mut self, name: Name, value: &Written) {
        self.name(name);
        self.put(match self.format {
            Format::Json => &value.json,
            Format::Logfmt => &value.logfmt,
        });
    }

    #[inline]
    pub(super) fn number(&mut self, name: Name, value: u64) {
        self.name(name);
        self.digits(value, 1);
    }

    /// Leaves room for a value of hexadecimal digits; where it begins.
    pub(super) fn room<const N: usize>(&mut self, name: Name) -> usize {
        self.name(name);
        self.quote();
        let at = self.out.len();
        self.put(&[b'0'; N]);
        self.quote();
        at
    }

    pub(super) fn address(&mut self, name: Name, value: IpAddr) {
        self.name(name);
        self.quote();
        match value {
            IpAddr::V4(address) => {
                let [first, rest @ ..] = address.octets();
                self.digits(first.into(), 1);
                for part in rest {
                    self.put(b".");
                    self.digits(part.into(), 1);
                }
            }
            // Writing to memory cannot fail.
            IpAddr::V6(address) => drop(write!(self.out, "{address}")),
        }
        self.quote();
    }

    /// Ends the line.
    pub(super) fn end(mut self) {
        self.put(match self.format {
            Format::Json => b"}\n",
            Format::Logfmt => b"\n",
        });
    }

    #[inline(always)] // with the format known the name is a literal
    fn name(&mut self, name: Name) {
        match self.format {
            Format::Json => self.put(name.json),
            Format::Logfmt => self.put(name.logfmt),
        }
    }

    /// Around a value that logfmt writes bare.
    #[inline]
    fn quote(&mut self) {
        if self.format == Format::Json {
            self.put(b"\"");
        }
    }

    #[inline(always)]
    fn put(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Decimal digits, at least `least` of them.
    fn digits(&mut self, mut value: u64, least: usize) {
        if value < 10 && least == 1 {
            return self.out.push(b'0' + value as u8);
        }
        let mut digits = [b'0'; 20]; // u64::MAX has 20
        let mut start = digits.len();
        while value > 0 || digits.len() - start < least {
            start -= 1;
            digits[start] = b'0' + (value % 10) as u8;
            value /= 10;
        }
        self.put(&digits[start..]);
    }
}

fn put_text(format: Format, out: &mut Vec<u8>, value: &str) {
    let is_bare = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'=' | b'\\');
    match format {
        Format::Json => {
            let start = out.len();
            // Writing a text to memory cannot fail; if it could, null would still be JSON.
            if serde_json::to_writer(&mut *out, value).is_err() {
                out.truncate(start);
                out.extend_from_slice(b"null");
            }
        }
        Format::Logfmt if !value.is_empty() && value.bytes().all(is_bare) => {
            out.extend_from_slice(value.as_bytes());
        }
        Format::Logfmt => put_quoted(out, value),
    }
}

/// In quotes, as a JSON string. Characters that end a line or move a terminal's cursor are escaped, those
/// that JSON would let pass too.
fn put_quoted(out: &mut Vec<u8>, value: &str) {
    out.push(b'"');
    for sign in value.chars() {
        match sign {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            // All below U+10000: one escape each. Writing to memory cannot fail.
            sign if sign.is_control() || matches!(sign, '\u{2028}' | '\u{2029}') => {
                drop(write!(out, "\\u{:04x}", u32::from(sign)));
            }
            sign => out.extend_from_slice(sign.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(format: Format) -> String {
        let mut out = Vec::new();
        let mut line = Line::begin(format, &mut out, Duration::new(1_763_733_949, 4_200));
        line.number(name!("b"), 0);
        line.number(name!("c"), u64::MAX);
        line.address(name!("d"), "192.0.2.10".parse().unwrap());
        line.address(name!("e"), "::1".parse().unwrap());
        line.text(name!("f"), "\"\\\n");
        line.written(name!("g"), &Written::new("/a/{b c}"));
        line.plain(name!("h"), "a=b");
        let at = line.room::<4>(name!("i"));
        line.end();
        assert_eq!(&out[at..at + 4], b"0000");
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn values_are_written_in_full() {
        let json = r#"{"time":1763733949.000004,"b":0,"c":18446744073709551615,"d":"192.0.2.10","e":"::1","f":"\"\\\n","g":"/a/{b c}","h":"a=b","i":"0000"}"#;
        assert_eq!(line(Format::Json), format!("{json}\n"));
        let logfmt = r#"time=1763733949.000004 b=0 c=18446744073709551615 d=192.0.2.10 e=::1 f="\"\\\n" g="/a/{b c}" h="a=b" i=0000"#;
        assert_eq!(line(Format::Logfmt), format!("{logfmt}\n"));
    }

    #[test]
    fn logfmt_holds_any_text() {
        for (name, value, expected) in [
            ("a word", "forwarded", "forwarded"),
            ("a path", "/api/{resource}/{*rest}", "/api/{resource}/{*rest}"),
            ("an address", "2001:db8::1", "2001:db8::1"),
            ("a single quote", "it's", "it's"),
            ("nothing", "", r#""""#),
            ("a blank", "a b", r#""a b""#),
            ("only a blank", " ", r#"" ""#),
            ("an equals sign", "a=b", r#""a=b""#),
            ("a quote", "a\"b", r#""a\"b""#),
            ("a backslash", r"a\b", r#""a\\b""#),
            ("a backslash before a quote", "\\\"", r#""\\\"""#),
            ("a pair of its own", "x\" status=200 y=\"", r#""x\" status=200 y=\"""#),
            ("a line of its own", "x\ntime=1 status=200", r#""x\ntime=1 status=200""#),
            ("carriage return and tab", "\r\t", r#""\r\t""#),
            ("NUL", "a\0b", r#""a\u0000b""#),
            ("escape", "\u{1b}[2J", r#""\u001b[2J""#),
            ("delete", "\u{7f}", r#""\u007f""#),
            ("the control sequence of one character", "\u{9b}2J", r#""\u009b2J""#),
            ("next line", "\u{85}", r#""\u0085""#),
            ("separators of lines", "\u{2028}\u{2029}", r#""\u2028\u2029""#),
            ("letters beyond ASCII", "Größe", "\"Größe\""),
            ("beyond the first plane", "🦀", "\"🦀\""),
        ] {
            let mut out = Vec::new();
            put_text(Format::Logfmt, &mut out, value);
            let written = String::from_utf8(out).unwrap();
            assert_eq!(written, expected, "{name}");
            assert!(!written.chars().any(char::is_control), "{name}");
            if let Some(quoted) = written.strip_prefix('"') {
                assert!(quoted.ends_with('"'), "{name}");
                assert_eq!(serde_json::from_str::<String>(&written).unwrap(), value, "{name}: read back");
            }
        }
    }

    proptest::proptest! {
        /// A reader that knows nothing but the rule of quotes finds one value again, whatever it is.
        #[test]
        fn a_value_stays_one_value(value in "\\PC*|[\\x00-\\x7f]*") {
            let mut out = Vec::new();
            put_text(Format::Logfmt, &mut out, &value);
            let written = String::from_utf8(out).unwrap();
            match written.starts_with('"') {
                true => proptest::prop_assert_eq!(serde_json::from_str::<String>(&written).unwrap(), value),
                false => proptest::prop_assert!(written == value && !value.contains([' ', '=', '"', '\n'])),
            }
        }
    }
}
