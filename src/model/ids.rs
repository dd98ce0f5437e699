//! Ids, each a newtype with one constructor.

use std::fmt;
use std::num::NonZeroU64;

use http::HeaderValue;

/// What an id or a name was refused for; the text completes "… is malformed: ".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub &'static str);

/// The platform's number for a store: 1 to 2^53 - 1, the range in which a JavaScript number is
/// exact.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreId(NonZeroU64);

impl StoreId {
    /// The largest store id, 2^53 - 1 (ECMA-262 `Number.MAX_SAFE_INTEGER`).
    pub const MAX: u64 = (1 << 53) - 1;

    /// A store id from its number; `None` outside 1 to [`StoreId::MAX`].
    pub fn new(number: u64) -> Option<Self> {
        NonZeroU64::new(number).filter(|n| n.get() <= Self::MAX).map(Self)
    }

    /// Reads the only accepted spelling: ASCII digits, no sign, no leading zero.
    ///
    /// # Errors
    ///
    /// [`Malformed`] for every other spelling (`022`, `1e3`, `+1`, ` 22`, `22, 23`) and for numbers
    /// out of range.
    pub fn parse(text: &[u8]) -> Result<Self, Malformed> {
        const WHY: Malformed =
            Malformed("a store id is digits without sign or leading zero, 1 to 9007199254740991");
        if text.is_empty() || text.len() > 16 || text[0] == b'0' {
            return Err(WHY);
        }
        let mut number = 0u64;
        for &byte in text {
            if !byte.is_ascii_digit() {
                return Err(WHY);
            }
            number = number * 10 + u64::from(byte - b'0'); // 16 digits stay below 2^54
        }
        Self::new(number).ok_or(WHY)
    }

    /// The number.
    pub fn get(self) -> u64 {
        self.0.get()
    }

    /// The value of the store header that the upstream receives.
    pub fn header(self) -> HeaderValue {
        HeaderValue::from(self.get())
    }
}

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreId({})", self.0)
    }
}

/// The platform's number for an app (`app_id`), 1 to 2^53 - 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AppId(pub i64);

/// The platform's number for the installation of one app in one store, 1 to 2^53 - 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstallationId(pub i64);

impl fmt::Display for AppId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for InstallationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An OAuth client identifier (RFC 6749 section 2.2), such as `sx_app_1b16…`: 1 to 128 bytes of
/// letters, digits and `. _ ~ -`. It is public: it may be logged.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(Box<str>);

impl ClientId {
    /// The longest client id, in bytes.
    pub const MAX_BYTES: usize = 128;

    /// Takes a client id over from outside.
    ///
    /// # Errors
    ///
    /// [`Malformed`] when it is empty, too long, or has another character.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        if Self::is_well_formed(text.as_bytes()) {
            Ok(Self(text.into()))
        } else {
            Err(Malformed("a client id is 1 to 128 letters, digits, '.', '_', '~' or '-'"))
        }
    }

    /// Whether [`ClientId::parse`] would take `text`; for the request path, where nothing is copied.
    pub fn is_well_formed(text: &[u8]) -> bool {
        !text.is_empty()
            && text.len() <= Self::MAX_BYTES
            && text.iter().all(|b| b.is_ascii_alphanumeric() || b"._~-".contains(b))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientId({})", self.0)
    }
}

impl std::borrow::Borrow<str> for ClientId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn store_ids_have_one_spelling() {
        for good in ["1", "22", "9007199254740991"] {
            assert_eq!(StoreId::parse(good.as_bytes()).unwrap().to_string(), good);
        }
        let refused = [
            "",
            "0",
            "00",
            "022",
            "-1",
            "+1",
            "1e3",
            "22.0",
            " 22",
            "22 ",
            "22, 23",
            "22,23",
            "abc",
            "22abc",
            "0x16",
            "٢٢",
            "9007199254740992",
            "99999999999999999999999",
            "\u{0}1",
            "1_000",
        ];
        for text in refused {
            assert!(StoreId::parse(text.as_bytes()).is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn client_ids_are_bounded_and_plain() {
        assert!(ClientId::parse("sx_app_1b16e193a28d2640d2d9734dbf4907e8").is_ok());
        assert!(ClientId::parse(&"a".repeat(128)).is_ok());
        for text in ["", "a b", "a,b", "a\nb", "é", "a/b", "a\"b", &"a".repeat(129)] {
            assert!(ClientId::parse(text).is_err(), "{text:?} was accepted");
        }
    }
}
