//! Rows to records. Every look-up is one statement, so that it sees one state of the replica.
//!
//! A row that does not make a valid record is an error, never "not found": what the replica says
//! cannot be known then.

use http::HeaderValue;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::seal::{Sealer, Unsealable};
use super::uses::Uses;
use crate::model::{
    AccessToken, AddressList, App, AppId, AppSecret, AppStatus, ClientId, CustomerToken, Installation,
    InstallationId, InstallationStatus, Registration, ScopeSet, SecretHash, SessionKey, Store, StoreId,
    StoreStatus, Subject, Timestamp, TokenAuth, TokenDigest,
};

/// The newest generations win when a foreign writer left more than a rotation ever does.
const STORE: &str = "SELECT store_id, status, domain FROM stores WHERE store_id = ?1";
const APP: &str = "SELECT a.app_id, a.client_id, a.status, a.session_signing_key, a.allow_ips,
        s.generation, s.hash, s.expires_at, a.organization, a.token_auth, a.redirect_uris, a.scopes
    FROM apps a LEFT JOIN app_secrets s ON s.app_id = a.app_id
    WHERE a.client_id = ?1 ORDER BY s.generation DESC LIMIT 16";
const INSTALLATION: &str = "SELECT i.installation_id, i.app_id, a.client_id, i.store_id, i.scopes, i.status
    FROM installations i JOIN apps a ON a.app_id = i.app_id WHERE i.app_id = ?1 AND i.store_id = ?2";
const INSTALLATION_BY_ID: &str =
    "SELECT i.installation_id, i.app_id, a.client_id, i.store_id, i.scopes, i.status
    FROM installations i JOIN apps a ON a.app_id = i.app_id WHERE i.installation_id = ?1";
const ACCESS_TOKEN: &str = "SELECT t.app_id, a.client_id, t.store_id, t.scopes, t.expires_at, t.revoked_at,
        t.secret_generation, t.subject
    FROM access_tokens t JOIN apps a ON a.app_id = t.app_id WHERE t.token_hash = ?1";

const CUSTOMER_TOKEN: &str = "SELECT 'customer:' || customer, store_id, expires_at, revoked_at
    FROM customer_tokens WHERE token_hash = ?1";
const STORE_OF_DOMAIN: &str = "SELECT store_id FROM stores WHERE domain = ?1";

/// Why a look-up has no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    /// SQLite failed, or a column has another type than it should.
    #[error("{0}")]
    Sqlite(#[from] rusqlite::Error),
    /// A column's text is no valid value. The value is not shown: it may be a secret's hash.
    #[error("a row of {table} has a malformed {column}")]
    Malformed {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
    },
    /// A signing key cannot be opened.
    #[error("an app's {Unsealable}")]
    Sealed,
}

pub(super) fn malformed<E>(table: &'static str, column: &'static str) -> impl FnOnce(E) -> ReadError {
    move |_| ReadError::Malformed { table, column }
}

/// Prepares every look-up, so that the first one is no slower and a wrong schema is found at once.
pub(super) fn prepare_all(conn: &Connection) -> rusqlite::Result<()> {
    for sql in [STORE, APP, INSTALLATION, INSTALLATION_BY_ID, ACCESS_TOKEN, CUSTOMER_TOKEN, STORE_OF_DOMAIN] {
        conn.prepare_cached(sql)?;
    }
    Ok(())
}

/// The store with this number.
pub(super) fn store(conn: &Connection, id: StoreId) -> Result<Option<Store>, ReadError> {
    let mut statement = conn.prepare_cached(STORE)?;
    let found = statement.query_row([signed(id)], |row| Ok(store_row(row))).optional()?;
    found.transpose()
}

fn store_row(row: &Row<'_>) -> Result<Store, ReadError> {
    let store_id = store_id(row, 0, "stores")?;
    let status = match text(row, 1)? {
        "active" => StoreStatus::Active,
        "suspended" => StoreStatus::Suspended,
        other => return Err(malformed("stores", "status")(other)),
    };
    let domain = optional_text(row, 2)?.map(Box::from);
    Ok(Store { store_id, domain, status, header: store_id.header() })
}

