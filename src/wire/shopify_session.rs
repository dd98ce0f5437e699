//! Session tokens of Shopify (compact JWS with HS256): the same strict reading as our own, other claims.
//!
//! The store is named by its domain, twice (`iss`, `dest`), the app by its client id (`aud`), and `sub` is the
//! person. The clocks of that platform's libraries may differ by ten seconds.

use http::HeaderValue;

use super::host::Authority;
use super::members::{Members, Value};
use super::session_token::{MAX_LIFE, SessionTokenError, compact, is_plain_number, time};
use crate::model::{ClientId, StoreId, Timestamp};

/// How far the issuer's clock may be off, in seconds, as that platform's libraries allow.
pub const LEEWAY: i64 = 10;

/// A session token that is well-formed, and not yet verified.
pub struct ShopifySession<'a> {
    /// What the signature covers (RFC 7515 section 5.2).
    pub signing_input: &'a [u8],
    /// The presented HMAC-SHA256.
    pub signature: [u8; 32],
    /// The claims, to be believed once the signature is verified.
    pub claims: Claims,
}

/// What such a token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// `aud`: the app.
    pub client_id: ClientId,
    /// The host of `dest`, which is that of `iss`, in lower case: the store.
    pub domain: String,
    /// `sub`: the person, as the upstream is told; digits.
    pub subject: Option<HeaderValue>,
    /// `exp`.
    pub expires_at: Timestamp,
    /// `nbf`.
    pub not_before: Timestamp,
    /// `iat`.
    pub issued_at: Timestamp,
}

impl<'a> ShopifySession<'a> {
    /// Reads a token.
    ///
    /// # Errors
    ///
    /// [`SessionTokenError`] for every form but the one.
    pub fn parse(token: &'a [u8]) -> Result<Self, SessionTokenError> {
        let (signing_input, signature, claims) = compact(token, Claims::read)?;
        Ok(Self { signing_input, signature, claims })
    }
}

/// Judges the claims by the clock.
///
/// # Errors
///
/// [`SessionTokenError::Expired`], [`SessionTokenError::IssuedAhead`],
/// [`SessionTokenError::NotYetValid`] or [`SessionTokenError::Life`].
pub fn check_times(claims: &Claims, now: Timestamp) -> Result<(), SessionTokenError> {
    if now >= claims.expires_at.plus(LEEWAY) {
        return Err(SessionTokenError::Expired);
    }
    if claims.issued_at > now.plus(LEEWAY) {
        return Err(SessionTokenError::IssuedAhead);
    }
    if claims.not_before > now.plus(LEEWAY) {
        return Err(SessionTokenError::NotYetValid);
    }
    match claims.expires_at.0.checked_sub(claims.not_before.0) {
        Some(1..=MAX_LIFE) => Ok(()),
        _ => Err(SessionTokenError::Life),
    }
}

impl Claims {
    fn read(members: &Members<'_>) -> Result<Self, SessionTokenError> {
        let (issuer, destination) = (domain(members, "iss")?, domain(members, "dest")?);
        if issuer != destination {
            return Err(SessionTokenError::WrongClaim("iss"));
        }
        let client_id = ClientId::parse(text(members, "aud")?);
        let subject = match members.value("sub") {
            None => None,
            Some(Value::Text(sub)) if is_plain_number(sub) && sub.len() <= 20 => {
                let value = HeaderValue::from_str(sub).map_err(|_| SessionTokenError::WrongClaim("sub"))?;
                Some(value)
            }
            Some(Value::Integer(sub)) if *sub <= StoreId::MAX => Some(HeaderValue::from(*sub)),
            Some(_) => return Err(SessionTokenError::WrongClaim("sub")),
        };
        Ok(Self {
            client_id: client_id.map_err(|_| SessionTokenError::WrongClaim("aud"))?,
            domain: destination,
            subject,
            expires_at: time(members, "exp")?,
            not_before: time(members, "nbf")?,
            issued_at: time(members, "iat")?,
        })
    }
}

