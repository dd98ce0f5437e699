//! Refusals: the internal reason, and the one translation of it to what the caller is told.
//!
//! The reason goes to the log and to `storegate explain`; the caller learns the code, which never
//! says whether a credential is unknown, revoked or expired.

use std::borrow::Cow;
use std::time::Duration;

use http::{HeaderValue, StatusCode};

use super::kind::Kinds;
use crate::wire::head::HeadError;
use crate::wire::session_token::SessionTokenError;
use crate::wire::target::TargetError;

/// Why a request is not forwarded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The request target has no normal form.
    #[error("the request target cannot be used: {0}")]
    Target(TargetError),
    /// The head has a form that two readers could understand differently.
    #[error("the request head is malformed: {0}")]
    Syntax(HeadError),
    /// `Host` is missing, repeated or malformed (RFC 9112 section 3.2).
    #[error("the request needs exactly one valid Host")]
    Host,
    /// `Content-Length` and `Transfer-Encoding` together, or several lengths (RFC 9112 section 6.3).
    #[error("the length of the body is stated in more than one way")]
    Framing,
    /// The body breaks off, is not as long as it said, or has malformed chunks (RFC 9112 section 7.1).
    #[error("the body is not framed as the head says")]
    Body,
    /// `Connection` names a header that identifies the caller, tells the way or frames the message
    /// (RFC 9110 section 7.6.1).
    #[error("Connection names a header that the client may not have removed")]
    Nominated,
    /// `Connection` has a member that is no name, or too many of them.
    #[error("Connection is malformed or has too many members")]
    Connection,
    /// `X-Forwarded-For` from a trusted proxy has something other than addresses.
    #[error("X-Forwarded-For from a trusted proxy is malformed")]
    Forwarded,
    /// More bytes in the head than allowed.
    #[error("the request head is too large")]
    HeadTooLarge,
    /// More fields in the head than allowed.
    #[error("the request head has too many fields")]
    TooManyFields,
    /// The path has parameters (`;x=y`) or empty segments without which it would take another route.
    #[error("without its parameters and empty segments the path would take another route")]
    MisleadingPath,
    /// TRACE would echo credentials (RFC 9110 section 9.3.8).
    #[error("the method is never forwarded")]
    Method,
    /// No route has this path.
    #[error("no route matches the path")]
    NoRoute,
    /// A route has this path, with other methods.
    #[error("the route does not list the method")]
    MethodNotListed(HeaderValue),
    /// No credential, or half of one.
    #[error("no complete credential was presented")]
    MissingCredential,
    /// Bearer beside client headers (RFC 6750 section 2).
    #[error("a bearer token and client credentials were both presented")]
    TwoCredentials,
    /// `Authorization` on several lines.
    #[error("Authorization was sent more than once")]
    RepeatedAuthorization,
    /// The header of a token stands on several lines.
    #[error("the header of a token was sent more than once")]
    RepeatedTokenHeader,
    /// The customer token is malformed, unknown, ended, or of another store.
    #[error("the customer token is malformed, unknown, ended, or of another store")]
    CustomerToken,
    /// The route takes other kinds.
    #[error("the route does not take this kind of credential")]
    KindNotAccepted(Kinds),
    /// `X-Client-Id` on several lines.
    #[error("X-Client-Id was sent more than once")]
    RepeatedClientId,
    /// `X-Client-Secret` on several lines.
    #[error("X-Client-Secret was sent more than once")]
    RepeatedSecret,
    /// The client id is no client id.
    #[error("the client id is malformed")]
    MalformedClientId,
    /// No app has the client id.
    #[error("no app has this client id")]
    UnknownClient,
    /// The app is disabled.
    #[error("the app is disabled")]
    AppDisabled,
    /// No generation of the app's secret equals the presented one.
    #[error("the secret is malformed, wrong, or rotated out")]
    WrongSecret,
    /// Client credentials without a store.
    #[error("no store id was sent")]
    MissingStoreId,
    /// The store id is no store id.
    #[error("the store id is malformed")]
    MalformedStoreId,
    /// The store id stands on several lines or several times in the query.
    #[error("the store id was sent more than once")]
    RepeatedStoreId,
    /// Header and query name different stores.
    #[error("header and query name different stores")]
    StoreIdsDiffer,
    /// The app has no installation in force in the store, or there is no such store.
    #[error("the app has no active installation in this store")]
    NotInstalled,
    /// The store is suspended.
    #[error("the store is suspended")]
    StoreSuspended,
    /// The caller's address is not in the app's list.
    #[error("the caller's address is not in the app's list")]
    AddressNotAllowed,
    /// Scopes are missing: all that the route demands, separated by blanks.
    #[error("a scope is missing; required: {0}")]
    Scope(Box<str>),
    /// The bearer value is neither an opaque token nor a session token.
    #[error("the bearer token is malformed or of another family")]
    MalformedToken,
    /// No token has this digest.
    #[error("the token is unknown")]
    UnknownToken,
    /// The token was revoked.
    #[error("the token is revoked")]
    RevokedToken,
    /// The token's time is over.
    #[error("the token is expired")]
    ExpiredToken,
    /// The generation of the app's secret that the token was obtained with is rotated out.
    #[error("the secret that the token was obtained with has ended")]
    TokenOfEndedSecret,
    /// The Host is the domain of another store than the token's (Shopify's routes).
    #[error("the Host is the domain of another store than the token's")]
    TokenOfOtherShop,
    /// The token's app does not exist, is disabled, or is no longer installed.
    #[error("the token's app is disabled or no longer installed")]
    TokenWithoutInstallation,
    /// The session token fails by itself.
    #[error("the session token fails: {0}")]
    Session(SessionTokenError),
    /// The session token's signature is not the app's.
    #[error("the session token's signature is not of the app's signing key")]
    SessionSignature,
    /// The session token names an installation that is not its store's or app's.
    #[error("the session token's claims do not belong together")]
    SessionClaims,
    /// `X-Store-Id` names another store than the token.
    #[error("X-Store-Id names another store than the token")]
    StoreMismatch,
    /// Too many failures.
    #[error("too many failed attempts")]
    TooManyFailures(Duration),
    /// More requests than the limit allows.
    #[error("the rate limit is used up")]
    RateLimited(Duration),
    /// No room for another bcrypt computation.
    #[error("the secret checks are saturated")]
    Saturated,
    /// The replica cannot be read, or is too old.
    #[error("the replica cannot be read")]
    ReplicaUnavailable,
    /// The upstream cannot be reached, or broke off.
    #[error("the upstream cannot be reached or broke off")]
    UpstreamUnreachable,
    /// The upstream did not answer in time.
    #[error("the upstream did not answer in time")]
    UpstreamTimeout,
    /// The body of the request comes too slowly (RFC 9110 section 15.5.9).
    #[error("the body of the request came too slowly")]
    SlowBody,
}

