//! The kinds of credentials that a route may ask for.

use http::HeaderValue;

/// A kind of credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An opaque access token: `Authorization: Bearer sx_at_…` (RFC 6750).
    Bearer,
    /// A session token, a JWT: `Authorization: Bearer eyJ…`.
    Session,
    /// `X-Client-Id`, `X-Client-Secret` and a store id.
    ClientCredentials,
}

impl Kind {
    /// Every kind, in the order of the documentation.
    pub const ALL: [Self; 3] = [Self::Bearer, Self::Session, Self::ClientCredentials];

    /// The kind's name in `auth = […]` and in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bearer => "bearer",
            Self::Session => "session",
            Self::ClientCredentials => "client_credentials",
        }
    }

    /// The value of the method header that the upstream receives.
    pub fn method_header(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Bearer => "oauth",
            Self::Session => "session",
            Self::ClientCredentials => "client_credentials",
        })
    }
}

/// A set of kinds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Kinds(u8);

impl Kinds {
    /// All kinds.
    pub fn all() -> Self {
        Kind::ALL.into_iter().collect()
    }

    /// Whether `kind` is in the set.
    pub fn contains(self, kind: Kind) -> bool {
        self.0 & (1 << kind as u8) != 0
    }

    /// Whether nothing is in the set.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The kinds in the set.
    pub fn iter(self) -> impl Iterator<Item = Kind> {
        Kind::ALL.into_iter().filter(move |kind| self.contains(*kind))
    }
}

impl FromIterator<Kind> for Kinds {
    fn from_iter<I: IntoIterator<Item = Kind>>(kinds: I) -> Self {
        Self(kinds.into_iter().fold(0, |set, kind| set | 1 << kind as u8))
    }
}
