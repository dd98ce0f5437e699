//! Secrets and their digests. The plain form exists at creation and at presentation only, and
//! cannot be printed.

use std::fmt;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// A secret or token in clear, wiped when dropped. `Debug` says only that it is there; there is no
/// `Display`. Reading it is [`Secret::expose`], so that every place that does can be searched for.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Wraps a secret that somebody presented or typed.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// Makes `prefix` followed by 64 hexadecimal digits: 256 bits of the operating system's
    /// randomness.
    ///
    /// # Errors
    ///
    /// The operating system's error when it has no randomness to give.
    pub fn generate(prefix: &str) -> Result<Self, getrandom::Error> {
        Self::generate_of::<32>(prefix)
    }

    /// Makes `prefix` followed by the hexadecimal digits of `BYTES` random bytes, for platforms whose
    /// tokens have a length of their own.
    ///
    /// # Errors
    ///
    /// As [`Secret::generate`].
    pub fn generate_of<const BYTES: usize>(prefix: &str) -> Result<Self, getrandom::Error> {
        let mut bytes = Zeroizing::new([0u8; BYTES]);
        getrandom::fill(bytes.as_mut())?;
        let mut text = String::with_capacity(prefix.len() + 2 * BYTES);
        text.push_str(prefix);
        HEXLOWER.encode_append(bytes.as_ref(), &mut text);
        Ok(Self::new(text))
    }

    /// The secret in clear.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The SHA-256 of an opaque token: what the replica stores and looks tokens up by. Tokens carry 256
/// bits of randomness, so that a plain digest is enough; see `docs/security-model.md`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenDigest(pub [u8; 32]);

impl TokenDigest {
    /// The digest of a token's whole text, its prefix included.
    pub fn of(token: &[u8]) -> Self {
        Self(Sha256::digest(token).into())
    }
}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenDigest(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_cannot_be_printed() {
        let secret = Secret::new("sx_secret_dd0f155b".into());
        assert_eq!(format!("{secret:?}"), "Secret(…)");
        assert!(!format!("{:?}", TokenDigest::of(b"sx_at_1")).contains(char::is_numeric));
    }

    #[test]
    fn generated_secrets_are_long_and_differ() {
        let (one, two) = (Secret::generate("sx_at_").unwrap(), Secret::generate("sx_at_").unwrap());
        assert_eq!(one.expose().len(), 6 + 64);
        assert_ne!(one, two);
    }
}
