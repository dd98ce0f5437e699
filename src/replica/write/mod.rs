//! What commands and the admin API change: one method per command, each one transaction.
//!
//! A change that is committed is handed out as [`Committed`]: it binds every running gateway only once
//! it was acknowledged. Each leaves an entry in the audit record, in its transaction (`audit.rs`). Writers of all processes exclude each other by SQLite's write lock
//! (`BEGIN IMMEDIATE`); one that waits longer than ten seconds gives up and says so.

mod apps;
mod grants;
mod identity_keys;
mod installations;
mod oauth_clients;
mod operators;
mod secrets;
mod sign_ins;
mod stores;
mod sweep;
mod tokens;
mod users;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};

pub(super) use apps::stored_networks;
pub use apps::{AppDetail, AppInstallation, AppSummary, CreatedApp, NewApp, SecretDetail, SecretKind};
pub use grants::{Exchanged, NewIdentityGrant, NewIdentityPair, PresentedCode};
pub(super) use identity_keys::owner as key_owner;
pub use installations::{InstallationFilter, InstallationSummary, SessionClaims};
pub use oauth_clients::{NewOauthClient, OauthClientSummary};
pub(super) use operators::by_token;
pub use operators::{Claim, CreatedOperator, OperatorSummary};
pub use stores::StoreSummary;
pub(super) use stores::checked_domain;
pub use sweep::{Family, SweptFamilies};
pub use tokens::{IssuedToken, Revocation, Swept, TokenSummary};
pub(super) use users::number as user_number;
pub use users::{NewUser, UserStore, UserSummary};

use super::audit::{Actor, Deed};
use super::delay;
use super::file::{self, OpenError};
use super::journal::{self, Position};
use super::once::{Once, Repeated};
use super::reader::Replica;
use super::seal::{self, Sealer};
use super::wake::{self, NotEnforced};
use crate::model::{ClientId, Permission, Secret, StoreId, Subject, Timestamp, UserKind, is_deceptive};

