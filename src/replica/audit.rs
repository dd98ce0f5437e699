//! The audit record: who changed what, when, and from where; one entry a change, in its transaction.
//!
//! No change can forget it: [`Writer::change`](super::Writer) demands a [`Deed`], and nothing else
//! commits but the upkeep that a gateway does in nobody's name (`Writer::upkeep`, each use of which a
//! test knows). Entries hold no secret; tokens are named by their SHA-256. What the `sqlite3` shell
//! changes is not recorded.

use std::fmt;
use std::net::IpAddr;

use nix::unistd::{Uid, User};
use rusqlite::{Row, Transaction, params};
use serde::Serialize;
use serde_json::{Map, Value};

use super::write::{Halt, Page, WriteError, Writer};
use crate::model::{Timestamp, is_deceptive};

/// The most entries that are kept, whatever is configured: a writer enforces it, so that commands alone
/// do not let the record grow without bound.
pub const MOST_ENTRIES: i64 = 10_000_000;

/// Entries removed in one step of a sweep.
const STEP: u32 = 1000;

/// The longest name of an actor, in characters.
const LONGEST: usize = 200;

/// In whose name a change is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    who: String,
    origin: String,
    request_id: Option<String>,
}

impl Actor {
    /// The user who runs a command, as the system knows them; root is named with the user behind sudo.
    pub fn command() -> Self {
        let uid = Uid::current();
        let name = match User::from_uid(uid) {
            Ok(Some(user)) => user.name,
            Ok(None) | Err(_) => format!("uid {uid}"),
        };
        // Only root can have made this up, who can write the file as well.
        let behind = std::env::var("SUDO_USER").ok().filter(|behind| uid.is_root() && !behind.is_empty());
        let who = behind.map_or(name.clone(), |behind| format!("{name} (sudo: {behind})"));
        Self { who: shown(&who), origin: "cli".to_owned(), request_id: None }
    }

    /// A caller of the admin API.
    pub fn caller(who: &str, from: IpAddr, request_id: &str) -> Self {
        Self { who: shown(who), origin: from.to_string(), request_id: Some(shown(request_id)) }
    }

    /// The gateway itself.
    pub fn gateway() -> Self {
        Self { who: "gateway".to_owned(), origin: "internal".to_owned(), request_id: None }
    }
}

/// A text that one line of a terminal can show.
fn shown(text: &str) -> String {
    text.chars().map(|c| if is_deceptive(c) { '?' } else { c }).take(LONGEST).collect()
}

