//! Stores, apps and installations into their tables: new ones are inserted, known ones updated where
//! they differ, so that an import of what is there already changes (and journals) nothing.

use std::collections::{HashMap, HashSet};

use foldhash::fast::RandomState;
use rusqlite::{ErrorCode, OptionalExtension, Transaction, params};

use super::bad;
use super::record::{self, App, Installation, Store};
use crate::model::{ClientId, ScopeSet, SecretHash, StoreId, Timestamp};
use crate::replica::read::signed;
use crate::replica::seal::Sealer;
use crate::replica::write::{Halt, stored_networks};

/// The keys that other records may refer to.
pub(super) struct Known {
    stores: HashSet<i64, RandomState>,
    apps: HashMap<ClientId, i64, RandomState>,
}

impl Known {
    /// Reads the keys that the replica has.
    pub(super) fn load(tx: &Transaction<'_>) -> Result<Self, Halt> {
        let mut known = Self { stores: HashSet::default(), apps: HashMap::default() };
        let mut stores = tx.prepare("SELECT store_id FROM stores")?;
        for store in stores.query_map([], |row| row.get(0))? {
            known.stores.insert(store?);
        }
        let mut apps = tx.prepare("SELECT client_id, app_id FROM apps")?;
        for app in apps.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))? {
            let (client_id, app_id) = app?;
            // A client id that a stranger wrote and that is none cannot be referred to either.
            known.apps.extend(ClientId::parse(&client_id).ok().map(|client_id| (client_id, app_id)));
        }
        Ok(known)
    }

    /// The number of the app that a record refers to.
    pub(super) fn app(&self, client_id: &str) -> Result<i64, Halt> {
        let found = self.apps.get(client_id).copied();
        found.ok_or_else(|| match record::client_id(client_id) {
            Ok(_) => bad(format!("client_id: no app {client_id} is known; its record has to come first")),
            Err(why) => bad(why),
        })
    }

    /// The number of the store that a record refers to, as SQLite holds it.
    pub(super) fn store(&self, store_id: StoreId) -> Result<i64, Halt> {
        let number = signed(store_id);
        let unknown = || bad(format!("store_id: no store {store_id} is known; its record has to come first"));
        if self.stores.contains(&number) { Ok(number) } else { Err(unknown()) }
    }

    pub(super) fn put_store(&mut self, tx: &Transaction<'_>, store: &Store) -> Result<(), Halt> {
        let number = signed(store.store_id);
        let written = if self.stores.insert(number) {
            tx.prepare_cached("INSERT INTO stores VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?.execute(params![
                number,
                store.name.as_deref().unwrap_or_default(),
                store.domain,
                store.organization,
                store.status.unwrap_or("active"),
                Timestamp::now().0
            ])
        } else {
            tx.prepare_cached(
                "UPDATE stores SET name = coalesce(?2, name), domain = coalesce(?3, domain),
                    organization = coalesce(?4, organization), status = coalesce(?5, status)
                 WHERE store_id = ?1 AND (name IS NOT coalesce(?2, name) OR domain IS NOT coalesce(?3, domain)
                    OR organization IS NOT coalesce(?4, organization) OR status IS NOT coalesce(?5, status))",
            )?
            .execute(params![
                number,
                store.name,
                store.domain,
                store.organization,
                store.status
            ])
        };
        written.map(drop).map_err(|error| match (is_taken(&error), &store.domain) {
            (true, Some(domain)) => bad(format!("domain: {domain} belongs to another store")),
            _ => error.into(),
        })
    }

    pub(super) fn put_app(&mut self, tx: &Transaction<'_>, sealer: &Sealer, app: &App) -> Result<(), Halt> {
        let known = self.apps.get(app.client_id.as_str()).copied();
        if let (Some(known), Some(given)) = (known, app.app_id)
            && known != given
        {
            return Err(bad(format!(
                "app_id: {} has the number {known} already, not {given}",
                app.client_id
            )));
        }
        let number = match known {
            Some(number) => update_app(tx, sealer, app, number).map(|()| number)?,
            None => insert_app(tx, sealer, app)?,
        };
        self.apps.insert(app.client_id.clone(), number);
        app.secret_hash.iter().try_for_each(|hash| put_secret(tx, number, hash))
    }

    pub(super) fn put_installation(
        &mut self,
        tx: &Transaction<'_>,
        installation: &Installation,
    ) -> Result<(), Halt> {
        let app = self.app(installation.client_id.as_str())?;
        let store = self.store(installation.store_id)?;
        let scopes = installation.scopes.as_ref().map(ScopeSet::as_str);
        let inserted = tx
            .prepare_cached(
                "INSERT INTO installations
                 SELECT ?1, ?2, ?3, coalesce(?4, (SELECT scopes FROM apps WHERE app_id = ?2)), coalesce(?5, 'active'), ?6
                 WHERE NOT EXISTS (SELECT 1 FROM installations WHERE app_id = ?2 AND store_id = ?3)",
            )?
            .execute(params![
                installation.installation_id,
                app,
                store,
                scopes,
                installation.status,
                Timestamp::now().0
            ]);
        match inserted {
            Ok(1) => Ok(()),
            Ok(_) => update_installation(tx, installation, app, store, scopes),
            Err(error) if is_taken(&error) => {
                let number = installation.installation_id.unwrap_or_default();
                Err(bad(format!("installation_id: {number} belongs to another app or store")))
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn insert_app(tx: &Transaction<'_>, sealer: &Sealer, app: &App) -> Result<i64, Halt> {
    let key = app.session_signing_key.as_ref();
    let sealed = key.map(|key| sealer.seal(app.client_id.as_str(), key.expose())).transpose()?;
    let inserted = tx
        .prepare_cached("INSERT INTO apps VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, NULL, '')")?
        .execute(params![
            app.app_id,
            app.client_id.as_str(),
            app.name.as_deref().unwrap_or_default(),
            app.organization,
            app.scopes.as_ref().map_or("", ScopeSet::as_str),
            app.status.unwrap_or("enabled"),
            sealed,
            stored_networks(app.allow_ips.as_deref().unwrap_or_default())?,
            Timestamp::now().0
        ]);
    match inserted {
        Ok(_) => Ok(tx.last_insert_rowid()),
        Err(error) if is_taken(&error) => {
            let number = app.app_id.unwrap_or_default();
            Err(bad(format!("app_id: {number} belongs to another app")))
        }
        Err(error) => Err(error.into()),
    }
}

fn update_app(tx: &Transaction<'_>, sealer: &Sealer, app: &App, number: i64) -> Result<(), Halt> {
    let networks = app.allow_ips.as_deref().map(stored_networks).transpose()?;
    tx.prepare_cached(
        "UPDATE apps SET name = coalesce(?2, name), organization = coalesce(?3, organization),
            scopes = coalesce(?4, scopes), status = coalesce(?5, status), allow_ips = coalesce(?6, allow_ips)
         WHERE app_id = ?1 AND (name IS NOT coalesce(?2, name) OR organization IS NOT coalesce(?3, organization)
            OR scopes IS NOT coalesce(?4, scopes) OR status IS NOT coalesce(?5, status)
            OR allow_ips IS NOT coalesce(?6, allow_ips))",
    )?
    .execute(params![
        number,
        app.name,
        app.organization,
        app.scopes.as_ref().map(ScopeSet::as_str),
        app.status,
        networks
    ])?;
    let Some(key) = &app.session_signing_key else { return Ok(()) };
    // Sealing differs every time, so that the keys themselves are compared.
    let stored: Option<String> = tx
        .prepare_cached("SELECT session_signing_key FROM apps WHERE app_id = ?1")?
        .query_row([number], |row| row.get(0))?;
    let same = stored.is_some_and(|stored| {
        sealer.open(app.client_id.as_str(), &stored).is_ok_and(|stored| stored.expose() == key.expose())
    });
    if !same {
        let sealed = sealer.seal(app.client_id.as_str(), key.expose())?;
        tx.prepare_cached("UPDATE apps SET session_signing_key = ?2 WHERE app_id = ?1")?
            .execute(params![number, sealed])?;
    }
    Ok(())
}

/// One generation in place of all, unless the newest has that hash already.
fn put_secret(tx: &Transaction<'_>, app: i64, hash: &SecretHash) -> Result<(), Halt> {
    let newest: Option<(i64, String)> = tx
        .prepare_cached(
            "SELECT generation, hash FROM app_secrets WHERE app_id = ?1 ORDER BY generation DESC LIMIT 1",
        )?
        .query_row([app], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let (generation, same) = newest.map_or((0, false), |(generation, stored)| {
        (generation, SecretHash::parse(&stored).as_ref() == Ok(hash))
    });
    if same {
        return Ok(());
    }
    tx.prepare_cached("DELETE FROM app_secrets WHERE app_id = ?1")?.execute([app])?;
    tx.prepare_cached("INSERT INTO app_secrets VALUES (?1, ?2, ?3, ?4, NULL, NULL)")?.execute(params![
        app,
        generation + 1,
        hash.to_stored(),
        Timestamp::now().0
    ])?;
    Ok(())
}

fn update_installation(
    tx: &Transaction<'_>,
    installation: &Installation,
    app: i64,
    store: i64,
    scopes: Option<&str>,
) -> Result<(), Halt> {
    let known: i64 = tx
        .prepare_cached("SELECT installation_id FROM installations WHERE app_id = ?1 AND store_id = ?2")?
        .query_row([app, store], |row| row.get(0))?;
    if let Some(given) = installation.installation_id
        && given != known
    {
        let client_id = &installation.client_id;
        return Err(bad(format!(
            "installation_id: {client_id} in store {store} has the number {known} already, not {given}"
        )));
    }
    tx.prepare_cached(
        "UPDATE installations SET scopes = coalesce(?2, scopes), status = coalesce(?3, status)
         WHERE installation_id = ?1
            AND (scopes IS NOT coalesce(?2, scopes) OR status IS NOT coalesce(?3, status))",
    )?
    .execute(params![known, scopes, installation.status])?;
    Ok(())
}

/// Values are checked before, so that a violated constraint is a key that is taken.
fn is_taken(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation)
}