/// Why a change was not made. The texts name the thing and what to do; none holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// No app has this client id.
    #[error("there is no app {0}; `storegate app list` shows them")]
    NoApp(ClientId),
    /// No store has this number.
    #[error("there is no store {0}; `storegate store list` shows them, `storegate store add {0}` makes it")]
    NoStore(StoreId),
    /// The client id is taken.
    #[error("the app {0} exists already; leave the client id out to have a new one made")]
    AppExists(ClientId),
    /// The store id is taken.
    #[error("the store {0} exists already; `storegate store list` shows it")]
    StoreExists(StoreId),
    /// Another store has the domain.
    #[error("the domain {0} belongs to another store; `storegate store list` shows which")]
    DomainTaken(String),
    /// The app has no active installation in the store.
    #[error(
        "the app {client_id} is not installed in store {store_id}; `storegate install {client_id} {store_id}` does that"
    )]
    NotInstalled {
        /// The app.
        client_id: ClientId,
        /// The store.
        store_id: StoreId,
    },
    /// The app has no key for session tokens.
    #[error("the app {0} has no session signing key; `storegate app rotate-signing-key {0}` makes one")]
    NoSigningKey(ClientId),
    /// No operator has this name.
    #[error("there is no operator {0:?}; `storegate operator list` shows them")]
    NoOperator(String),
    /// The operator of a change is none any more.
    #[error("the operator's token is not known any more")]
    UnknownOperator,
    /// The operator lacks a permission: to do this, or to give it to somebody.
    #[error("the permission {} is required", .0.name())]
    NotPermitted(Permission),
    /// An operator would change what it may do itself.
    #[error("no operator changes or removes itself; another one does, or the holder of admin.token")]
    OwnRecord,
    /// The operator's name is taken.
    #[error("the operator {0:?} exists already; remove it first to give it a new token")]
    OperatorExists(String),
    /// The app is disabled.
    #[error("the app {0} is disabled; `storegate app enable {0}` lets it work again")]
    AppDisabled(ClientId),
    /// No installation has this number.
    #[error("there is no installation {0}")]
    NoInstallation(i64),
    /// No access token has this SHA-256.
    #[error("there is no such token")]
    NoToken,
    /// The call was carried out before. Not a failure: see [`Once`].
    #[error("it was done before, to {}", .0.subject)]
    Repeated(Box<Repeated>),
    /// The idempotency key was used for another call.
    #[error("this idempotency key was used for another call; take a new one for each")]
    KeyReused,
    /// Too many idempotency keys are remembered.
    #[error("too many idempotency keys are remembered; each is for a day")]
    TooManyKeys,
    /// No user has this subject.
    #[error("there is no user {0}; `storegate user list` shows them")]
    NoUser(Subject),
    /// The subject is taken.
    #[error(
        "the user {0} exists already; `storegate user list` shows it, and `storegate user join` lets a merchant work for another store"
    )]
    UserExists(Subject),
    /// Another user has the email address, among those whom it has to tell apart.
    #[error("another {} has this email address{}", .0.name(), match .0 { UserKind::Customer => " in this store", UserKind::Merchant => "" })]
    EmailTaken(UserKind),
    /// A value cannot be taken.
    #[error("{what} is malformed: {why}")]
    Malformed {
        /// Which value.
        what: &'static str,
        /// What was expected.
        why: String,
    },
    /// A line of an import cannot be taken.
    #[error("line {line}: {why}; nothing was imported")]
    Line {
        /// Its number, from 1.
        line: u64,
        /// What is wrong, and what was expected.
        why: String,
    },
    /// The input of an import cannot be read.
    #[error("line {line} cannot be read: {source}; nothing was imported")]
    Input {
        /// Its number, from 1.
        line: u64,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// Another process has been writing for longer than a writer waits.
    #[error(
        "the replica {0} is locked by another writer (an import, perhaps); nothing was changed, try again when it has finished"
    )]
    Locked(PathBuf),
    /// No client of the identity provider has this id.
    #[error("there is no client {0}; `storegate oauth-client list` shows them")]
    NoOauthClient(ClientId),
    /// A client without a secret has none to rotate.
    #[error("the client {0} is public: it has no secret")]
    NoSecret(ClientId),
    /// A merchant has registered as many clients as one may.
    #[error("{0} has registered {1} clients, which is as many as one may")]
    TooManyClients(Subject, usize),
    /// The operating system gave no randomness.
    #[error("no randomness for a new secret: {0}")]
    Randomness(String),
    /// An app's signing key is sealed with another key.
    #[error("the session signing key of {0} cannot be opened with replica.key_file")]
    Sealed(ClientId),
    /// SQLite failed: the disk is full, the file damaged.
    #[error("the replica {path}: {reason}; nothing was changed")]
    Storage {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        reason: String,
    },
}

impl WriteError {
    pub(super) fn malformed(what: &'static str, why: impl ToString) -> Self {
        Self::Malformed { what, why: why.to_string() }
    }
}

impl From<getrandom::Error> for WriteError {
    fn from(error: getrandom::Error) -> Self {
        Self::Randomness(error.to_string())
    }
}

/// Why the body of a transaction ended: SQLite's errors get the file's name at the edge, in
/// [`Writer::change`].
pub(super) enum Halt {
    Refused(WriteError),
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for Halt {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl<E: Into<WriteError>> From<E> for Halt {
    fn from(error: E) -> Self {
        Self::Refused(error.into())
    }
}

/// How what is made here begins.
#[derive(Debug, Clone)]
pub struct Prefixes {
    /// Of a client id.
    pub client_id: String,
    /// Of a client secret.
    pub client_secret: String,
    /// Of an opaque access token.
    pub access_token: String,
}

impl Default for Prefixes {
    fn default() -> Self {
        Self {
            client_id: "sx_app_".into(),
            client_secret: "sx_secret_".into(),
            access_token: "sx_at_".into(),
        }
    }
}

/// A part of a list: what follows `after`, at most `limit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page<K> {
    /// The key of the last one that was seen; `None`: from the beginning.
    pub after: Option<K>,
    /// The most that is given.
    pub limit: u32,
}

impl<K> Page<K> {
    /// Everything, where that is known to be little.
    pub const ALL: Self = Self { after: None, limit: u32::MAX };
}

/// A connection that may change the replica.
#[derive(Debug)]
pub struct Writer {
    pub(super) conn: Connection,
    pub(super) sealer: Sealer,
    prefixes: Prefixes,
    /// In whose name.
    actor: Actor,
    /// By which right; `None`: by that of whoever may write the file.
    claim: Option<Claim>,
    /// Set: only if it was not done before.
    pub(super) once: Option<Once>,
    /// What has to learn of a change.
    target: Arc<Target>,
}

#[derive(Debug)]
struct Target {
    path: PathBuf,
    /// The gateway that this writer is part of.
    here: Option<Arc<Replica>>,
}

/// A change that is on disk, but not yet in force in every running gateway.
#[derive(Debug)]
#[must_use = "a committed change binds running gateways only once it is acknowledged"]
pub struct Committed<T> {
    value: T,
    /// `None`: no gateway can hold anything that the change made wrong.
    position: Option<Position>,
    target: Arc<Target>,
}

impl<T> Committed<T> {
    /// Waits until every gateway on this machine has the change in force, at most five seconds.
    /// The value is handed out either way: a new secret must not be lost because a gateway hangs.
    ///
    /// # Errors
    ///
    /// [`NotEnforced`] beside the value, naming the gateways that did not confirm.
    pub fn acknowledge(self) -> (T, Result<(), NotEnforced>) {
        let Some(position) = self.position else { return (self.value, Ok(())) };
        if let Some(here) = &self.target.here
            && here.catch_up().is_err()
        {
            let this = (std::process::id().to_string(), "(this one) cannot read the replica".to_owned());
            return (self.value, Err(NotEnforced { gateways: vec![this] }));
        }
        let enforced = wake::tell(&self.target.path, position);
        (self.value, enforced)
    }

