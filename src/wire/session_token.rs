//! Session tokens: compact JWS (RFC 7515 section 7.1) with HS256, read strictly.
//!
//! A token that this module has read is not yet verified: the signature is checked by the holder of
//! the app's key, and what the claims name by the gate. Key selection by header (`kid`, `jku`, `jwk`)
//! does not exist: the key is the app's, whatever the header says.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;

use super::authorization::MAX_SESSION_BYTES;
use super::members::{Members, NotMembers, Value};
use crate::model::{AppId, InstallationId, SessionKey, StoreId, Timestamp};

/// How far `iat` may be ahead of our clock, in seconds.
pub const MAX_CLOCK_SKEW: i64 = 10;

/// The longest life, `exp` less `iat`, in seconds.
pub const MAX_LIFE: i64 = 600;

/// What a session token was refused for. It goes to the log; the caller hears `invalid_token`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SessionTokenError {
    /// Not three non-empty parts of at most [`MAX_SESSION_BYTES`].
    #[error("the session token is not three parts of a bounded size")]
    Shape,
    /// A part is not canonical base64url without padding (RFC 7515 section 2).
    #[error("a part of the session token is not canonical base64url")]
    Encoding,
    /// The header or the claims are not one JSON object in UTF-8.
    #[error("the header or the claims are not a JSON object")]
    NotAnObject,
    /// A name occurs twice (RFC 7515 section 4, RFC 7519 section 4).
    #[error("a name occurs twice in the header or the claims")]
    DuplicateName,
    /// `alg` is not exactly `HS256`.
    #[error("alg is not HS256")]
    Algorithm,
    /// A header parameter that changes what the token means: `crit`, `enc`, `zip` or `b64`.
    #[error("the header has {0}")]
    Extension(&'static str),
    /// The signature does not have the 32 bytes of HMAC-SHA256.
    #[error("the signature is not 32 bytes")]
    SignatureLength,
    /// A required claim is missing.
    #[error("the claim {0} is missing")]
    MissingClaim(&'static str),
    /// A claim is not a whole number in its range.
    #[error("the claim {0} is not a whole number in range")]
    WrongClaim(&'static str),
    /// `exp` is now or past.
    #[error("the session token has expired")]
    Expired,
    /// `iat` is more than [`MAX_CLOCK_SKEW`] ahead.
    #[error("the session token was issued in the future")]
    IssuedAhead,
    /// `nbf` is ahead.
    #[error("the session token is not valid yet")]
    NotYetValid,
    /// `exp` less `iat` is not within 1 to [`MAX_LIFE`].
    #[error("the session token's life is not 1 to {MAX_LIFE} s")]
    Life,
}

/// A session token that is well-formed, and not yet verified.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionToken<'a> {
    /// What the signature covers (RFC 7515 section 5.2).
    pub signing_input: &'a [u8],
    /// The presented HMAC-SHA256.
    pub signature: [u8; 32],
    /// The claims, to be believed once the signature is verified.
    pub claims: Claims,
}

/// What a session token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// `sub`: the store.
    pub store_id: StoreId,
    /// `sid`: the installation.
    pub installation_id: InstallationId,
    /// `app_id`: the app.
    pub app_id: AppId,
    /// `exp`: refused from this second on.
    pub expires_at: Timestamp,
    /// `iat`: when it was made.
    pub issued_at: Timestamp,
    /// `nbf`: refused before this second.
    pub not_before: Option<Timestamp>,
}

impl<'a> SessionToken<'a> {
    /// Reads a token.
    ///
    /// # Errors
    ///
    /// [`SessionTokenError`] for every form but the one: base64url with padding or non-zero unused
    /// bits, another `alg`, duplicate names, missing claims, claims of another type.
    pub fn parse(token: &'a [u8]) -> Result<Self, SessionTokenError> {
        let (signing_input, signature, claims) = compact(token, Claims::read)?;
        Ok(Self { signing_input, signature, claims })
    }
}

/// Splits a token, reads its header, and has its claims read: what the signature covers, the signature, and
/// the claims.
pub(super) fn compact<T>(
    token: &[u8],
    claims: impl FnOnce(&Members<'_>) -> Result<T, SessionTokenError>,
) -> Result<(&[u8], [u8; 32], T), SessionTokenError> {
    if token.len() > MAX_SESSION_BYTES {
        return Err(SessionTokenError::Shape);
    }
    let mut parts = token.split(|&byte| byte == b'.');
    let (Some(header), Some(payload), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(SessionTokenError::Shape);
    };
    if [header, payload, signature].iter().any(|part| part.is_empty()) {
        return Err(SessionTokenError::Shape);
    }
    let mut buffer = [0; MAX_SESSION_BYTES / 4 * 3];
    check_header(&members(decode(header, &mut buffer)?)?)?;
    let claims = claims(&members(decode(payload, &mut buffer)?)?)?;
    let signature = decode(signature, &mut buffer)?;
    let signature = signature.try_into().map_err(|_| SessionTokenError::SignatureLength)?;
    Ok((&token[..header.len() + 1 + payload.len()], signature, claims))
}

/// The signed parts are left out: together they are the credential.
impl fmt::Debug for SessionToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionToken").field("claims", &self.claims).finish_non_exhaustive()
    }
}

