//! What the identity provider remembers: who is signed in, what was granted, and the tokens of it.

use super::{ClientId, ScopeSet, Secret, StoreId, Subject, Timestamp};

/// A browser in which somebody is signed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignIn {
    /// Who it is.
    pub subject: Subject,
    /// When they proved it.
    pub auth_time: Timestamp,
    /// When they were seen last, to the minute.
    pub seen_at: Timestamp,
    /// When it ends whatever happens.
    pub ends_at: Timestamp,
}

/// What somebody granted a client.
#[derive(Debug, Clone)]
pub struct Consent {
    /// The client.
    pub client: ClientId,
    /// Its name, as people are shown it.
    pub client_name: String,
    /// Where it lives, as people know it.
    pub client_site: String,
    /// The store that a merchant chose.
    pub store: Option<StoreId>,
    /// Its name; empty where it has none.
    pub store_name: String,
    /// What it may know.
    pub scopes: ScopeSet,
    /// When.
    pub given_at: Timestamp,
}

/// One sign-in at a client: what its tokens stand for.
#[derive(Debug, Clone)]
pub struct Grant {
    /// Its number.
    pub id: i64,
    /// To whom it was given.
    pub client: ClientId,
    /// Who gave it.
    pub subject: Subject,
    /// The store that it is about, where there is one.
    pub store: Option<StoreId>,
    /// What was granted.
    pub scopes: ScopeSet,
    /// When the person proved who they are.
    pub auth_time: Timestamp,
    /// What the client wants to see again in the ID token.
    pub nonce: Option<String>,
}

/// Which token of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// Reads claims.
    Access,
    /// Gets a new pair, once.
    Refresh,
}

/// A token that works at this moment.
#[derive(Debug, Clone)]
pub struct IdentityToken {
    /// Which one of the pair.
    pub kind: TokenKind,
    /// What it stands for; its scopes are those of the token.
    pub grant: Grant,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When it stops working.
    pub expires_at: Timestamp,
}

/// What a key of the identity provider is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyPurpose {
    /// Signs ID tokens: a P-256 key as PKCS #8.
    IdToken,
    /// Seals what travels through the browser and comes back: 32 bytes for HMAC-SHA-256.
    Pages,
}

impl KeyPurpose {
    /// As the replica stores it.
    pub fn name(self) -> &'static str {
        match self {
            Self::IdToken => "id_token",
            Self::Pages => "pages",
        }
    }
}

/// A key as the replica stores it.
#[derive(Debug, Clone)]
pub struct StoredKey {
    /// Its name (RFC 7517 section 4.5).
    pub kid: String,
    /// What it is for.
    pub purpose: KeyPurpose,
    /// The key, hexadecimal.
    pub private: Secret,
    /// From when on it is the one to sign with, until another starts.
    pub starts_at: Timestamp,
}
