//! Operators: who may use the admin API, and for what.

use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;

use super::{Committed, Halt, Page, WriteError, Writer, checked_name};
use crate::model::{AppId, ClientId, Permission, Secret, Timestamp, TokenDigest};
use crate::replica::audit::{Action, Deed};

/// How operator tokens begin.
const TOKEN_PREFIX: &str = "sx_op_";

/// A new operator. The token is shown once and cannot be read back.
#[derive(Debug, Clone)]
pub struct CreatedOperator {
    /// Their number.
    pub operator_id: i64,
    /// Their bearer token for the admin API.
    pub token: Secret,
}

/// An operator as `storegate operator list` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OperatorSummary {
    /// Their number.
    pub operator_id: i64,
    /// Their name.
    pub name: String,
    /// What they may do, separated by blanks.
    pub permissions: String,
    /// When they were added, in Unix seconds.
    pub created_at: i64,
}

impl OperatorSummary {
    /// Whether a text could be an operator's token: ours have one form.
    pub fn has_form_of_token(text: &Secret) -> bool {
        let hex = text.expose().strip_prefix(TOKEN_PREFIX);
        hex.is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()))
    }

    /// Whether the operator may do what this permission is needed for.
    pub fn may(&self, permission: Permission) -> bool {
        self.permissions().any(|own| own.covers(permission))
    }

    /// The permissions; names that this program does not know count for nothing.
    fn permissions(&self) -> impl Iterator<Item = Permission> + '_ {
        self.permissions.split(' ').filter_map(|name| Permission::parse(name).ok())
    }
}

/// What an operator claims to be allowed: looked up again inside each change that is made by it, so
/// that an operator who was removed, or lost a permission, meanwhile changes nothing any more.
#[derive(Debug, Clone, Copy)]
pub struct Claim {
    /// The SHA-256 of the operator's token.
    pub token: TokenDigest,
    /// What the change needs.
    pub permission: Permission,
}

impl Claim {
    /// The operator, if the claim holds.
    pub(super) fn prove(&self, conn: &Connection) -> Result<OperatorSummary, Halt> {
        let operator = by_token(conn, &self.token)?.ok_or(WriteError::UnknownOperator)?;
        match operator.may(self.permission) {
            true => Ok(operator),
            false => Err(WriteError::NotPermitted(self.permission).into()),
        }
    }
}

impl Writer {
    /// Adds an operator with a new token. Who is an operator gives no permission that they lack.
    ///
    /// # Errors
    ///
    /// The name is taken or malformed, a permission is not theirs to give, or the replica cannot be
    /// changed.
    pub fn add_operator(
        &mut self,
        name: &str,
        permissions: &[Permission],
    ) -> Result<Committed<CreatedOperator>, WriteError> {
        let name = checked_operator(name)?;
        let names = stored(permissions)?;
        let claim = self.claim;
        let deed = |made: &CreatedOperator| {
            subject(Action::AddOperator, name)
                .with("operator_id", made.operator_id)
                .with("permissions", &*names)
        };
        self.change(deed, |tx, _, _| {
            giver(tx, claim)?.may_give(permissions.iter().copied())?;
            let token = Secret::generate(TOKEN_PREFIX)?;
            let digest = TokenDigest::of(token.expose().as_bytes());
            let added = tx.execute(
                // A number never comes back, so that who still names a removed operator names nobody: each addition
                // has its record in `audit`, whose numbers only grow and are ahead of these.
                "INSERT INTO operators (operator_id, name, token_hash, permissions, created_at)
                 SELECT 1 + coalesce(max(seq), 0), ?1, ?2, ?3, ?4 FROM sqlite_sequence WHERE name = 'audit'
                 ON CONFLICT (name) DO NOTHING",
                params![name, &digest.0[..], names, Timestamp::now().0],
            )?;
            match added {
                0 => Err(WriteError::OperatorExists(name.to_owned()).into()),
                _ => Ok(CreatedOperator { operator_id: tx.last_insert_rowid(), token }),
            }
        })
    }

    /// Sets what an operator may do, in place of what it was. No operator does that to itself, or to one
    /// who may do, or shall be allowed, more than it may itself.
    ///
    /// # Errors
    ///
    /// There is no such operator, the caller must not, or the replica cannot be changed.
    pub fn set_permissions(
        &mut self,
        name: &str,
        permissions: &[Permission],
    ) -> Result<Committed<()>, WriteError> {
        let names = stored(permissions)?;
        let claim = self.claim;
        let deed = |(): &()| subject(Action::SetPermissions, name).with("permissions", &*names);
        self.change(deed, |tx, _, _| {
            giver(tx, claim)?.may_touch(&by_name(tx, name)?, permissions.iter().copied())?;
            tx.execute("UPDATE operators SET permissions = ?2 WHERE name = ?1", params![name, names])?;
            Ok(())
        })
    }