/// What is done in one change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A store was added.
    AddStore,
    /// A store was suspended.
    SuspendStore,
    /// A suspension was ended.
    ResumeStore,
    /// An app was made.
    CreateApp,
    /// An app was switched on.
    EnableApp,
    /// An app was switched off.
    DisableApp,
    /// The networks of an app were set.
    AllowAddresses,
    /// A client secret was made.
    RotateSecret,
    /// The secrets of an app but its newest were ended.
    RevokeOldSecrets,
    /// A session signing key was made.
    RotateSigningKey,
    /// An app was installed in a store.
    Install,
    /// An installation was ended.
    Uninstall,
    /// An access token was issued.
    IssueToken,
    /// An access token was revoked.
    RevokeToken,
    /// An operator was added.
    AddOperator,
    /// The permissions of an operator were set.
    SetPermissions,
    /// An operator was removed.
    RemoveOperator,
    /// A user was added.
    AddUser,
    /// A merchant came to belong to a store, or to be something else there.
    JoinStore,
    /// A merchant left a store.
    LeaveStore,
    /// A user's password was set.
    SetPassword,
    /// A user may sign in again.
    EnableUser,
    /// A user may sign in no longer.
    DisableUser,
    /// A merchant granted an app access to a store.
    MintCode,
    /// A client of the identity provider was registered.
    AddOauthClient,
    /// Such a client was switched on.
    EnableOauthClient,
    /// Such a client was switched off.
    DisableOauthClient,
    /// A secret of such a client was made.
    RotateOauthSecret,
    /// What such a client may ask for was set.
    SetOauthScopes,
    /// A key of the identity provider was made.
    RotateKey,
    /// Somebody granted such a client what it asked for.
    GiveConsent,
    /// Somebody withdrew what they had granted.
    WithdrawConsent,
    /// Somebody signed out in every browser.
    SignOutEverywhere,
    /// Records were taken over.
    Import,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 34] = [
        Self::AddStore,
        Self::SuspendStore,
        Self::ResumeStore,
        Self::CreateApp,
        Self::EnableApp,
        Self::DisableApp,
        Self::AllowAddresses,
        Self::RotateSecret,
        Self::RevokeOldSecrets,
        Self::RotateSigningKey,
        Self::Install,
        Self::Uninstall,
        Self::IssueToken,
        Self::RevokeToken,
        Self::AddOperator,
        Self::SetPermissions,
        Self::RemoveOperator,
        Self::AddUser,
        Self::JoinStore,
        Self::LeaveStore,
        Self::SetPassword,
        Self::EnableUser,
        Self::DisableUser,
        Self::MintCode,
        Self::AddOauthClient,
        Self::EnableOauthClient,
        Self::DisableOauthClient,
        Self::RotateOauthSecret,
        Self::SetOauthScopes,
        Self::RotateKey,
        Self::GiveConsent,
        Self::WithdrawConsent,
        Self::SignOutEverywhere,
        Self::Import,
    ];

    /// Its name in the record.
    pub fn name(self) -> &'static str {
        match self {
            Self::AddStore => "store.add",
            Self::SuspendStore => "store.suspend",
            Self::ResumeStore => "store.resume",
            Self::CreateApp => "app.create",
            Self::EnableApp => "app.enable",
            Self::DisableApp => "app.disable",
            Self::AllowAddresses => "app.allow_ip",
            Self::RotateSecret => "app.rotate_secret",
            Self::RevokeOldSecrets => "app.revoke_old_secrets",
            Self::RotateSigningKey => "app.rotate_signing_key",
            Self::Install => "installation.create",
            Self::Uninstall => "installation.delete",
            Self::IssueToken => "token.issue",
            Self::RevokeToken => "token.revoke",
            Self::AddOperator => "operator.add",
            Self::SetPermissions => "operator.set_permissions",
            Self::RemoveOperator => "operator.remove",
            Self::AddUser => "user.add",
            Self::JoinStore => "user.join",
            Self::LeaveStore => "user.leave",
            Self::SetPassword => "user.set_password",
            Self::EnableUser => "user.enable",
            Self::DisableUser => "user.disable",
            Self::MintCode => "code.mint",
            Self::AddOauthClient => "oauth_client.add",
            Self::EnableOauthClient => "oauth_client.enable",
            Self::DisableOauthClient => "oauth_client.disable",
            Self::RotateOauthSecret => "oauth_client.rotate_secret",
            Self::SetOauthScopes => "oauth_client.set_scopes",
            Self::RotateKey => "key.rotate",
            Self::GiveConsent => "consent.give",
            Self::WithdrawConsent => "consent.withdraw",
            Self::SignOutEverywhere => "session.end_all",
            Self::Import => "import",
        }
    }
}

/// What a change does, for its entry: the action, the thing, and whatever else may be known of it.
#[derive(Debug)]
pub(super) struct Deed {
    action: Action,
    pub(super) subject: String,
    detail: Map<String, Value>,
}

impl Deed {
    /// `subject` is written `kind:name`, such as `store:22`.
    pub(super) fn new(action: Action, subject: impl fmt::Display) -> Self {
        Self { action, subject: subject.to_string(), detail: Map::new() }
    }

    /// Adds a detail. Never a secret.
    pub(super) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.detail.insert(name.to_owned(), value.into());
        self
    }

    /// Writes the entry.
    pub(super) fn record(&self, tx: &Transaction<'_>, actor: &Actor, now: Timestamp) -> rusqlite::Result<()> {
        let mut insert = tx.prepare_cached(
            "INSERT INTO audit (at, who, origin, request_id, action, subject, detail)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?;
        let detail = Value::Object(self.detail.clone()).to_string();
        insert.execute(params![
            now.0,
            actor.who,
            actor.origin,
            actor.request_id,
            self.action.name(),
            self.subject,
            detail
        ])?;
        let mut trim =
            tx.prepare_cached("DELETE FROM audit WHERE seq <= (SELECT max(seq) FROM audit) - ?1")?;
        trim.execute([MOST_ENTRIES]).map(drop)
    }
}

