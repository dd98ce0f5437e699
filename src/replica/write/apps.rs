//! Apps: making and showing them, and what is set on them.

use data_encoding::HEXLOWER;
use ipnet::IpNet;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;

use super::{
    Committed, Halt, Page, WriteError, Writer, app_id, checked_name, checked_organization, checked_secret,
};
use crate::model::{AppStatus, ClientId, ScopeSet, Secret, SecretHash, Timestamp, TokenAuth};
use crate::replica::audit::{Action, Deed};

/// What an app is made from.
#[derive(Debug, Clone)]
pub struct NewApp {
    /// Its name.
    pub name: String,
    /// What its installations may do where nothing else is said.
    pub scopes: ScopeSet,
    /// Its public identifier; `None`: one is made.
    pub client_id: Option<ClientId>,
    /// Its secret; `None`: one is made.
    pub client_secret: Option<Secret>,
    /// The organization that owns it.
    pub organization: Option<String>,
    /// The networks from which it may call; empty: from anywhere.
    pub allow: Vec<IpNet>,
    /// The only way in which it may authenticate at token endpoints; `None`: either.
    pub token_auth: Option<TokenAuth>,
    /// Where the browser may be sent with an authorization code.
    pub redirect_uris: Vec<String>,
}

/// A new app. The secrets are shown once and cannot be read back.
#[derive(Debug, Clone)]
pub struct CreatedApp {
    /// Its number.
    pub app_id: i64,
    /// Its public identifier.
    pub client_id: ClientId,
    /// Its secret.
    pub client_secret: Secret,
    /// The key of its session tokens: 64 hexadecimal digits, to be used as text.
    pub session_signing_key: Secret,
}

/// An app as `storegate app list` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AppSummary {
    /// Its number.
    pub app_id: i64,
    /// Its public identifier.
    pub client_id: String,
    /// Its name.
    pub name: String,
    /// The organization that owns it.
    pub organization: Option<String>,
    /// Its scopes, separated by blanks.
    pub scopes: String,
    /// `enabled` or `disabled`.
    pub status: String,
    /// The networks from which it may call; empty: from anywhere.
    pub allowed_addresses: Vec<String>,
    /// When it was made, in Unix seconds.
    pub created_at: i64,
}

/// An app as `storegate app show` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AppDetail {
    /// The app.
    pub app: AppSummary,
    /// Whether it has a key for session tokens.
    pub has_signing_key: bool,
    /// Its secrets, newest first.
    pub secrets: Vec<SecretDetail>,
    /// Where it is or was installed, by store.
    pub installations: Vec<AppInstallation>,
}

/// What may be shown of a client secret. Times are Unix seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SecretDetail {
    /// Counts up with every rotation.
    pub generation: i64,
    /// How it is stored.
    pub kind: SecretKind,
    /// When it was made or taken over.
    pub created_at: i64,
    /// When it stops working; `None`: not by the clock.
    pub expires_at: Option<i64>,
    /// When it was last used, as far as that was recorded.
    pub last_used_at: Option<i64>,
}

/// How a client secret is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SecretKind {
    /// As its SHA-256.
    Sha256,
    /// As a bcrypt hash that was taken over.
    Bcrypt,
}

/// One installation of an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AppInstallation {
    /// Its number.
    pub installation_id: i64,
    /// The store.
    pub store_id: i64,
    /// What the merchant granted, separated by blanks.
    pub scopes: String,
    /// `active` or `uninstalled`.
    pub status: String,
    /// When it was first made, in Unix seconds.
    pub created_at: i64,
}

