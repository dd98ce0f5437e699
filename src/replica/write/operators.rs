//! Operators: who may use the admin API, and for what.

use rusqlite::{OptionalExtension, params};
use serde::Serialize;

use super::{Committed, Halt, WriteError, Writer, checked_name};
use crate::model::{AppId, ClientId, Permission, Secret, Timestamp, TokenDigest};

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
    /// Whether the operator has this permission.
    pub fn may(&self, permission: Permission) -> bool {
        self.permissions.split(' ').any(|own| own == permission.name())
    }
}

impl Writer {
    /// Adds an operator with a new token.
    ///
    /// # Errors
    ///
    /// The name is taken or malformed, or the replica cannot be changed.
    pub fn add_operator(
        &mut self,
        name: &str,
        permissions: &[Permission],
    ) -> Result<Committed<CreatedOperator>, WriteError> {
        if name.is_empty() {
            return Err(WriteError::malformed("the operator's name", "at least one character"));
        }
        let name = checked_name("the operator's name", name)?;
        let mut names: Vec<&str> = permissions.iter().map(|permission| permission.name()).collect();
        names.sort_unstable();
        names.dedup();
        self.change(|tx, _, _| {
            let token = Secret::generate(TOKEN_PREFIX)?;
            let digest = TokenDigest::of(token.expose().as_bytes());
            let added = tx.execute(
                "INSERT INTO operators (name, token_hash, permissions, created_at) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (name) DO NOTHING",
                params![name, &digest.0[..], names.join(" "), Timestamp::now().0],
            )?;
            match added {
                0 => Err(WriteError::OperatorExists(name.to_owned()).into()),
                _ => Ok(CreatedOperator { operator_id: tx.last_insert_rowid(), token }),
            }
        })
    }

    /// Removes an operator; the token is refused from then on.
    ///
    /// # Errors
    ///
    /// There is no such operator, or the replica cannot be changed.
    pub fn remove_operator(&mut self, name: &str) -> Result<Committed<()>, WriteError> {
        self.change(|tx, _, _| match tx.execute("DELETE FROM operators WHERE name = ?1", [name])? {
            0 => Err(WriteError::NoOperator(name.to_owned()).into()),
            _ => Ok(()),
        })
    }

    /// Every operator, by number.
    ///
    /// # Errors
    ///
    /// The replica cannot be read.
    pub fn operators(&mut self) -> Result<Vec<OperatorSummary>, WriteError> {
        self.look(|conn, _| {
            let mut statement = conn.prepare(&format!("{SUMMARY} ORDER BY operator_id"))?;
            let rows = statement.query_map([], summary)?;
            rows.collect::<Result<_, _>>().map_err(Halt::from)
        })
    }

    /// The operator with this token.
    ///
    /// # Errors
    ///
    /// The replica cannot be read.
    pub fn operator_by_token(&mut self, token: &TokenDigest) -> Result<Option<OperatorSummary>, WriteError> {
        self.look(|conn, _| {
            let sql = format!("{SUMMARY} WHERE token_hash = ?1");
            Ok(conn.query_row(&sql, [&token.0[..]], summary).optional()?)
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

const SUMMARY: &str = "SELECT operator_id, name, permissions, created_at FROM operators";

fn summary(row: &rusqlite::Row<'_>) -> rusqlite::Result<OperatorSummary> {
    Ok(OperatorSummary {
        operator_id: row.get(0)?,
        name: row.get(1)?,
        permissions: row.get(2)?,
        created_at: row.get(3)?,
    })
}