/// An entry, as `storegate audit` shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AuditEntry {
    /// Its number; numbers grow.
    pub seq: i64,
    /// When, in Unix seconds.
    pub at: i64,
    /// The user who ran the command, the operator's name, or `admin` for the holder of `admin.token`.
    pub who: String,
    /// The caller's address, or `cli`.
    pub origin: String,
    /// The id of the request, where there was one.
    pub request_id: Option<String>,
    /// What was done, by [`Action::name`].
    pub action: String,
    /// To what, such as `store:22`.
    pub subject: String,
    /// What else is known; never a secret.
    pub detail: Value,
}

/// Which entries are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Not before this.
    pub since: Option<Timestamp>,
    /// Only of this subject.
    pub subject: Option<String>,
}

/// How long entries are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Older ones go, in seconds.
    pub age: i64,
    /// Of more than this many the oldest go.
    pub entries: i64,
}

impl Default for Retention {
    fn default() -> Self {
        Self { age: 365 * 86_400, entries: 100_000 }
    }
}

const NEWEST_FIRST: &str = "SELECT seq, at, who, origin, request_id, action, subject, detail FROM audit
    WHERE seq < ?1 AND at >= ?2 ORDER BY seq DESC LIMIT ?3";
const OF_SUBJECT: &str = "SELECT seq, at, who, origin, request_id, action, subject, detail FROM audit
    WHERE seq < ?1 AND at >= ?2 AND subject = ?4 ORDER BY seq DESC LIMIT ?3";

impl Writer {
    /// Entries, newest first.
    ///
    /// # Errors
    ///
    /// The replica cannot be read.
    pub fn audit(&mut self, filter: &AuditFilter, page: Page<i64>) -> Result<Vec<AuditEntry>, WriteError> {
        let before = page.after.unwrap_or(i64::MAX);
        let since = filter.since.map_or(i64::MIN, |since| since.0);
        self.look(|conn, _| {
            let entries: rusqlite::Result<Vec<AuditEntry>> = match &filter.subject {
                None => {
                    let mut statement = conn.prepare_cached(NEWEST_FIRST)?;
                    statement.query_map(params![before, since, page.limit], entry)?.collect()
                }
                Some(subject) => {
                    let mut statement = conn.prepare_cached(OF_SUBJECT)?;
                    statement.query_map(params![before, since, page.limit, subject], entry)?.collect()
                }
            };
            entries.map_err(Halt::from)
        })
    }

    /// One step of removing what is past its retention. Gives how many entries went; a full step is
    /// followed by another. A step with nothing to do takes no write lock.
    ///
    /// # Errors
    ///
    /// The replica cannot be read or changed.
    pub fn sweep_audit(&mut self, retention: Retention, now: Timestamp) -> Result<usize, WriteError> {
        let before = now.plus(-retention.age);
        let newest_excess = |conn: &rusqlite::Connection| {
            let sql = "SELECT max(max(CASE WHEN at < ?1 THEN seq ELSE 0 END),
                    max(CASE WHEN seq <= (SELECT max(seq) FROM audit) - ?2 THEN seq ELSE 0 END))
                FROM (SELECT seq, at FROM audit ORDER BY seq LIMIT ?3)";
            conn.prepare_cached(sql)?
                .query_row(params![before.0, retention.entries, STEP], |row| row.get::<_, Option<i64>>(0))
        };
        let excess = self.look(|conn, _| Ok(newest_excess(conn)?))?;
        if excess.unwrap_or(0) == 0 {
            return Ok(0);
        }
        let swept = self.upkeep(|tx, _, _| {
            let Some(excess) = newest_excess(tx)? else { return Ok(0) };
            Ok(tx.execute("DELETE FROM audit WHERE seq <= ?1", [excess])?)
        })?;
        Ok(*swept.value())
    }
}

fn entry(row: &Row<'_>) -> rusqlite::Result<AuditEntry> {
    let detail: String = row.get(7)?;
    Ok(AuditEntry {
        seq: row.get(0)?,
        at: row.get(1)?,
        who: row.get(2)?,
        origin: row.get(3)?,
        request_id: row.get(4)?,
        action: row.get(5)?,
        subject: row.get(6)?,
        detail: serde_json::from_str(&detail).unwrap_or(Value::Null),
    })
}