/// Judges the claims by the clock. Only `iat` has a tolerance, for the clock of the issuer.
///
/// # Errors
///
/// [`SessionTokenError::Expired`], [`SessionTokenError::IssuedAhead`],
/// [`SessionTokenError::NotYetValid`] or [`SessionTokenError::Life`].
pub fn check_times(claims: &Claims, now: Timestamp) -> Result<(), SessionTokenError> {
    if now >= claims.expires_at {
        return Err(SessionTokenError::Expired);
    }
    if claims.issued_at > now.plus(MAX_CLOCK_SKEW) {
        return Err(SessionTokenError::IssuedAhead);
    }
    if claims.not_before.is_some_and(|start| start > now) {
        return Err(SessionTokenError::NotYetValid);
    }
    match claims.expires_at.0.checked_sub(claims.issued_at.0) {
        Some(1..=MAX_LIFE) => Ok(()),
        _ => Err(SessionTokenError::Life),
    }
}

/// Makes a token as the platform does, for testing an app without its dashboard.
pub fn mint(claims: &Claims, key: &SessionKey) -> String {
    let Claims { store_id, installation_id, app_id, expires_at, issued_at, not_before } = claims;
    let not_before = not_before.map(|start| format!(r#","nbf":{}"#, start.0)).unwrap_or_default();
    let payload = format!(
        r#"{{"sub":{store_id},"sid":{installation_id},"app_id":{app_id},"iat":{},"exp":{}{not_before}}}"#,
        issued_at.0, expires_at.0
    );
    let mut token = BASE64URL_NOPAD.encode(br#"{"alg":"HS256","typ":"JWT"}"#);
    token.push('.');
    BASE64URL_NOPAD.encode_append(payload.as_bytes(), &mut token);
    let signature = key.sign(token.as_bytes());
    token.push('.');
    BASE64URL_NOPAD.encode_append(&signature, &mut token);
    token
}

impl Claims {
    fn read(members: &Members<'_>) -> Result<Self, SessionTokenError> {
        let not_before = match members.value("nbf") {
            Some(_) => Some(time(members, "nbf")?),
            None => None,
        };
        Ok(Self {
            store_id: StoreId::new(number(members, "sub")?).ok_or(SessionTokenError::WrongClaim("sub"))?,
            installation_id: InstallationId(id(members, "sid")?),
            app_id: AppId(id(members, "app_id")?),
            expires_at: time(members, "exp")?,
            issued_at: time(members, "iat")?,
            not_before,
        })
    }
}

fn id(members: &Members<'_>, name: &'static str) -> Result<i64, SessionTokenError> {
    match number(members, name)? {
        0 => Err(SessionTokenError::WrongClaim(name)),
        id => Ok(id.cast_signed()), // below 2^53
    }
}

pub(super) fn time(members: &Members<'_>, name: &'static str) -> Result<Timestamp, SessionTokenError> {
    Ok(Timestamp(number(members, name)?.cast_signed())) // below 2^53
}

/// A claim of 0 to 2^53 - 1: a JSON integer, or its plain digits as a string, which the platform's own
/// library takes as well.
fn number(members: &Members<'_>, name: &'static str) -> Result<u64, SessionTokenError> {
    let number = match members.value(name).ok_or(SessionTokenError::MissingClaim(name))? {
        Value::Integer(number) => Some(*number),
        Value::Text(digits) if is_plain_number(digits) => digits.parse().ok(),
        Value::Text(_) | Value::Other => None,
    };
    number.filter(|&n| n <= StoreId::MAX).ok_or(SessionTokenError::WrongClaim(name))
}

pub(super) fn is_plain_number(digits: &str) -> bool {
    !digits.is_empty()
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && (digits == "0" || !digits.starts_with('0'))
}

fn check_header(header: &Members<'_>) -> Result<(), SessionTokenError> {
    for extension in ["crit", "enc", "zip", "b64"] {
        if header.value(extension).is_some() {
            return Err(SessionTokenError::Extension(extension));
        }
    }
    match header.value("alg") {
        Some(Value::Text(alg)) if alg == "HS256" => Ok(()),
        _ => Err(SessionTokenError::Algorithm),
    }
}

fn members(json: &[u8]) -> Result<Members<'_>, SessionTokenError> {
    let text = std::str::from_utf8(json).map_err(|_| SessionTokenError::NotAnObject)?;
    Members::parse(text).map_err(|error| match error {
        NotMembers::Syntax => SessionTokenError::NotAnObject,
        NotMembers::Duplicate => SessionTokenError::DuplicateName,
    })
}

/// `buffer` holds what any part of a token of [`MAX_SESSION_BYTES`] decodes to.
fn decode<'b>(part: &[u8], buffer: &'b mut [u8]) -> Result<&'b [u8], SessionTokenError> {
    let length = BASE64URL_NOPAD.decode_len(part.len()).map_err(|_| SessionTokenError::Encoding)?;
    let buffer = buffer.get_mut(..length).ok_or(SessionTokenError::Shape)?;
    // Non-zero unused bits are refused by this alphabet: one signature has one spelling.
    let length = BASE64URL_NOPAD.decode_mut(part, buffer).map_err(|_| SessionTokenError::Encoding)?;
    Ok(&buffer[..length])
}

#[cfg(test)]
#[path = "session_token_tests.rs"]
mod tests;