    /// Removes an operator; the token is refused from then on. No operator removes itself, or one who may
    /// do more.
    ///
    /// # Errors
    ///
    /// There is no such operator, the caller must not, or the replica cannot be changed.
    pub fn remove_operator(&mut self, name: &str) -> Result<Committed<()>, WriteError> {
        let claim = self.claim;
        self.change(
            |()| subject(Action::RemoveOperator, name),
            |tx, _, _| {
                giver(tx, claim)?.may_touch(&by_name(tx, name)?, [])?;
                tx.execute("DELETE FROM operators WHERE name = ?1", [name])?;
                Ok(())
            },
        )
    }

    /// Operators, by number.
    ///
    /// # Errors
    ///
    /// The replica cannot be read.
    pub fn operators(&mut self, page: Page<i64>) -> Result<Vec<OperatorSummary>, WriteError> {
        self.look(|conn, _| {
            let sql = format!("{SUMMARY} WHERE operator_id > ?1 ORDER BY operator_id LIMIT ?2");
            let mut statement = conn.prepare_cached(&sql)?;
            let rows = statement.query_map(params![page.after.unwrap_or(0), page.limit], summary)?;
            rows.collect::<Result<_, _>>().map_err(Halt::from)
        })
    }

    /// One operator.
    ///
    /// # Errors
    ///
    /// There is no such operator, or the replica cannot be read.
    pub fn operator(&mut self, operator_id: i64) -> Result<OperatorSummary, WriteError> {
        self.look(|conn, _| {
            let sql = format!("{SUMMARY} WHERE operator_id = ?1");
            let found = conn.query_row(&sql, [operator_id], summary).optional()?;
            found.ok_or_else(|| WriteError::NoOperator(operator_id.to_string()).into())
        })
    }

    /// The client id of an app.
    ///
    /// # Errors
    ///
    /// The replica cannot be read.
    pub fn client_id(&mut self, app: AppId) -> Result<Option<ClientId>, WriteError> {
        self.look(|conn, _| {
            let sql = "SELECT client_id FROM apps WHERE app_id = ?1";
            let found: Option<String> = conn.query_row(sql, [app.0], |row| row.get(0)).optional()?;
            Ok(found.and_then(|text| ClientId::parse(&text).ok()))
        })
    }
}

/// Who gives permissions.
enum Giver {
    /// A command, or the holder of `admin.token`: whatever they like.
    Everything,
    /// An operator: what is its own.
    Operator(OperatorSummary),
}

fn giver(conn: &Connection, claim: Option<Claim>) -> Result<Giver, Halt> {
    claim.map_or(Ok(Giver::Everything), |claim| claim.prove(conn).map(Giver::Operator))
}

impl Giver {
    fn may_give(&self, given: impl IntoIterator<Item = Permission>) -> Result<(), WriteError> {
        let Self::Operator(giver) = self else { return Ok(()) };
        match given.into_iter().find(|permission| !giver.may(*permission)) {
            None => Ok(()),
            Some(beyond) => Err(WriteError::NotPermitted(beyond)),
        }
    }

    fn may_touch(
        &self,
        other: &OperatorSummary,
        given: impl IntoIterator<Item = Permission>,
    ) -> Result<(), WriteError> {
        if matches!(self, Self::Operator(giver) if giver.operator_id == other.operator_id) {
            return Err(WriteError::OwnRecord);
        }
        self.may_give(other.permissions().chain(given))
    }
}

const SUMMARY: &str = "SELECT operator_id, name, permissions, created_at FROM operators";

pub(in crate::replica) fn by_token(
    conn: &Connection,
    token: &TokenDigest,
) -> rusqlite::Result<Option<OperatorSummary>> {
    let mut statement = conn.prepare_cached(&format!("{SUMMARY} WHERE token_hash = ?1"))?;
    statement.query_row([&token.0[..]], summary).optional()
}

fn by_name(conn: &Connection, name: &str) -> Result<OperatorSummary, Halt> {
    let found = conn.query_row(&format!("{SUMMARY} WHERE name = ?1"), [name], summary).optional()?;
    found.ok_or_else(|| WriteError::NoOperator(name.to_owned()).into())
}

/// A name; `admin` is how the record calls the holder of `admin.token`.
fn checked_operator(name: &str) -> Result<&str, WriteError> {
    match checked_name("the operator's name", name)? {
        "" => Err(WriteError::malformed("the operator's name", "at least one character")),
        "admin" => {
            Err(WriteError::malformed("the operator's name", "another than `admin`, who has admin.token"))
        }
        name => Ok(name),
    }
}

/// The column `permissions`.
fn stored(permissions: &[Permission]) -> Result<String, WriteError> {
    let mut names: Vec<&str> = permissions.iter().map(|permission| permission.name()).collect();
    names.sort_unstable();
    names.dedup();
    match names.is_empty() {
        true => Err(WriteError::malformed("the permissions", "at least one; remove the operator for none")),
        false => Ok(names.join(" ")),
    }
}

fn subject(action: Action, name: &str) -> Deed {
    Deed::new(action, format_args!("operator:{name}"))
}

fn summary(row: &rusqlite::Row<'_>) -> rusqlite::Result<OperatorSummary> {
    Ok(OperatorSummary {
        operator_id: row.get(0)?,
        name: row.get(1)?,
        permissions: row.get(2)?,
        created_at: row.get(3)?,
    })
}
