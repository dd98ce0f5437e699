//! The Authorization field (RFC 9110 section 11.6.2) and the shape of a bearer token.
//!
//! It tells families apart by form alone: whether a token is known, or a signature right, is for the
//! gate. Counting field lines is the caller's.

use std::fmt;

use super::blank::{is_blank, trim};
use super::class::Class;

/// The longest opaque token that is hashed, in bytes.
pub const MAX_OPAQUE_BYTES: usize = 256;

/// The longest session token that is decoded, in bytes.
pub const MAX_SESSION_BYTES: usize = 4096;

/// One field value that is not empty.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Authorization<'a> {
    /// The Bearer scheme (RFC 6750 section 2.1), in any case, with what follows it; empty when nothing
    /// does. It may still have any byte: see [`shape`].
    Bearer(&'a [u8]),
    /// Another scheme. Its credentials are nothing that we read.
    Other,
}

/// Reads one field value; `None` for an empty or blank one, which counts as absent.
pub fn parse(value: &[u8]) -> Option<Authorization<'_>> {
    let value = trim(value);
    let scheme_end = value.iter().position(is_blank).unwrap_or(value.len());
    let (scheme, credentials) = value.split_at(scheme_end);
    match scheme {
        b"" => None,
        scheme if scheme.eq_ignore_ascii_case(b"bearer") => Some(Authorization::Bearer(trim(credentials))),
        _ => Some(Authorization::Other),
    }
}

/// The credentials are left out.
impl fmt::Debug for Authorization<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bearer(b"") => "Bearer()",
            Self::Bearer(_) => "Bearer(…)",
            Self::Other => "Other",
        })
    }
}

/// The family that a bearer token's form speaks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// An opaque access token: to be hashed and looked up.
    Opaque,
    /// Three base64url parts: to be read by [`super::session_token`].
    Session,
    /// Neither, or too long for its family; it is refused before any hashing.
    Unknown,
}

/// Tells the family of a bearer token. A token that begins with `access_token_prefix` is opaque or
/// nothing; it must be token68 (RFC 9110 section 11.2), go on after the prefix, and hold at most
/// [`MAX_OPAQUE_BYTES`]. A session token is three non-empty base64url parts of at most
/// [`MAX_SESSION_BYTES`] together.
pub fn shape(token: &[u8], access_token_prefix: &str) -> Shape {
    if let Some(rest) = token.strip_prefix(access_token_prefix.as_bytes()) {
        let well_formed = !rest.is_empty() && token.len() <= MAX_OPAQUE_BYTES && is_token68(token);
        return if well_formed { Shape::Opaque } else { Shape::Unknown };
    }
    if token.len() <= MAX_SESSION_BYTES && is_three_parts(token) { Shape::Session } else { Shape::Unknown }
}

fn is_token68(token: &[u8]) -> bool {
    let padding = token.iter().rev().take_while(|&&b| b == b'=').count();
    let characters = &token[..token.len() - padding];
    !characters.is_empty() && TOKEN68.holds_all(characters)
}

static TOKEN68: Class = Class::alphanumeric_and(b"-._~+/");
static BASE64URL: Class = Class::alphanumeric_and(b"-_");