/// The app with this client id, and its secrets.
pub(super) fn app(
    conn: &Connection,
    client_id: &str,
    sealer: &Sealer,
    uses: &Uses,
) -> Result<Option<App>, ReadError> {
    let mut statement = conn.prepare_cached(APP)?;
    let mut rows = statement.query([client_id])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let mut app = app_row(row, sealer)?;
    let mut secrets = Vec::from_iter(secret_row(row, app.app_id, uses)?);
    while let Some(row) = rows.next()? {
        secrets.extend(secret_row(row, app.app_id, uses)?);
    }
    app.secrets = secrets.into();
    Ok(Some(app))
}

fn app_row(row: &Row<'_>, sealer: &Sealer) -> Result<App, ReadError> {
    let client_id = client_id(row, 1)?;
    let status = match text(row, 2)? {
        "enabled" => AppStatus::Enabled,
        "disabled" => AppStatus::Disabled,
        other => return Err(malformed("apps", "status")(other)),
    };
    let session_key = match row.get_ref(3)?.as_str_or_null().map_err(rusqlite::Error::from)? {
        None => None,
        Some(stored) => {
            let key = sealer.open(client_id.as_str(), stored).map_err(|_| ReadError::Sealed)?;
            Some(SessionKey::new(key.expose()))
        }
    };
    let networks = text(row, 4)?.split_ascii_whitespace().map(AddressList::parse_entry);
    let networks = networks.collect::<Result<Vec<_>, _>>().map_err(malformed("apps", "allow_ips"))?;
    Ok(App {
        app_id: AppId(number(row, 0, "apps", "app_id")?),
        status,
        secrets: Box::default(),
        session_key,
        allowed_addresses: AddressList::new(networks),
        registration: registration(row)?,
        header: HeaderValue::from_str(client_id.as_str()).map_err(malformed("apps", "client_id"))?,
        client_id,
    })
}

fn registration(row: &Row<'_>) -> Result<Registration, ReadError> {
    let token_auth = optional_text(row, 9)?.map(TokenAuth::parse).transpose();
    Ok(Registration {
        organization: optional_text(row, 8)?.map(Box::from),
        token_auth: token_auth.map_err(malformed("apps", "token_auth"))?,
        redirect_uris: text(row, 10)?.split_ascii_whitespace().map(Box::from).collect(),
        scopes: ScopeSet::parse(text(row, 11)?).map_err(malformed("apps", "scopes"))?,
    })
}

fn secret_row(row: &Row<'_>, app: AppId, uses: &Uses) -> Result<Option<AppSecret>, ReadError> {
    let Some(generation) = row.get::<_, Option<i64>>(5)? else { return Ok(None) }; // the app has none
    let hash = SecretHash::parse(text(row, 6)?).map_err(malformed("app_secrets", "hash"))?;
    let expires_at = row.get::<_, Option<i64>>(7)?.map(Timestamp);
    Ok(Some(AppSecret::new(generation, hash, expires_at).noting(uses.of(app, generation))))
}

/// The installation of an app in a store, whatever its status.
pub(super) fn installation(
    conn: &Connection,
    app: AppId,
    store: StoreId,
) -> Result<Option<Installation>, ReadError> {
    let mut statement = conn.prepare_cached(INSTALLATION)?;
    let found =
        statement.query_row(params![app.0, signed(store)], |row| Ok(installation_row(row))).optional()?;
    found.transpose()
}

/// The installation with this number, whatever its status.
pub(super) fn installation_by_id(
    conn: &Connection,
    id: InstallationId,
) -> Result<Option<Installation>, ReadError> {
    let mut statement = conn.prepare_cached(INSTALLATION_BY_ID)?;
    let found = statement.query_row([id.0], |row| Ok(installation_row(row))).optional()?;
    found.transpose()
}

fn installation_row(row: &Row<'_>) -> Result<Installation, ReadError> {
    let installation_id = InstallationId(number(row, 0, "installations", "installation_id")?);
    let status = match text(row, 5)? {
        "active" => InstallationStatus::Active,
        "uninstalled" => InstallationStatus::Uninstalled,
        other => return Err(malformed("installations", "status")(other)),
    };
    Ok(Installation {
        installation_id,
        app_id: AppId(number(row, 1, "installations", "app_id")?),
        client_id: client_id(row, 2)?,
        store_id: store_id(row, 3, "installations")?,
        scopes: ScopeSet::parse(text(row, 4)?).map_err(malformed("installations", "scopes"))?,
        status,
        header: HeaderValue::from(installation_id.0),
    })
}