/// What the caller is told: the `code` of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // each is its own name
pub enum Code {
    InvalidRequest,
    HeadTooLarge,
    RequestTimeout,
    NotFound,
    MethodNotAllowed,
    MissingToken,
    InvalidToken,
    InvalidClient,
    CredentialNotAccepted,
    MissingStoreId,
    InvalidStoreId,
    NotInstalled,
    StoreSuspended,
    StoreMismatch,
    IpNotAllowed,
    InsufficientScope,
    RateLimitExceeded,
    ServiceUnavailable,
    BadGateway,
    GatewayTimeout,
}

impl Code {
    /// Every code.
    pub const ALL: [Self; 20] = [
        Self::InvalidRequest,
        Self::HeadTooLarge,
        Self::RequestTimeout,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::MissingToken,
        Self::InvalidToken,
        Self::InvalidClient,
        Self::CredentialNotAccepted,
        Self::MissingStoreId,
        Self::InvalidStoreId,
        Self::NotInstalled,
        Self::StoreSuspended,
        Self::StoreMismatch,
        Self::IpNotAllowed,
        Self::InsufficientScope,
        Self::RateLimitExceeded,
        Self::ServiceUnavailable,
        Self::BadGateway,
        Self::GatewayTimeout,
    ];

    /// The code as the body spells it. A head that is too large is an `invalid_request` too.
    pub const fn name(self) -> &'static str {
        match self {
            Self::InvalidRequest | Self::HeadTooLarge => "invalid_request",
            Self::RequestTimeout => "request_timeout",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::MissingToken => "missing_token",
            Self::InvalidToken => "invalid_token",
            Self::InvalidClient => "invalid_client",
            Self::CredentialNotAccepted => "credential_not_accepted",
            Self::MissingStoreId => "missing_store_id",
            Self::InvalidStoreId => "invalid_store_id",
            Self::NotInstalled => "not_installed",
            Self::StoreSuspended => "store_suspended",
            Self::StoreMismatch => "store_mismatch",
            Self::IpNotAllowed => "ip_not_allowed",
            Self::InsufficientScope => "insufficient_scope",
            Self::RateLimitExceeded => "rate_limit_exceeded",
            Self::ServiceUnavailable => "service_unavailable",
            Self::BadGateway => "bad_gateway",
            Self::GatewayTimeout => "gateway_timeout",
        }
    }

    /// The HTTP status.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::InvalidRequest | Self::MissingStoreId | Self::InvalidStoreId => StatusCode::BAD_REQUEST,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::MissingToken
            | Self::InvalidToken
            | Self::InvalidClient
            | Self::CredentialNotAccepted
            | Self::NotInstalled => StatusCode::UNAUTHORIZED,
            Self::StoreSuspended | Self::StoreMismatch | Self::IpNotAllowed | Self::InsufficientScope => {
                StatusCode::FORBIDDEN
            }
            Self::RateLimitExceeded => StatusCode::TOO_MANY_REQUESTS,
            Self::ServiceUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::BadGateway => StatusCode::BAD_GATEWAY,
            Self::GatewayTimeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }
}