fn text<'m>(members: &'m Members<'_>, name: &'static str) -> Result<&'m str, SessionTokenError> {
    match members.value(name).ok_or(SessionTokenError::MissingClaim(name))? {
        Value::Text(text) => Ok(text),
        _ => Err(SessionTokenError::WrongClaim(name)),
    }
}

/// The host of a URL claim such as `https://shop.example/admin`.
fn domain(members: &Members<'_>, name: &'static str) -> Result<String, SessionTokenError> {
    let url = text(members, name)?;
    let wrong = SessionTokenError::WrongClaim(name);
    let rest = url.strip_prefix("https://").ok_or(wrong)?;
    let host = rest.split('/').next().unwrap_or_default();
    let authority = Authority::parse(host.as_bytes()).map_err(|_| wrong)?;
    match authority.port() {
        None => Ok(authority.host().to_ascii_lowercase()),
        Some(_) => Err(wrong),
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::BASE64URL_NOPAD;
    use serde_json::{Value as Json, json};

    use super::*;

    fn token(payload: &Json) -> String {
        let part = |json: &Json| BASE64URL_NOPAD.encode(json.to_string().as_bytes());
        let header = part(&json!({"alg": "HS256", "typ": "JWT"}));
        format!("{header}.{}.{}", part(payload), BASE64URL_NOPAD.encode(&[0; 32]))
    }

    fn good() -> Json {
        json!({"iss": "https://Shop.example/admin", "dest": "https://shop.example", "aud": "sx_app_1",
            "sub": "42", "exp": 160, "nbf": 100, "iat": 100, "jti": "f8912129-1af6", "sid": "aaea"})
    }

    #[test]
    fn the_documented_form_is_read() {
        let token = token(&good());
        let Ok(session) = ShopifySession::parse(token.as_bytes()) else { panic!("refused") };
        assert_eq!(session.claims.client_id.as_str(), "sx_app_1");
        assert_eq!(session.claims.domain, "shop.example");
        assert_eq!(session.claims.subject, Some(HeaderValue::from_static("42")));
        assert!(token.as_bytes().starts_with(session.signing_input));
        for (now, times) in [
            (89, Err(SessionTokenError::IssuedAhead)),
            (90, Ok(())),
            (100, Ok(())),
            (169, Ok(())),
            (170, Err(SessionTokenError::Expired)),
        ] {
            assert_eq!(check_times(&session.claims, Timestamp(now)), times, "{now}");
        }
        let long = Claims { expires_at: Timestamp(701), ..session.claims.clone() };
        assert_eq!(check_times(&long, Timestamp(100)), Err(SessionTokenError::Life));
        let early = Claims { not_before: Timestamp(111), ..session.claims };
        assert_eq!(check_times(&early, Timestamp(100)), Err(SessionTokenError::NotYetValid));
    }

    #[test]
    fn other_claims_are_refused() {
        let rows = [
            ("iss", json!("https://other.example/admin")),
            ("iss", json!("http://shop.example/admin")),
            ("iss", json!("shop.example")),
            ("iss", json!("https://shop.example@evil.example/admin")),
            ("iss", Json::Null),
            ("dest", json!("https://")),
            ("dest", json!("https://shop.example:8443")),
            ("dest", json!("https://shop.example?")),
            ("dest", json!(["https://shop.example"])),
            ("aud", json!(["sx_app_1"])),
            ("aud", json!("")),
            ("aud", json!("a b")),
            ("sub", json!("4a")),
            ("sub", json!({"a": 1})),
            ("sub", json!(-1)),
            ("exp", json!(1.5)),
            ("exp", json!("")),
            ("nbf", Json::Null),
            ("iat", json!(-1)),
        ];
        for (name, value) in rows {
            let mut claims = good();
            claims[name] = value.clone();
            assert!(ShopifySession::parse(token(&claims).as_bytes()).is_err(), "{name}: {value}");
        }
        for name in ["iss", "dest", "aud", "exp", "nbf", "iat"] {
            let mut claims = good();
            claims.as_object_mut().unwrap().remove(name);
            let refused = ShopifySession::parse(token(&claims).as_bytes()).err();
            assert_eq!(refused, Some(SessionTokenError::MissingClaim(name)));
        }
    }
}
