//! Installations, and what is needed to act in their name.

use rusqlite::{Connection, OptionalExtension, params};

use super::{Committed, Halt, WriteError, Writer, app_id};
use crate::model::{ClientId, ScopeSet, SessionKey, StoreId};
use crate::replica::audit::{Action, Deed};
use crate::replica::read::signed;

/// What a session token says about its installation, and the key that signs it.
#[derive(Debug, Clone)]
pub struct SessionClaims {
    /// `app_id`.
    pub app_id: i64,
    /// `sub`.
    pub store_id: StoreId,
    /// `sid`.
    pub installation_id: i64,
    /// The app's key.
    pub key: SessionKey,
}

impl Writer {
    /// Installs an app in a store with `scopes`, or with the app's own. Installing again sets the
    /// scopes; after an uninstallation it brings the same installation back. Gives its number.
    ///
    /// # Errors
    ///
    /// There is no such app or store, or the replica cannot be changed.
    pub fn install(
        &mut self,
        client_id: &ClientId,
        store_id: StoreId,
        scopes: Option<&ScopeSet>,
    ) -> Result<Committed<i64>, WriteError> {
        let deed = |made: &i64| {
            let deed = subject(Action::Install, client_id, store_id).with("installation_id", *made);
            deed.with("scopes", scopes.map(ScopeSet::as_str))
        };
        self.change(deed, |tx, _, _| {
            let app = app_id(tx, client_id)?;
            store_exists(tx, store_id)?;
            let installation = tx.query_row(
                "INSERT INTO installations (app_id, store_id, scopes, status, created_at)
                 VALUES (?1, ?2, coalesce(?3, (SELECT scopes FROM apps WHERE app_id = ?1)), 'active', unixepoch())
                 ON CONFLICT (app_id, store_id) DO UPDATE SET scopes = excluded.scopes, status = 'active'
                 RETURNING installation_id",
                params![app, signed(store_id), scopes.map(ScopeSet::as_str)],
                |row| row.get(0),
            )?;
            Ok(installation)
        })
    }

    /// Ends an installation. Ending an ended one changes nothing.
    ///
    /// # Errors
    ///
    /// There is no such app or store, the app was never installed there, or the replica cannot be
    /// changed.
    pub fn uninstall(
        &mut self,
        client_id: &ClientId,
        store_id: StoreId,
    ) -> Result<Committed<()>, WriteError> {
        self.change(
            |()| subject(Action::Uninstall, client_id, store_id),
            |tx, _, _| {
                let app = app_id(tx, client_id)?;
                store_exists(tx, store_id)?;
                let update =
                    "UPDATE installations SET status = 'uninstalled' WHERE app_id = ?1 AND store_id = ?2";
                match tx.execute(update, params![app, signed(store_id)])? {
                    0 => Err(WriteError::NotInstalled { client_id: client_id.clone(), store_id }.into()),
                    _ => Ok(()),
                }
            },
        )
    }

    /// What `storegate session mint` signs a token with.
    ///
    /// # Errors
    ///
    /// There is no such app or store, no active installation, no key, or the key cannot be opened.
    pub fn session_claims(
        &mut self,
        client_id: &ClientId,
        store_id: StoreId,
    ) -> Result<SessionClaims, WriteError> {
        self.look(|conn, sealer| {
            let app = app_id(conn, client_id)?;
            store_exists(conn, store_id)?;
            let installation_id = active_installation(conn, app, client_id, store_id)?;
            let sql = "SELECT session_signing_key FROM apps WHERE app_id = ?1";
            let stored: Option<String> = conn.query_row(sql, [app], |row| row.get(0))?;
            let stored = stored.ok_or_else(|| WriteError::NoSigningKey(client_id.clone()))?;
            let key = sealer.open(client_id.as_str(), &stored);
            let key = key.map_err(|_| WriteError::Sealed(client_id.clone()))?;
            Ok(SessionClaims { app_id: app, store_id, installation_id, key: SessionKey::new(key.expose()) })
        })
    }
}

fn subject(action: Action, client_id: &ClientId, store_id: StoreId) -> Deed {
    Deed::new(action, format_args!("app:{client_id}")).with("store_id", store_id.get())
}

pub(super) fn store_exists(conn: &Connection, store_id: StoreId) -> Result<(), Halt> {
    let mut statement = conn.prepare_cached("SELECT 1 FROM stores WHERE store_id = ?1")?;
    if statement.exists([signed(store_id)])? { Ok(()) } else { Err(WriteError::NoStore(store_id).into()) }
}

pub(super) fn active_installation(
    conn: &Connection,
    app: i64,
    client_id: &ClientId,
    store_id: StoreId,
) -> Result<i64, Halt> {
    let mut statement = conn.prepare_cached(
        "SELECT installation_id FROM installations WHERE app_id = ?1 AND store_id = ?2 AND status = 'active'",
    )?;
    let found = statement.query_row(params![app, signed(store_id)], |row| row.get(0)).optional()?;
    found.ok_or_else(|| WriteError::NotInstalled { client_id: client_id.clone(), store_id }.into())
}
