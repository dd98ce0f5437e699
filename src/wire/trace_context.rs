//! `traceparent` and `tracestate`, by which traces cross a gateway (W3C Trace Context, level 1, section 3).
//!
//! Only read and judged: what is well-formed is passed on as it came, what is not is not passed on at all.

use smallvec::SmallVec;

/// The most members of `tracestate` (section 3.3.1.1).
const MOST_MEMBERS: usize = 32;

/// A well-formed `traceparent`. Its ids are hexadecimal digits in lower case, not all of them 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parent<'h> {
    /// 32 digits.
    pub trace_id: &'h str,
    /// The caller's span, 16 digits.
    pub span_id: &'h str,
    /// Whether the caller records the trace (section 3.2.2.5.1).
    pub is_sampled: bool,
}

/// Reads a `traceparent`; `None` for what must not be passed on.
pub fn parent(traceparent: &[u8]) -> Option<Parent<'_>> {
    let text = std::str::from_utf8(traceparent).ok()?;
    if !text.is_ascii() || text.len() < 55 {
        return None;
    }
    let (known, rest) = text.split_at(55);
    let mut parts = known.split('-');
    let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_hex = |part: &str, digits: usize| {
        part.len() == digits && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_zero = |part: &str| part.bytes().all(|byte| byte == b'0');
    let is_well_formed = parts.next().is_none()
        && (is_hex(version, 2) && version != "ff")
        && (is_hex(trace, 32) && !is_zero(trace))
        && (is_hex(parent, 16) && !is_zero(parent))
        && is_hex(flags, 2)
        && is_end(version, rest);
    let is_sampled = flags
        .bytes()
        .last()
        .is_some_and(|digit| matches!(digit, b'1' | b'3' | b'5' | b'7' | b'9' | b'b' | b'd' | b'f'));
    is_well_formed.then_some(Parent { trace_id: trace, span_id: parent, is_sampled })
}

/// What may follow the four parts: nothing, and after another dash whatever a later version puts there. A
/// comma would join two values (section 3.2.2.1 allows one).
fn is_end(version: &str, rest: &str) -> bool {
    let is_later = || rest.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',');
    rest.is_empty() || (version != "00" && rest.starts_with('-') && is_later())
}

/// Whether all lines of `tracestate` together are one list as section 3.3.1 writes it: at most 32 members,
/// no key twice.
pub fn is_tracestate<'h>(lines: impl Iterator<Item = &'h [u8]>) -> bool {
    let mut keys: SmallVec<[&[u8]; MOST_MEMBERS]> = SmallVec::new();
    for member in lines.flat_map(|line| line.split(|&byte| byte == b',')) {
        let member = trim(member);
        if member.is_empty() {
            continue; // allowed: list-member = key "=" value / OWS
        }
        let Some(equals) = member.iter().position(|&byte| byte == b'=') else { return false };
        let (key, value) = (&member[..equals], &member[equals + 1..]);
        if keys.len() == MOST_MEMBERS || !is_key(key) || !is_value(value) || keys.contains(&key) {
            return false;
        }
        keys.push(key);
    }
    true
}

/// Optional blanks (RFC 9110 section 5.6.3) around a member.
fn trim(mut member: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = member {
        member = rest;
    }
    member
}

/// Section 3.3.1.3.1: a name, or a tenant and a system with `@` between.
fn is_key(key: &[u8]) -> bool {
    let is_name = |name: &[u8], most: usize, may_begin_with_digit: bool| {
        let begins = name
            .first()
            .is_some_and(|byte| byte.is_ascii_lowercase() || (may_begin_with_digit && byte.is_ascii_digit()));
        let is_sign = |byte: &u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-' | b'*' | b'/')
        };
        begins && name.len() <= most && name.iter().all(is_sign)
    };
    match key.iter().position(|&byte| byte == b'@') {
        None => is_name(key, 256, false),
        Some(at) => is_name(&key[..at], 241, true) && is_name(&key[at + 1..], 14, false),
    }
}

