//! The vocabulary that every layer shares: ids, secrets, scopes, and the records of the replica.
//!
//! Plain data, parsed once into types that hold only valid states. Nothing here reads a socket or a
//! file; the clock is read in one place, [`Timestamp::now`].

mod cidr;
mod duration;
mod identity;
mod ids;
mod last_use;
mod local;
mod oauth_client;
mod permission;
mod plain;
mod platform;
mod record;
mod scope;
mod secret;
mod time;
mod user;

pub use cidr::AddressList;
pub use duration::parse_duration;
pub use identity::{Consent, Grant, IdentityToken, KeyPurpose, SignIn, StoredKey, TokenKind};
pub use ids::{AppId, ClientId, InstallationId, Malformed, StoreId};
pub use last_use::LastUse;
pub use local::{Remark, Requester};
pub use oauth_client::{ClientType, OauthClient, RedirectUri, csp_source, site};
pub use permission::Permission;
pub use plain::{is_deceptive, plain};
pub use platform::{Platform, Registration, TokenAuth};
#[cfg(test)]
pub(crate) use record::COMPARISONS;
pub use record::{
    AccessToken, App, AppSecret, AppStatus, CustomerToken, HoldsSecrets, Installation, InstallationStatus,
    ProofKey, SecretHash, SecretMatch, SessionKey, Store, StoreStatus,
};
pub use scope::{MalformedScope, ScopeSet};
pub use secret::{Secret, TokenDigest};
pub use time::Timestamp;
pub use user::{Email, Membership, PasswordHash, Profile, Subject, User, UserKind, UserStatus};