fn is_three_parts(token: &[u8]) -> bool {
    let mut parts = 0;
    token.split(|&b| b == b'.').all(|part| {
        parts += 1;
        parts <= 3 && !part.is_empty() && BASE64URL.holds_all(part)
    }) && parts == 3
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn schemes() {
        let bearer = |credentials| Some(Authorization::Bearer(credentials));
        let other = Some(Authorization::Other);
        for (value, expected) in [
            ("", None),
            (" ", None),
            ("\t \t", None),
            ("Bearer abc", bearer(b"abc".as_slice())),
            ("bearer abc", bearer(b"abc")),
            ("BEARER abc", bearer(b"abc")),
            ("bEaReR    abc", bearer(b"abc")),
            ("Bearer\tabc", bearer(b"abc")),
            ("Bearer \t abc \t", bearer(b"abc")),
            ("  Bearer abc", bearer(b"abc")),
            ("Bearer", bearer(b"")),
            ("Bearer ", bearer(b"")),
            ("Bearer \t", bearer(b"")),
            ("Bearer a b", bearer(b"a b")),
            ("Bearer Bearer a", bearer(b"Bearer a")),
            ("Bearer a, Bearer b", bearer(b"a, Bearer b")),
            ("Bearer é", bearer("é".as_bytes())),
            ("Bearerabc", other),
            ("Bearerx abc", other),
            ("Bearer,abc", other),
            ("Bearer=abc", other),
            ("Bearer\u{a0}abc", other),
            ("Bearer\0abc", other),
            ("\"Bearer\" abc", other),
            ("Bear er abc", other),
            ("Basic YTpi", other),
            ("Token abc", other),
            ("sx_at_abc", other),
            (",Bearer abc", other),
        ] {
            assert_eq!(parse(value.as_bytes()), expected, "{value:?}");
        }
        assert_eq!(parse(b"Bearer \xff"), bearer(b"\xff"));
        assert_eq!(parse(b"\xff"), other);
    }

    #[test]
    fn opaque_tokens() {
        let rest = |n: usize| format!("sx_at_{}", "a".repeat(n));
        for good in ["sx_at_1", "sx_at_dd0f155b", "sx_at_-._~+/aZ9", "sx_at_a==", "sx_at_a.b.c", &rest(250)] {
            assert_eq!(shape(good.as_bytes(), "sx_at_"), Shape::Opaque, "{good}");
        }
        for bad in [
            "",
            "sx_at_",
            "sx_at",
            "SX_AT_1",
            " sx_at_1",
            "sx_at_1 ",
            "sx_at_1 sx_at_2",
            "sx_at_1,sx_at_2",
            "sx_at_a=b",
            "sx_at_a\0",
            "sx_at_é",
            "sx_at_a\"",
            "sx_at_a%20",
            "sx_at_a:b",
            "sx_rt_1",
            "sx_secret_1",
            "shpat_1",
            "Bearer sx_at_1",
            &rest(251),
            &format!("sx_at_{0}.{0}.{0}", "a".repeat(100)),
        ] {
            assert_eq!(shape(bad.as_bytes(), "sx_at_"), Shape::Unknown, "{bad:?}");
        }
        assert_eq!(shape(b"sx_at_\xff", "sx_at_"), Shape::Unknown);
        assert_eq!(shape(b"shpat_1", "shpat_"), Shape::Opaque);
    }

    #[test]
    fn session_tokens() {
        let long = |n: usize| format!("a.b.{}", "c".repeat(n));
        for good in ["a.b.c", "eyJh-_.eyJz.0_-", &long(4092)] {
            assert_eq!(shape(good.as_bytes(), "sx_at_"), Shape::Session, "{good}");
        }
        for bad in [
            "a",
            "a.b",
            ".",
            "..",
            "...",
            "a..c",
            ".b.c",
            "a.b.",
            "a.b.c.",
            "a.b.c.d",
            "a.b.c.d.e",
            "a.b.c=",
            "a.b.c==",
            "a.b.c+",
            "a.b.c/",
            "a.b.c~",
            "a.b. c",
            "a.b.c ",
            "a.b.c\n",
            "a.b.é",
            "a.b.c,a.b.c",
            &long(4093),
        ] {
            assert_eq!(shape(bad.as_bytes(), "sx_at_"), Shape::Unknown, "{bad:?}");
        }
    }

    #[test]
    fn debug_shows_no_credentials() {
        assert_eq!(format!("{:?}", parse(b"Bearer sx_at_1").unwrap()), "Bearer(…)");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn nothing_panics(value in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Some(Authorization::Bearer(token)) = parse(&[b"Bearer ".as_slice(), &value].concat()) {
                let _ = shape(token, "sx_at_");
            }
            let _ = (parse(&value), shape(&value, ""), shape(&value, "sx_at_"));
        }
    }
}
