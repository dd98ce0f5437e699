//! Rotation of client secrets and of session signing keys.

use std::time::Duration;

use rusqlite::params;

use super::apps::subject;
use super::{Committed, WriteError, Writer, app_id};
use crate::model::{ClientId, Secret, SecretHash, Timestamp};
use crate::replica::audit::Action;

/// Generations of one secret that may be valid at the same time: each is compared on every request.
const MAX_GENERATIONS: i64 = 5;

impl Writer {
    /// Makes a new secret. Without `overlap` every older one is refused from the acknowledgement on;
    /// with it they stop working after that time (or earlier, as they were to before), and at most
    /// five generations stay.
    ///
    /// # Errors
    ///
    /// There is no such app, or the replica cannot be changed.
    pub fn rotate_secret(
        &mut self,
        client_id: &ClientId,
        overlap: Option<Duration>,
    ) -> Result<Committed<Secret>, WriteError> {
        let deed = |_: &Secret| {
            let overlap = overlap.map_or(0, |overlap| overlap.as_secs());
            subject(Action::RotateSecret, client_id).with("overlap_seconds", overlap)
        };
        self.change(deed, |tx, _, prefixes| {
            let app = app_id(tx, client_id)?;
            let secret = Secret::generate(&prefixes.client_secret)?;
            let hash = SecretHash::sha256_of(secret.expose()).to_stored();
            let now = Timestamp::now();
            let newest: i64 = tx.query_row(
                "SELECT coalesce(max(generation), 0) FROM app_secrets WHERE app_id = ?1",
                [app],
                |row| row.get(0),
            )?;
            match overlap.map(|overlap| now.plus(i64::try_from(overlap.as_secs()).unwrap_or(i64::MAX))) {
                None => tx.execute("DELETE FROM app_secrets WHERE app_id = ?1", [app])?,
                Some(end) => {
                    tx.execute(
                        "DELETE FROM app_secrets WHERE app_id = ?1 AND (expires_at <= ?2 OR generation NOT IN
                         (SELECT generation FROM app_secrets WHERE app_id = ?1 ORDER BY generation DESC LIMIT ?3))",
                        params![app, now.0, MAX_GENERATIONS - 1],
                    )?;
                    tx.execute(
                        "UPDATE app_secrets SET expires_at = min(coalesce(expires_at, ?2), ?2) WHERE app_id = ?1",
                        params![app, end.0],
                    )?
                }
            };
            tx.execute("INSERT INTO app_secrets VALUES (?1, ?2, ?3, ?4, NULL, NULL)", params![
                app,
                newest + 1,
                hash,
                now.0
            ])?;
            Ok(secret)
        })
    }

    /// Ends every secret but the newest, whatever overlap they were given, and with them the tokens that were
    /// obtained with them.
    ///
    /// # Errors
    ///
    /// There is no such app, or the replica cannot be changed.
    pub fn revoke_old_secrets(&mut self, client_id: &ClientId) -> Result<Committed<()>, WriteError> {
        self.change(
            |()| subject(Action::RevokeOldSecrets, client_id),
            |tx, _, _| {
                let app = app_id(tx, client_id)?;
                let sql = "DELETE FROM app_secrets WHERE app_id = ?1 AND generation <
                    (SELECT max(generation) FROM app_secrets WHERE app_id = ?1)";
                tx.execute(sql, [app])?;
                Ok(())
            },
        )
    }

    /// Makes a new key for session tokens; every token signed with the old one is refused from the
    /// acknowledgement on.
    ///
    /// # Errors
    ///
    /// There is no such app, or the replica cannot be changed.
    pub fn rotate_signing_key(&mut self, client_id: &ClientId) -> Result<Committed<Secret>, WriteError> {
        self.change(
            |_| subject(Action::RotateSigningKey, client_id),
            |tx, sealer, _| {
                let app = app_id(tx, client_id)?;
                let key = Secret::generate("")?;
                let stored = sealer.seal(client_id.as_str(), key.expose())?;
                tx.execute(
                    "UPDATE apps SET session_signing_key = ?2 WHERE app_id = ?1",
                    params![app, stored],
                )?;
                Ok(key)
            },
        )
    }
}