impl Writer {
    /// Makes an app with one secret and a key for session tokens.
    ///
    /// # Errors
    ///
    /// The client id is taken, a text is malformed, or the replica cannot be changed.
    pub fn create_app(&mut self, new: NewApp) -> Result<Committed<CreatedApp>, WriteError> {
        if new.name.is_empty() {
            return Err(WriteError::malformed("the app's name", "at least one character"));
        }
        let name = checked_name("the app's name", &new.name)?;
        let organization = new.organization.as_deref().map(checked_organization).transpose()?;
        new.client_secret.iter().try_for_each(|secret| checked_secret("the client secret", secret))?;
        let redirect_uris = stored_redirect_uris(&new.redirect_uris)?;
        let networks = stored_networks(&new.allow)?;
        let deed = |made: &CreatedApp| {
            let deed = subject(Action::CreateApp, &made.client_id).with("app_id", made.app_id);
            let deed = deed.with("name", name).with("organization", organization);
            deed.with("scopes", new.scopes.as_str()).with("allow_ip", &*networks)
        };
        self.change(deed, |tx, sealer, prefixes| {
            let client_id = new.client_id.clone().map_or_else(|| new_client_id(&prefixes.client_id), Ok)?;
            if app_id(tx, &client_id).is_ok() {
                return Err(WriteError::AppExists(client_id).into());
            }
            let client_secret =
                new.client_secret.clone().map_or_else(|| Secret::generate(&prefixes.client_secret), Ok)?;
            let session_signing_key = Secret::generate("")?;
            let sealed = sealer.seal(client_id.as_str(), session_signing_key.expose())?;
            let now = Timestamp::now().0;
            tx.execute(
                "INSERT INTO apps (client_id, name, organization, scopes, status, session_signing_key, allow_ips,
                    created_at, token_auth, redirect_uris)
                 VALUES (?1, ?2, ?3, ?4, 'enabled', ?5, ?6, ?7, ?8, ?9)",
                params![
                    client_id.as_str(),
                    name,
                    organization,
                    new.scopes.as_str(),
                    sealed,
                    networks,
                    now,
                    new.token_auth.map(TokenAuth::name),
                    redirect_uris,
                ],
            )?;
            let app_id = tx.last_insert_rowid();
            let hash = SecretHash::sha256_of(client_secret.expose()).to_stored();
            tx.execute(
                "INSERT INTO app_secrets VALUES (?1, 1, ?2, ?3, NULL, NULL)",
                params![app_id, hash, now],
            )?;
            Ok(CreatedApp { app_id, client_id, client_secret, session_signing_key })
        })
    }

    /// Apps, by number.
    ///
    /// # Errors
    ///
    /// The replica cannot be read.
    pub fn apps(&mut self, page: Page<i64>) -> Result<Vec<AppSummary>, WriteError> {
        self.look(|conn, _| {
            let mut statement =
                conn.prepare_cached(&format!("{SUMMARY} WHERE app_id > ?1 ORDER BY app_id LIMIT ?2"))?;
            let rows = statement.query_map(params![page.after.unwrap_or(0), page.limit], summary)?;
            rows.collect::<Result<_, _>>().map_err(Halt::from)
        })
    }

    /// One app with everything that may be shown of it.
    ///
    /// # Errors
    ///
    /// There is no such app, or the replica cannot be read.
    pub fn app(&mut self, client_id: &ClientId) -> Result<AppDetail, WriteError> {
        self.look(|conn, _| {
            let sql = format!("{SUMMARY} WHERE client_id = ?1");
            let app = conn.query_row(&sql, [client_id.as_str()], |row| {
                Ok((summary(row)?, row.get_ref(8)? != rusqlite::types::ValueRef::Null))
            });
            let found = app.optional()?;
            let (app, has_signing_key) = found.ok_or_else(|| WriteError::NoApp(client_id.clone()))?;
            let secrets = secrets(conn, app.app_id)?;
            let installations = installations(conn, app.app_id)?;
            Ok(AppDetail { app, has_signing_key, secrets, installations })
        })
    }

    /// Switches an app off or on.
    ///
    /// # Errors
    ///
    /// There is no such app, or the replica cannot be changed.
    pub fn set_app_status(
        &mut self,
        client_id: &ClientId,
        status: AppStatus,
    ) -> Result<Committed<()>, WriteError> {
        let (status, action) = match status {
            AppStatus::Enabled => ("enabled", Action::EnableApp),
            AppStatus::Disabled => ("disabled", Action::DisableApp),
        };
        self.change(
            |()| subject(action, client_id),
            |tx, _, _| {
                let app = app_id(tx, client_id)?;
                tx.execute("UPDATE apps SET status = ?2 WHERE app_id = ?1", params![app, status])?;
                Ok(())
            },
        )
    }

    /// Sets the networks from which an app may call, in place of those before; none: from anywhere.
    ///
    /// # Errors
    ///
    /// There is no such app, there are too many networks, or the replica cannot be changed.
    pub fn set_allowed_addresses(
        &mut self,
        client_id: &ClientId,
        networks: &[IpNet],
    ) -> Result<Committed<()>, WriteError> {
        let stored = stored_networks(networks)?;
        let deed = |(): &()| subject(Action::AllowAddresses, client_id).with("allow_ip", &*stored);
        self.change(deed, |tx, _, _| {
            let app = app_id(tx, client_id)?;
            tx.execute("UPDATE apps SET allow_ips = ?2 WHERE app_id = ?1", params![app, stored])?;
            Ok(())
        })
    }
}