impl Reason {
    /// Whether it was the credential, or what was looked up for it, that the request was refused for.
    pub(super) fn is_of_credential(&self) -> bool {
        match self.code() {
            Code::MissingToken
            | Code::InvalidToken
            | Code::InvalidClient
            | Code::CredentialNotAccepted
            | Code::MissingStoreId
            | Code::InvalidStoreId
            | Code::NotInstalled
            | Code::StoreSuspended
            | Code::StoreMismatch
            | Code::IpNotAllowed
            | Code::InsufficientScope
            | Code::ServiceUnavailable => true,
            Code::InvalidRequest => matches!(self, Self::TwoCredentials | Self::RepeatedAuthorization),
            Code::RateLimitExceeded => matches!(self, Self::TooManyFailures(_)),
            Code::HeadTooLarge
            | Code::NotFound
            | Code::MethodNotAllowed
            | Code::RequestTimeout
            | Code::BadGateway
            | Code::GatewayTimeout => false,
        }
    }

    /// The `message` of the body. Clients compare those of the first six codes (contract, section 4).
    pub fn message(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::MissingCredential => {
                "Access denied. Provide Bearer token or X-Client-Id + X-Client-Secret."
            }
            Self::RepeatedClientId | Self::MalformedClientId | Self::UnknownClient | Self::AppDisabled => {
                "Invalid client_id."
            }
            Self::RepeatedSecret | Self::WrongSecret => "Invalid client_secret.",
            Self::MissingStoreId => {
                "X-Store-Id header (or store_id param) is required with client credentials."
            }
            Self::NotInstalled => "App is not installed for this store.",
            Self::Scope(scope) => return Cow::Owned(format!("Insufficient scope. Required: {scope}")),
            Self::KindNotAccepted(kinds) => {
                let names: Vec<_> = kinds.iter().map(super::Kind::name).collect();
                return Cow::Owned(format!(
                    "This route does not accept this kind of credential. Accepted: {}.",
                    names.join(", ")
                ));
            }
            Self::Target(why) => return Cow::Owned(format!("Malformed request target: {why}.")),
            Self::Syntax(why) => return Cow::Owned(format!("Malformed request head: {why}.")),
            Self::Host => "Exactly one valid Host header is required.",
            Self::Framing => "The request states the length of its body in more than one way.",
            Self::Body => "The body does not have the length or the chunks that the head announces.",
            Self::Nominated => {
                "The Connection header may not name credential, identity, forwarding or framing headers."
            }
            Self::Connection => "Malformed Connection header.",
            Self::Forwarded => "Malformed X-Forwarded-For header.",
            Self::MisleadingPath => "Path parameters and empty segments are not supported here.",
            Self::HeadTooLarge | Self::TooManyFields => "The request head is too large.",
            Self::SlowBody => "The request body came too slowly.",
            Self::Method => "This method is not supported.",
            Self::NoRoute => "No such route.",
            Self::MethodNotListed(_) => "Method not allowed on this route; see the Allow header.",
            Self::TwoCredentials => {
                "Provide either a Bearer token or X-Client-Id + X-Client-Secret, not both."
            }
            Self::RepeatedAuthorization => "The Authorization header may be sent only once.",
            Self::RepeatedTokenHeader => "The header of a token may be sent only once.",
            Self::CustomerToken => "Invalid or expired customer token.",
            Self::MalformedStoreId => "Invalid store id: digits only, without sign or leading zero.",
            Self::RepeatedStoreId => "The store id may be sent only once.",
            Self::StoreIdsDiffer => "X-Store-Id header and store_id param name different stores.",
            Self::StoreSuspended => "This store is suspended.",
            Self::StoreMismatch => "X-Store-Id names another store than the access token.",
            Self::AddressNotAllowed => "Requests from this address are not allowed for this app.",
            Self::TooManyFailures(_) => "Too many failed attempts. Try again later.",
            Self::RateLimited(_) => "Too many requests. Try again later.",
            Self::Saturated => "Too many secrets are being checked. Try again shortly.",
            Self::ReplicaUnavailable => "Credentials cannot be checked at the moment. Try again shortly.",
            Self::UpstreamUnreachable => "The upstream service could not be reached.",
            Self::UpstreamTimeout => "The upstream service did not answer in time.",
            Self::MalformedToken
            | Self::UnknownToken
            | Self::RevokedToken
            | Self::ExpiredToken
            | Self::TokenWithoutInstallation
            | Self::TokenOfEndedSecret
            | Self::TokenOfOtherShop
            | Self::Session(_)
            | Self::SessionSignature
            | Self::SessionClaims => "Invalid or expired access token.",
        })
    }

    /// The challenge of a 401 (RFC 9110 section 11.6.1) and of a missing scope (RFC 6750 section 3).
    pub fn challenge(&self) -> Option<HeaderValue> {
        if let Self::Scope(scope) = self {
            let text = format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\"");
            // Captured path parts may hold quotes; such a scope is told by the body alone.
            let quotable = !scope.contains(['"', '\\']);
            let plain = HeaderValue::from_static("Bearer error=\"insufficient_scope\"");
            return Some(HeaderValue::try_from(text).ok().filter(|_| quotable).unwrap_or(plain));
        }
        match self.code() {
            Code::InvalidToken => Some(HeaderValue::from_static("Bearer error=\"invalid_token\"")),
            code if code.status() == StatusCode::UNAUTHORIZED => Some(HeaderValue::from_static("Bearer")),
            _ => None,
        }
    }

    /// The value of `Allow`, which every 405 needs (RFC 9110 section 15.5.6).
    pub fn allow(&self) -> Option<HeaderValue> {
        match self {
            Self::MethodNotListed(allow) => Some(allow.clone()),
            Self::Method => Some(HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")),
            _ => None,
        }
    }

    /// When to come back, in whole seconds, never too early (RFC 9110 section 10.2.3; clients of the platform misread
    /// the form with a date).
    pub fn retry_after(&self) -> Option<u64> {
        match self {
            Self::TooManyFailures(wait) | Self::RateLimited(wait) => {
                Some((wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1))
            }
            Self::Saturated | Self::ReplicaUnavailable => Some(1),
            _ => None,
        }
    }
}