/// Section 3.3.1.3.2: printable ASCII but for the comma and the equals sign, no blank at the end.
fn is_value(value: &[u8]) -> bool {
    (1..=256).contains(&value.len())
        && !value.ends_with(b" ")
        && value.iter().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b',' | b'='))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn parents() {
        let zero_trace = format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32));
        let cases: &[(&str, &str, bool)] = &[
            ("the example of section 3.2", GOOD, true),
            ("not sampled", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", true),
            ("flags that nobody knows yet", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff", true),
            ("a later version", "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", true),
            ("one with more", "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what", true),
            (
                "one that goes on without a dash",
                "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.what",
                false,
            ),
            ("two of a later version", "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-a,b", false),
            (
                "a blank in a later version",
                "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-a b",
                false,
            ),
            ("version ff", "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false),
            ("version 00 with more", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what", false),
            ("version 00 and a dash", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-", false),
            (
                "two values in one",
                "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01,00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                false,
            ),
            ("a trace id of zeros", &zero_trace, false),
            ("a parent id of zeros", "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", false),
            ("upper case in the trace id", "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", false),
            ("upper case in the parent id", "00-4bf92f3577b34da6a3ce929d0e0e4736-00F067AA0BA902B7-01", false),
            ("upper case in the version", "CC-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false),
            ("upper case in the flags", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0A", false),
            ("no hexadecimal digit", "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01", false),
            ("a trace id too short", "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-001", false),
            ("a trace id too long", "00-4bf92f3577b34da6a3ce929d0e0e47361-00f067aa0ba902b-01", false),
            ("a version too long", "000-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01", false),
            ("flags too short", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1", false),
            ("flags too long", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-001", false),
            ("no flags", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7", false),
            ("a dash too many", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902--01", false),
            ("other separators", "00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01", false),
            ("a blank before", " 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false),
            ("a blank behind", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 ", false),
            ("nothing", "", false),
            ("no ASCII", "00-4bf92f3577b34da6a3ce929d0e0e47\u{e9}-00f067aa0ba902b7-01", false),
        ];
        for (name, value, is_good) in cases {
            let read = parent(value.as_bytes());
            assert_eq!(read.map(|one| one.trace_id), is_good.then_some(TRACE), "{name}: {value}");
            assert_eq!(read.map(|one| one.span_id), is_good.then_some("00f067aa0ba902b7"), "{name}: {value}");
        }
        assert_eq!(parent(&[0xff; 55]), None);
    }

    #[test]
    fn only_the_last_bit_of_the_flags_says_sampled() {
        for flags in 0..=255u8 {
            let value = format!("{}{flags:02x}", &GOOD[..53]);
            assert_eq!(parent(value.as_bytes()).unwrap().is_sampled, flags & 1 == 1, "{value}");
        }
    }

    #[test]
    fn states() {
        let many = |count: usize| (0..count).map(|n| format!("k{n}=v")).collect::<Vec<_>>().join(",");
        let (most, too_many) = (many(32), many(33));
        let (long_key, longer_key) = (format!("{}=v", "k".repeat(256)), format!("{}=v", "k".repeat(257)));
        let (long, longer) = (format!("k={}", "v".repeat(256)), format!("k={}", "v".repeat(257)));
        let tenant =
            |tenant: usize, system: usize| format!("{}@{}=v", "t".repeat(tenant), "s".repeat(system));
        let (tenant_fits, tenant_long, system_long) = (tenant(241, 14), tenant(242, 14), tenant(241, 15));
        let cases: &[(&str, &[&str], bool)] = &[
            ("the example of section 3.3", &["rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"], true),
            ("in two lines", &["rojo=00f067aa0ba902b7", "congo=t61rcWkgMzE"], true),
            ("blanks around members", &["a=1 \t,  b=2\t"], true),
            ("members without anything", &["a=1,,b=2,"], true),
            ("nothing", &[""], true),
            ("a tenant", &["0fw529a3039@dt=FfIxlvZ"], true),
            ("signs of keys", &["a_-*/9=1"], true),
            ("signs of values", &["a=!\"#$%&'()*+-./:;<>?@[\\]^_`{|}~ b"], true),
            ("32 members", &[&most], true),
            ("33 members", &[&too_many], false),
            ("33 members in two lines", &[&most, "z=1"], false),
            ("a key of 256", &[&long_key], true),
            ("a key of 257", &[&longer_key], false),
            ("a value of 256", &[&long], true),
            ("a value of 257", &[&longer], false),
            ("the longest tenant and system", &[&tenant_fits], true),
            ("a longer tenant", &[&tenant_long], false),
            ("a longer system", &[&system_long], false),
            ("a key twice", &["a=1,b=2,a=3"], false),
            ("a key twice in two lines", &["a=1", "a=1"], false),
            ("no equals sign", &["a"], false),
            ("no key", &["=1"], false),
            ("no value", &["a="], false),
            ("two equals signs", &["a=1=2"], false),
            ("upper case in a key", &["Foo=1"], false),
            ("a key that begins with a digit", &["1a=1"], false),
            ("a blank in a key", &["a b=1"], false),
            ("a blank behind a key", &["a =1"], false),
            ("no tenant", &["@dt=1"], false),
            ("no system", &["t@=1"], false),
            ("two systems", &["t@a@b=1"], false),
            ("a system that begins with a digit", &["t@1=1"], false),
            ("a tab in a value", &["a=1\t2"], false),
            ("no ASCII", &["a=\u{e9}"], false),
            ("a control character", &["a=\u{1}"], false),
        ];
        for (name, lines, is_good) in cases {
            assert_eq!(is_tracestate(lines.iter().map(|line| line.as_bytes())), *is_good, "{name}");
        }
        assert!(is_tracestate(std::iter::empty()));
    }

    proptest! {
        /// Read another way: by parts, in the order of the grammar.
        #[test]
        fn only_what_the_grammar_writes_is_a_parent(
            value in "[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}",
            at in 0usize..55,
            other in any::<u8>(),
        ) {
            let expected = !value.starts_with("ff")
                && value[3..35] != "0".repeat(32)
                && value[36..52] != "0".repeat(16);
            prop_assert_eq!(parent(value.as_bytes()).is_some(), expected);
            let mut bytes = value.clone().into_bytes();
            bytes[at] = other;
            let is_hex = matches!(other, b'0'..=b'9' | b'a'..=b'f');
            let is_separator = [2, 35, 52].contains(&at);
            if is_separator != (other == b'-') || !(is_separator || is_hex) {
                prop_assert_eq!(parent(&bytes), None);
            }
        }
    }
}
