//! Session tokens, put together from text so that they can be wrong in every way.

use data_encoding::BASE64URL_NOPAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::now;
use super::world::App;

/// A session token in the making.
#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) header: String,
    pub(crate) claims: String,
    pub(crate) key: Vec<u8>,
}

impl Session {
    /// A good token of `app` in `store`, good for five minutes from now.
    pub(crate) fn of(app: &App, store: u64, installation: u64) -> Self {
        let (from, to) = (now(), now() + 300);
        let claims = format!(
            r#"{{"sub":{store},"sid":{installation},"app_id":{},"iat":{from},"exp":{to}}}"#,
            app.app_id
        );
        Self { header: r#"{"alg":"HS256","typ":"JWT"}"#.into(), claims, key: app.signing_key.into() }
    }

    pub(crate) fn header(mut self, header: &str) -> Self {
        self.header = header.into();
        self
    }

    pub(crate) fn claims(mut self, claims: impl Into<String>) -> Self {
        self.claims = claims.into();
        self
    }

    /// Replaces a part of the claims, which must be there.
    pub(crate) fn with(mut self, part: &str, other: &str) -> Self {
        assert!(self.claims.contains(part), "{part} is not in {}", self.claims);
        self.claims = self.claims.replacen(part, other, 1);
        self
    }

    pub(crate) fn key(mut self, key: impl Into<Vec<u8>>) -> Self {
        self.key = key.into();
        self
    }

    pub(crate) fn token(&self) -> String {
        let parts = [self.header.as_bytes(), self.claims.as_bytes()].map(|part| BASE64URL_NOPAD.encode(part));
        sign(&parts.join("."), &self.key)
    }
}

/// `input` with its HMAC-SHA256 (RFC 7515 section 5.1).
pub(crate) fn sign(input: &str, key: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(input.as_bytes());
    format!("{input}.{}", BASE64URL_NOPAD.encode(&mac.finalize().into_bytes()))
}