/// The access token with this digest.
pub(super) fn access_token(
    conn: &Connection,
    digest: &TokenDigest,
) -> Result<Option<AccessToken>, ReadError> {
    let mut statement = conn.prepare_cached(ACCESS_TOKEN)?;
    let found = statement.query_row([&digest.0[..]], |row| Ok(access_token_row(row))).optional()?;
    found.transpose()
}

fn access_token_row(row: &Row<'_>) -> Result<AccessToken, ReadError> {
    let scopes = row.get_ref(3)?.as_str_or_null().map_err(rusqlite::Error::from)?.map(ScopeSet::parse);
    Ok(AccessToken {
        app_id: AppId(number(row, 0, "access_tokens", "app_id")?),
        client_id: client_id(row, 1)?,
        store_id: store_id(row, 2, "access_tokens")?,
        scopes: scopes.transpose().map_err(malformed("access_tokens", "scopes"))?,
        expires_at: Timestamp(row.get(4)?),
        revoked: row.get::<_, Option<i64>>(5)?.is_some(),
        secret_generation: row.get(6)?,
        subject: subject(row, 7, "access_tokens")?,
    })
}

/// The customer token with this digest.
pub(super) fn customer_token(
    conn: &Connection,
    digest: &TokenDigest,
) -> Result<Option<CustomerToken>, ReadError> {
    let mut statement = conn.prepare_cached(CUSTOMER_TOKEN)?;
    let found = statement.query_row([&digest.0[..]], |row| Ok(customer_token_row(row))).optional()?;
    found.transpose()
}

fn customer_token_row(row: &Row<'_>) -> Result<CustomerToken, ReadError> {
    let subject = subject(row, 0, "customer_tokens")?;
    Ok(CustomerToken {
        subject: subject.ok_or(()).map_err(malformed("customer_tokens", "customer"))?,
        store_id: store_id(row, 1, "customer_tokens")?,
        expires_at: Timestamp(row.get(2)?),
        revoked: row.get::<_, Option<i64>>(3)?.is_some(),
    })
}

/// A store by its domain, in lower case.
pub(super) fn store_of_domain(conn: &Connection, domain: &str) -> Result<Option<StoreId>, ReadError> {
    let mut statement = conn.prepare_cached(STORE_OF_DOMAIN)?;
    let found = statement.query_row([domain], |row| Ok(store_id(row, 0, "stores"))).optional()?;
    found.transpose()
}

/// A person as the subject header tells it.
fn subject(row: &Row<'_>, column: usize, table: &'static str) -> Result<Option<HeaderValue>, ReadError> {
    let subject = optional_text(row, column)?.map(Subject::parse);
    Ok(subject.transpose().map_err(malformed(table, "subject"))?.map(Subject::header))
}

/// A store id as SQLite holds it.
pub(super) fn signed(id: StoreId) -> i64 {
    i64::try_from(id.get()).expect("a store id is below 2^53")
}

fn text<'row>(row: &'row Row<'_>, column: usize) -> Result<&'row str, ReadError> {
    Ok(row.get_ref(column)?.as_str().map_err(rusqlite::Error::from)?)
}

fn optional_text<'row>(row: &'row Row<'_>, column: usize) -> Result<Option<&'row str>, ReadError> {
    Ok(row.get_ref(column)?.as_str_or_null().map_err(rusqlite::Error::from)?)
}

fn client_id(row: &Row<'_>, column: usize) -> Result<ClientId, ReadError> {
    ClientId::parse(text(row, column)?).map_err(malformed("apps", "client_id"))
}

pub(super) fn store_id(row: &Row<'_>, column: usize, table: &'static str) -> Result<StoreId, ReadError> {
    let number = u64::try_from(row.get::<_, i64>(column)?).map_err(malformed(table, "store_id"))?;
    StoreId::new(number).ok_or(()).map_err(malformed(table, "store_id"))
}

/// An id of the platform: 1 to 2^53 - 1.
fn number(row: &Row<'_>, column: usize, table: &'static str, name: &'static str) -> Result<i64, ReadError> {
    let number: i64 = row.get(column)?;
    let ids = 1..=i64::try_from(StoreId::MAX).unwrap_or(i64::MAX);
    if ids.contains(&number) { Ok(number) } else { Err(malformed(table, name)(())) }
}
