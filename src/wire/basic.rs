//! HTTP Basic (RFC 7617) as token endpoints read it: user and password are a client id and a secret, each
//! form-encoded before they were joined (RFC 6749 section 2.3.1).
//!
//! Libraries differ in what they encode: `sx_app_1` and `sx%5Fapp%5F1` are the same client. A plus sign is
//! taken as it is: no id and no secret has a blank, and many libraries do not encode at all.

use std::fmt;

use data_encoding::BASE64;
use zeroize::Zeroizing;

use super::blank::{is_blank, trim};
use super::percent::triplet;

/// The longest credentials that are decoded, in bytes of base64.
const MAX_BYTES: usize = 2048;

/// A client id and a secret that came as HTTP Basic.
pub struct Basic {
    /// The id, decoded.
    pub id: String,
    /// The secret, decoded.
    pub secret: Zeroizing<String>,
}

/// What one Authorization field is to a token endpoint.
pub enum BasicField {
    /// HTTP Basic, well-formed.
    Basic(Basic),
    /// HTTP Basic that cannot be read.
    Malformed,
    /// Another scheme, or none.
    Other,
}

/// Reads one field value.
pub fn parse(value: &[u8]) -> BasicField {
    let value = trim(value);
    let scheme_end = value.iter().position(is_blank).unwrap_or(value.len());
    let (scheme, credentials) = value.split_at(scheme_end);
    if !scheme.eq_ignore_ascii_case(b"basic") {
        return BasicField::Other;
    }
    match read(trim(credentials)) {
        Some(basic) => BasicField::Basic(basic),
        None => BasicField::Malformed,
    }
}

fn read(credentials: &[u8]) -> Option<Basic> {
    if credentials.is_empty() || credentials.len() > MAX_BYTES {
        return None;
    }
    let decoded = Zeroizing::new(BASE64.decode(credentials).ok()?);
    let colon = decoded.iter().position(|&byte| byte == b':')?;
    let id = unescaped(&decoded[..colon])?;
    let secret = unescaped(&decoded[colon + 1..])?;
    Some(Basic { id: id.to_string(), secret })
}

fn unescaped(text: &[u8]) -> Option<Zeroizing<String>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = text;
    while let [first, after @ ..] = rest {
        match triplet(rest) {
            Some(byte) => {
                bytes.push(byte);
                rest = &rest[3..];
            }
            // A percent sign of a secret that was not encoded.
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    std::str::from_utf8(&bytes).ok().map(|text| Zeroizing::new(text.to_owned()))
}

/// The credentials are left out.
impl fmt::Debug for BasicField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Basic(_) => "Basic(…)",
            Self::Malformed => "Malformed",
            Self::Other => "Other",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(field: &str) -> Option<(String, String)> {
        match parse(field.as_bytes()) {
            BasicField::Basic(basic) => Some((basic.id, basic.secret.to_string())),
            BasicField::Malformed | BasicField::Other => None,
        }
    }

    fn basic(pair: &str) -> String {
        format!("Basic {}", BASE64.encode(pair.as_bytes()))
    }

    #[test]
    fn both_spellings_are_one_client() {
        for (pair, id, secret) in [
            ("sx_app_1:sx_secret_2", "sx_app_1", "sx_secret_2"),
            ("sx%5Fapp%5f1:sx%5Fsecret%5F2", "sx_app_1", "sx_secret_2"),
            ("a:b:c", "a", "b:c"),
            ("a:b%3Ac%2B", "a", "b:c+"),
            ("a:b+c%", "a", "b+c%"),
            (":", "", ""),
        ] {
            assert_eq!(read(&basic(pair)), Some((id.to_owned(), secret.to_owned())), "{pair}");
        }
        assert!(read(&basic("a:b").replace("Basic", "bAsIc  ")).is_some());
    }

    #[test]
    fn everything_else_is_refused() {
        let malformed = [
            "Basic",
            "Basic ",
            "Basic YQ==",
            "Basic YTpi=",
            "Basic YTpi YTpi",
            "Basic a_b-",
            "Basic //8=",
            &basic(&format!("a:{}", "b".repeat(2000))),
            &format!("Basic {}", BASE64.encode(b"a:\xff")),
            &basic("a:%ff"),
        ];
        for field in malformed {
            assert!(matches!(parse(field.as_bytes()), BasicField::Malformed), "{field}");
        }
        for field in ["", "Bearer YTpi", "YTpi", "BasicYTpi"] {
            assert!(matches!(parse(field.as_bytes()), BasicField::Other), "{field}");
        }
    }
}
