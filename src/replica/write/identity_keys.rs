//! The keys of the identity provider. Their private halves are needed in clear to sign, so that they are
//! sealed like session signing keys when there is a key file.

use rusqlite::{Connection, params};

use super::{Committed, Halt, WriteError, Writer};
use crate::gate::Unavailable;
use crate::model::{KeyPurpose, StoredKey, Timestamp};
use crate::replica::audit::{Action, Deed};
use crate::replica::group::WriteQueue;
use crate::replica::reader::Replica;
use crate::replica::seal::Sealer;

impl Writer {
    /// Adds a key. With `alone` all other keys of its purpose go: what they signed is no longer accepted.
    ///
    /// # Errors
    ///
    /// The replica cannot be changed, or there is no randomness.
    pub fn add_identity_key(&mut self, key: &StoredKey, alone: bool) -> Result<Committed<()>, WriteError> {
        let deed = |(): &()| {
            Deed::new(Action::RotateKey, format_args!("key:{}", key.kid)).with("revoked_old", alone)
        };
        self.change(deed, |tx, sealer, _| {
            if alone {
                tx.execute("DELETE FROM identity_keys WHERE purpose = ?1", [key.purpose.name()])?;
            }
            add(tx, sealer, key)
        })
    }

    /// The names of all keys of a purpose, with the time from which on each is the one in use; newest first.
    ///
    /// # Errors
    ///
    /// The replica cannot be read.
    pub fn identity_key_names(
        &mut self,
        purpose: KeyPurpose,
    ) -> Result<Vec<(String, Timestamp)>, WriteError> {
        self.look(|conn, _| {
            let sql =
                "SELECT kid, starts_at FROM identity_keys WHERE purpose = ?1 ORDER BY starts_at DESC, position DESC";
            let mut statement = conn.prepare(sql)?;
            let rows =
                statement.query_map([purpose.name()], |row| Ok((row.get(0)?, Timestamp(row.get(1)?))))?;
            rows.collect::<Result<_, _>>().map_err(Halt::from)
        })
    }
}

impl WriteQueue {
    /// Adds a key, unless there is one of its purpose already that starts at `unless_from` or later:
    /// several gateways on one replica look after the same keys.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] when the replica cannot be changed.
    pub async fn add_identity_key(
        &self,
        replica: &Replica,
        key: StoredKey,
        unless_from: Timestamp,
    ) -> Result<(), Unavailable> {
        let sealer = replica.sealer().clone();
        self.change(move |tx| {
            let sql = "SELECT 1 FROM identity_keys WHERE purpose = ?1 AND starts_at >= ?2";
            match tx.prepare_cached(sql)?.exists(params![key.purpose.name(), unless_from.0])? {
                true => Ok(()),
                false => add(tx, &sealer, &key),
            }
        })
        .await
    }

    /// Removes the keys of a purpose whose successor has been in use since `before`.
    ///
    /// # Errors
    ///
    /// As [`WriteQueue::add_identity_key`].
    pub async fn drop_old_identity_keys(
        &self,
        purpose: KeyPurpose,
        before: Timestamp,
    ) -> Result<(), Unavailable> {
        self.change(move |tx| {
            let sql = "DELETE FROM identity_keys WHERE purpose = ?1 AND starts_at <
                (SELECT max(starts_at) FROM identity_keys WHERE purpose = ?1 AND starts_at <= ?2)";
            tx.execute(sql, params![purpose.name(), before.0])?;
            Ok(())
        })
        .await
    }
}

fn add(conn: &Connection, sealer: &Sealer, key: &StoredKey) -> Result<(), Halt> {
    let sealed = sealer.seal(&owner(&key.kid), key.private.expose())?;
    conn.execute(
        "INSERT INTO identity_keys (kid, purpose, private_key, created_at, starts_at) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![key.kid, key.purpose.name(), sealed, Timestamp::now().0, key.starts_at.0],
    )?;
    Ok(())
}

/// What a key is sealed for, so that it cannot be moved: no client id has a colon.
pub(in crate::replica) fn owner(kid: &str) -> String {
    format!("identity_keys:{kid}")
}
