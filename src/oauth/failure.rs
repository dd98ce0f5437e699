//! Why a token request is refused. The platforms say it in different words: each dialect translates.

use std::borrow::Cow;
use std::time::Duration;

use crate::gate::Unavailable;
use crate::wire::parameters::NotParameters;

/// The reason, as the rules know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// The request cannot be understood; the text says what was expected.
    Malformed(Cow<'static, str>),
    /// Another method than the endpoint has.
    Method,
    /// A grant that the endpoint does not know.
    GrantType,
    /// No client authentication, half of one, or a malformed one.
    MissingClient,
    /// No enabled app has the id.
    UnknownClient,
    /// The secret is wrong, or came in another way than the app is registered with.
    WrongSecret,
    /// The caller's address is not in the app's list.
    AddressNotAllowed,
    /// The code or refresh token is unknown, spent, expired, or another app's.
    Grant,
    /// A scope that the installation does not have.
    Scope,
    /// The app has no active installation in the store, or there is no such store.
    NotInstalled,
    /// The app may not have tokens of this store: it is of another organization.
    NotPermitted,
    /// The store is suspended.
    StoreSuspended,
    /// A bearer token was needed and none that counts was sent.
    Token,
    /// No merchant is signed in, and nobody here signs them in.
    NotSignedIn,
    /// Email address or password are wrong, or the account is not active; which is not told.
    Login,
    /// Too many requests of this client, or too many failures of this address.
    TooMany(Duration),
    /// The secret checks are saturated.
    Saturated,
    /// The records cannot be read or changed.
    Unavailable,
}

impl Failure {
    pub(super) fn malformed(why: &'static str) -> Self {
        Self::Malformed(Cow::Borrowed(why))
    }

    /// The code for the log and the metrics, in the words of RFC 6749 where it has one.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "invalid_request",
            Self::Method => "method_not_allowed",
            Self::GrantType => "unsupported_grant_type",
            Self::MissingClient | Self::UnknownClient | Self::WrongSecret => "invalid_client",
            Self::AddressNotAllowed => "ip_not_allowed",
            Self::Grant | Self::Login => "invalid_grant",
            Self::Scope => "invalid_scope",
            Self::NotInstalled => "not_installed",
            Self::NotPermitted => "not_permitted",
            Self::StoreSuspended => "store_suspended",
            Self::Token => "invalid_token",
            Self::NotSignedIn => "missing_token",
            Self::TooMany(_) => "rate_limit_exceeded",
            Self::Saturated | Self::Unavailable => "service_unavailable",
        }
    }

    /// Whether it counts against the budget of failed attempts of the caller's address.
    pub(super) fn is_attempt(&self) -> bool {
        matches!(self, Self::UnknownClient | Self::WrongSecret | Self::Grant | Self::Token | Self::Login)
    }

    /// A sentence for people.
    pub(super) fn message(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Malformed(why) => return why.clone(),
            Self::Method => "This method is not allowed here; the Allow header names those that are.",
            Self::GrantType => "This endpoint does not know the grant_type.",
            Self::MissingClient => "No client authentication was sent, or it is malformed.",
            Self::UnknownClient => "Invalid client_id.",
            Self::WrongSecret => "Invalid client_secret, or not the method that the app is registered with.",
            Self::AddressNotAllowed => "Requests from this address are not allowed for this app.",
            Self::Grant => "The code or refresh token is invalid, expired, or was used before.",
            Self::Scope => "The app does not have this scope in this store.",
            Self::NotInstalled => "App is not installed for this store.",
            Self::NotPermitted => "The app and the store are not of one organization.",
            Self::StoreSuspended => "This store is suspended.",
            Self::NotSignedIn => "No merchant is signed in.",
            Self::Token => "Invalid or expired access token.",
            Self::Login => "Email address or password are wrong.",
            Self::TooMany(_) => "Too many requests. Try again later.",
            Self::Saturated => "Too many secrets are being checked. Try again shortly.",
            Self::Unavailable => "Tokens cannot be issued at the moment. Try again shortly.",
        })
    }

    /// When to come back, in whole seconds.
    pub(super) fn retry_after(&self) -> Option<u64> {
        match self {
            Self::TooMany(wait) => Some((wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)),
            Self::Saturated | Self::Unavailable => Some(1),
            _ => None,
        }
    }
}

impl From<Unavailable> for Failure {
    fn from(_: Unavailable) -> Self {
        Self::Unavailable
    }
}

impl From<NotParameters> for Failure {
    fn from(why: NotParameters) -> Self {
        Self::Malformed(Cow::Owned(format!("Malformed body: {why}.")))
    }
}
