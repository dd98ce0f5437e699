//! The replica: every record of the platform on this machine, in one SQLite file, with a cache in
//! front of it.
//!
//! The invariants, and where each is kept:
//!
//! * **A stale yes is impossible.** Once a change is acknowledged, no look-up that begins answers by
//!   the state before it. `crate::cache` has the protocol; `watch.rs` and `wake.rs` carry it across
//!   processes; `journal.rs` says which keys to drop, and when that cannot be known.
//! * **No writer can forget the journal**: triggers fill it (`schema.rs`).
//! * **"Cannot tell" is never "not found".** Every failure of a look-up is
//!   [`Unavailable`](crate::gate::Unavailable) (`read.rs`, `reader.rs`).
//! * **A change is one transaction**, and on disk before it is acknowledged (`file.rs`, `write/`).
//! * **No change without a record** of who made it, in its transaction (`audit.rs`).
//! * **Memory is bounded** by the number of cached entries, and start-up does not depend on the size
//!   of the file.
//!
//! What token endpoints issue is committed in groups (`group.rs`, `issue.rs`). Off the request path a gateway records the last use of each secret (`uses.rs`) and sweeps out expired
//! tokens (`housekeeping.rs`); both can wait, and decide nothing.
//!
//! Writers in any process exclude each other by SQLite's write lock; readers never wait for them
//! (WAL). What this folder deliberately does not do: decide anything about a request.

mod audit;
mod codes;
mod complaints;
mod delay;
mod directory;
mod file;
mod granted;
mod group;
mod housekeeping;
mod identity;
mod import;
mod issue;
mod journal;
mod once;
mod pool;
mod private;
mod read;
mod reader;
mod schema;
mod seal;
mod users;
mod uses;
mod wake;
mod watch;
mod write;

pub use audit::{Action, Actor, AuditEntry, AuditFilter, MOST_ENTRIES, Retention};
pub use codes::{AuthorizationCode, CODE_LIFE, NewGrant, NewPair, REFRESH_LIFE, Redeemed};
pub use file::{OpenError, real_path};
pub use granted::granted_scopes;
pub use group::WriteQueue;
pub use import::{Imported, Progress};
pub use issue::{Installed, NewAccessToken, Shop};
pub use journal::Position;
pub use once::{Once, Repeated};
pub use private::{connect_to_gateway, read_private};
pub use reader::{Cached, Health, Options, Replica};
pub use seal::KeyError;
pub use wake::{NotEnforced, admin_listeners};
pub use watch::Watch;
pub use write::{
    AppDetail, AppInstallation, AppSummary, Claim, Committed, CreatedApp, CreatedOperator, Exchanged, Family,
    InstallationFilter, InstallationSummary, IssuedToken, NewApp, NewIdentityGrant, NewIdentityPair,
    NewOauthClient, NewUser, OauthClientSummary, OperatorSummary, Page, Prefixes, PresentedCode, Revocation,
    SecretDetail, SecretKind, SessionClaims, StoreSummary, Swept, SweptFamilies, TokenSummary, UserStore,
    UserSummary, WriteError, Writer,
};

#[cfg(test)]
mod tests;