    /// The value of a change that made nothing wrong that a gateway could hold.
    pub(super) fn unannounced(self) -> T {
        self.value
    }

    /// What the change gave, before it is acknowledged.
    pub fn value(&self) -> &T {
        &self.value
    }
}

impl Writer {
    /// Opens the replica at `path` for writing, and makes it when there is none. What it changes is
    /// recorded in the name of the user whose process this is.
    ///
    /// # Errors
    ///
    /// As [`Replica::open`].
    pub fn open(path: &Path, key_file: Option<&Path>) -> Result<Self, OpenError> {
        let (mut conn, path) = file::open_writer(path)?;
        let sealer = seal::unlock(&mut conn, key_file)?;
        let target = Arc::new(Target { path, here: None });
        Ok(Self {
            conn,
            sealer,
            prefixes: Prefixes::default(),
            actor: Actor::command(),
            claim: None,
            once: None,
            target,
        })
    }

    /// The same writer, making ids, secrets and tokens with other prefixes.
    pub fn with_prefixes(mut self, prefixes: Prefixes) -> Self {
        self.prefixes = prefixes;
        self
    }

    /// The same writer, changing only what this operator may change at that moment.
    pub fn claiming(mut self, claim: Claim) -> Self {
        self.claim = Some(claim);
        self
    }

