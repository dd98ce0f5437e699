//! Installations, and what is needed to act in their name.

use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};

use super::{Committed, Halt, Page, WriteError, Writer, app_id};
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

/// An installation, as lists show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstallationSummary {
    /// Its number.
    pub installation_id: i64,
    /// The app's public identifier.
    pub client_id: String,
    /// The store.
    pub store_id: i64,
    /// What the merchant granted, separated by blanks.
    pub scopes: String,
    /// `active` or `uninstalled`.
    pub status: String,
    /// When it was first made, in Unix seconds.
    pub created_at: i64,
}

/// Which installations are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InstallationFilter {
    /// Of this app only; the list is in the order of the stores then.
    pub app: Option<ClientId>,
    /// In this store only.
    pub store: Option<StoreId>,
}

impl InstallationFilter {
    /// What [`Page::after`] means: the store's number where the list is an app's, else the
    /// installation's.
    pub fn key(&self, of: &InstallationSummary) -> i64 {
        if self.app.is_some() { of.store_id } else { of.installation_id }
    }
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

    /// Installations, whatever their status.
    ///
    /// # Errors
    ///
    /// The replica cannot be read.
    pub fn installations(
        &mut self,
        filter: &InstallationFilter,
        page: Page<i64>,
    ) -> Result<Vec<InstallationSummary>, WriteError> {
        let app = filter.app.as_ref().map(ClientId::as_str);
        let (store, after) = (filter.store.map(signed), page.after.unwrap_or(0));
        let mut given: Vec<&dyn ToSql> = vec![&after, &page.limit];
        // Each walks one index from the place that was reached.
        let rest = match (&app, &store) {
            (None, None) => "WHERE i.installation_id > ?1 ORDER BY i.installation_id LIMIT ?2",
            (None, Some(store)) => {
                given.push(store);
                "WHERE i.store_id = ?3 AND i.installation_id > ?1 ORDER BY i.installation_id LIMIT ?2"
            }
            (Some(app), None) => {
                given.push(app);
                "WHERE i.app_id = (SELECT app_id FROM apps WHERE client_id = ?3) AND i.store_id > ?1
                 ORDER BY i.store_id LIMIT ?2"
            }
            (Some(app), Some(store)) => {
                given.extend([app as &dyn ToSql, store]);
                "WHERE i.app_id = (SELECT app_id FROM apps WHERE client_id = ?3) AND i.store_id = ?4
                 AND i.store_id > ?1 LIMIT ?2"
            }
        };
        self.look(|conn, _| {
            let mut statement = conn.prepare_cached(&format!("{SUMMARY} {rest}"))?;
            let rows = statement.query_map(&*given, summary)?;
            rows.collect::<Result<_, _>>().map_err(Halt::from)
        })
    }

    /// One installation, whatever its status.
    ///
    /// # Errors
    ///
    /// There is none, or the replica cannot be read.
    pub fn installation(&mut self, installation_id: i64) -> Result<InstallationSummary, WriteError> {
        self.look(|conn, _| {
            let mut statement = conn.prepare_cached(&format!("{SUMMARY} WHERE i.installation_id = ?1"))?;
            let found = statement.query_row([installation_id], summary).optional()?;
            found.ok_or_else(|| WriteError::NoInstallation(installation_id).into())
        })
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

/// CROSS JOIN: SQLite keeps the order of the tables then, and with it the order of the index.
const SUMMARY: &str = "SELECT i.installation_id, a.client_id, i.store_id, i.scopes, i.status, i.created_at
    FROM installations i CROSS JOIN apps a ON a.app_id = i.app_id";

fn summary(row: &Row<'_>) -> rusqlite::Result<InstallationSummary> {
    Ok(InstallationSummary {
        installation_id: row.get(0)?,
        client_id: row.get(1)?,
        store_id: row.get(2)?,
        scopes: row.get(3)?,
        status: row.get(4)?,
        created_at: row.get(5)?,
    })
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