/// The most networks an app may list: each request of the app is compared with them one by one.
const MAX_NETWORKS: usize = 256;

/// The column `apps.allow_ips`.
pub(in crate::replica) fn stored_networks(networks: &[IpNet]) -> Result<String, WriteError> {
    if networks.len() > MAX_NETWORKS {
        return Err(WriteError::malformed("the address list", format!("at most {MAX_NETWORKS} networks")));
    }
    Ok(networks.iter().map(IpNet::to_string).collect::<Vec<_>>().join(" "))
}

/// The most redirect URIs of an app.
const MAX_REDIRECT_URIS: usize = 32;

/// The column `apps.redirect_uris`.
fn stored_redirect_uris(uris: &[String]) -> Result<String, WriteError> {
    let is_fine = |uri: &String| {
        let after_scheme = uri.split_once("://").filter(|(scheme, _)| {
            !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
        });
        uri.len() <= 2000
            && uri.bytes().all(|b| b.is_ascii_graphic())
            && !uri.contains('#')
            && after_scheme.is_some_and(|(_, rest)| !rest.is_empty())
    };
    if uris.len() > MAX_REDIRECT_URIS || !uris.iter().all(is_fine) {
        return Err(WriteError::malformed(
            "the redirect URI",
            format!(
                "at most {MAX_REDIRECT_URIS} absolute URIs of 2000 bytes, without blanks and fragment (RFC 6749 section 3.1.2)"
            ),
        ));
    }
    Ok(uris.join(" "))
}

/// What is done to an app.
pub(super) fn subject(action: Action, client_id: &ClientId) -> Deed {
    Deed::new(action, format_args!("app:{client_id}"))
}

fn new_client_id(prefix: &str) -> Result<ClientId, WriteError> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes)?;
    let text = format!("{prefix}{}", HEXLOWER.encode(&bytes));
    ClientId::parse(&text).map_err(|why| WriteError::malformed("the prefix of client ids", why))
}

const SUMMARY: &str = "SELECT app_id, client_id, name, organization, scopes, status, allow_ips, created_at,
    session_signing_key FROM apps";

fn summary(row: &Row<'_>) -> rusqlite::Result<AppSummary> {
    Ok(AppSummary {
        app_id: row.get(0)?,
        client_id: row.get(1)?,
        name: row.get(2)?,
        organization: row.get(3)?,
        scopes: row.get(4)?,
        status: row.get(5)?,
        allowed_addresses: row.get::<_, String>(6)?.split_ascii_whitespace().map(String::from).collect(),
        created_at: row.get(7)?,
    })
}

fn secrets(conn: &Connection, app_id: i64) -> Result<Vec<SecretDetail>, Halt> {
    let mut statement = conn.prepare(
        "SELECT generation, hash LIKE 'sha256:%', created_at, expires_at, last_used_at
         FROM app_secrets WHERE app_id = ?1 ORDER BY generation DESC",
    )?;
    let rows = statement.query_map([app_id], |row| {
        Ok(SecretDetail {
            generation: row.get(0)?,
            kind: if row.get(1)? { SecretKind::Sha256 } else { SecretKind::Bcrypt },
            created_at: row.get(2)?,
            expires_at: row.get(3)?,
            last_used_at: row.get(4)?,
        })
    })?;
    rows.collect::<Result<_, _>>().map_err(Halt::from)
}

fn installations(conn: &Connection, app_id: i64) -> Result<Vec<AppInstallation>, Halt> {
    let mut statement = conn.prepare(
        "SELECT installation_id, store_id, scopes, status, created_at
         FROM installations WHERE app_id = ?1 ORDER BY store_id",
    )?;
    let rows = statement.query_map([app_id], |row| {
        Ok(AppInstallation {
            installation_id: row.get(0)?,
            store_id: row.get(1)?,
            scopes: row.get(2)?,
            status: row.get(3)?,
            created_at: row.get(4)?,
        })
    })?;
    rows.collect::<Result<_, _>>().map_err(Halt::from)
}