    /// Runs `body` as one transaction that excludes other writers, records the `deed` in the audit
    /// record, and commits both.
    pub(super) fn change<T>(
        &mut self,
        deed: impl FnOnce(&T) -> Deed,
        body: impl FnOnce(&Transaction<'_>, &Sealer, &Prefixes) -> Result<T, Halt>,
    ) -> Result<Committed<T>, WriteError> {
        let (actor, claim, once) = (self.actor.clone(), self.claim, self.once.clone());
        self.upkeep(|tx, sealer, prefixes| {
            let now = Timestamp::now();
            claim.map(|claim| claim.prove(tx)).transpose()?;
            once.as_ref().map(|once| once.claim(tx, now)).transpose()?;
            let value = body(tx, sealer, prefixes)?;
            let deed = deed(&value);
            deed.record(tx, &actor, now)?;
            once.map(|once| once.note(tx, &deed.subject, now)).transpose()?;
            Ok(value)
        })
    }

    /// As [`Writer::change`], without an entry in the audit record: for what the gateway does by itself,
    /// in nobody's name, and which decides nothing.
    pub(super) fn upkeep<T>(
        &mut self,
        body: impl FnOnce(&Transaction<'_>, &Sealer, &Prefixes) -> Result<T, Halt>,
    ) -> Result<Committed<T>, WriteError> {
        match self.transact(body) {
            Ok((value, position)) => {
                Ok(Committed { value, position: Some(position), target: self.target.clone() })
            }
            Err(halt) => Err(self.explain(halt)),
        }
    }

    fn transact<T>(
        &mut self,
        body: impl FnOnce(&Transaction<'_>, &Sealer, &Prefixes) -> Result<T, Halt>,
    ) -> Result<(T, Position), Halt> {
        let tx = self.conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let before = journal::newest(&tx)?.position;
        let value = body(&tx, &self.sealer, &self.prefixes)?;
        let position = journal::settle(&tx, before, delay::now_ms())?;
        tx.commit()?;
        Ok((value, position))
    }

    /// Runs `body` on one state of the replica, changing nothing.
    pub(super) fn look<T>(
        &mut self,
        body: impl FnOnce(&Connection, &Sealer) -> Result<T, Halt>,
    ) -> Result<T, WriteError> {
        let snapshot = self.conn.transaction_with_behavior(TransactionBehavior::Deferred);
        let seen = snapshot.map_err(Halt::from).and_then(|tx| body(&tx, &self.sealer));
        seen.map_err(|halt| self.explain(halt))
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.target.path
    }

    pub(super) fn explain(&self, halt: Halt) -> WriteError {
        let path = self.target.path.clone();
        match halt {
            Halt::Refused(error) => error,
            Halt::Sqlite(error) => match error.sqlite_error_code() {
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => WriteError::Locked(path),
                _ => WriteError::Storage { path, reason: error.to_string() },
            },
        }
    }
}

impl Replica {
    /// A writer for what the gateway does by itself: it waits for no other one, and makes no file.
    pub(super) fn keeper(&self) -> Result<Writer, WriteError> {
        let path = self.path().to_owned();
        let conn = file::open_keeper(&path).map_err(|error| match error {
            OpenError::Locked(path) => WriteError::Locked(path),
            error => WriteError::Storage { path: path.clone(), reason: error.to_string() },
        })?;
        let target = Arc::new(Target { path, here: None });
        let (prefixes, actor) = (Prefixes::default(), Actor::gateway());
        Ok(Writer { conn, sealer: self.sealer().clone(), prefixes, actor, claim: None, once: None, target })
    }

    /// A writer inside this process, for the admin API and the token endpoints, in the name of `actor`.
    /// What it commits is in force here (and in every other gateway) when it is acknowledged.
    ///
    /// # Errors
    ///
    /// As [`Replica::open`].
    pub fn writer(self: &Arc<Self>, actor: Actor) -> Result<Writer, OpenError> {
        let writer = Writer::open(self.path(), self.options().key_file.as_deref())?;
        let target = Target { path: writer.target.path.clone(), here: Some(self.clone()) };
        Ok(Writer { target: Arc::new(target), actor, ..writer })
    }
}

/// The number of the app with this client id.
fn app_id(conn: &Connection, client_id: &ClientId) -> Result<i64, Halt> {
    use rusqlite::OptionalExtension;
    let mut statement = conn.prepare_cached("SELECT app_id FROM apps WHERE client_id = ?1")?;
    let found = statement.query_row([client_id.as_str()], |row| row.get(0)).optional()?;
    found.ok_or_else(|| WriteError::NoApp(client_id.clone()).into())
}

/// A name for people: at most 200 characters, none of them a control character.
pub(super) fn checked_name<'t>(what: &'static str, text: &'t str) -> Result<&'t str, WriteError> {
    let fine = text.chars().count() <= 200 && !text.chars().any(is_deceptive);
    if fine {
        Ok(text)
    } else {
        Err(WriteError::malformed(what, "at most 200 characters, no control characters"))
    }
}

/// An organization's identifier, as the platforms write it.
pub(super) fn checked_organization(text: &str) -> Result<&str, WriteError> {
    if text.is_empty() {
        return Err(WriteError::malformed(
            "the organization",
            "at least one character; leave it out for none",
        ));
    }
    checked_name("the organization", text)
}

/// A secret or key that is taken over: 1 to 256 visible ASCII bytes, without blanks and commas, so
/// that it survives a header line.
pub(super) fn checked_secret(what: &'static str, secret: &Secret) -> Result<(), WriteError> {
    let text = secret.expose();
    let fine = (1..=256).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic() && b != b',');
    let why = "1 to 256 visible ASCII characters, no blanks, no commas";
    if fine { Ok(()) } else { Err(WriteError::malformed(what, why)) }
}
