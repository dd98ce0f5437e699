//! Clients of the identity provider.

use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;

use super::{Committed, Halt, WriteError, Writer, checked_name};
use crate::gate::Unavailable;
use crate::model::{ClientId, PasswordHash, RedirectUri, ScopeSet, Subject, Timestamp, UserKind};
use crate::replica::audit::{Action, Actor, Deed};
use crate::replica::group::WriteQueue;
use crate::replica::write::users::number;

/// Redirect URIs that one client may have.
const MOST_URIS: usize = 20;

/// Clients that one merchant may register.
const MOST_OF_A_MERCHANT: usize = 50;

/// What a client is made from.
#[derive(Debug, Clone)]
pub struct NewOauthClient {
    /// Its public identifier.
    pub client_id: ClientId,
    /// What people are shown.
    pub name: String,
    /// Of its secret; `None`: a public client.
    pub secret_hash: Option<PasswordHash>,
    /// Where it may have people sent back to.
    pub redirect_uris: Vec<RedirectUri>,
    /// Where it may have people sent after they signed out.
    pub logout_uris: Vec<RedirectUri>,
    /// What it may ask for.
    pub scopes: ScopeSet,
    /// The merchant who registers it; `None`: an operator.
    pub owner: Option<Subject>,
}

/// A client as `storegate oauth-client list` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OauthClientSummary {
    /// Its number.
    pub client_id_pk: i64,
    /// Its public identifier.
    pub client_id: String,
    /// Its name.
    pub name: String,
    /// `confidential` or `public`.
    pub client_type: &'static str,
    /// `enabled` or `disabled`.
    pub status: String,
    /// What it may ask for, separated by blanks.
    pub scopes: String,
    /// Where it may have people sent back to.
    pub redirect_uris: Vec<String>,
    /// Where it may have people sent after they signed out.
    pub post_logout_redirect_uris: Vec<String>,
    /// The merchant who registered it, such as `merchant:7`.
    pub owner: Option<String>,
    /// When it was made, in Unix seconds.
    pub created_at: i64,
}

impl Writer {
    /// Registers a client of the identity provider, and gives its number.
    ///
    /// # Errors
    ///
    /// The client id is taken, a value is malformed, or the replica cannot be changed.
    pub fn add_oauth_client(&mut self, new: &NewOauthClient) -> Result<Committed<i64>, WriteError> {
        self.change(|_| added(new), |tx, _, _| add(tx, new))
    }

    /// Lets a client work, or no longer: its codes and tokens are refused from then on.
    ///
    /// # Errors
    ///
    /// There is no such client, or the replica cannot be changed.
    pub fn set_oauth_client_status(
        &mut self,
        client_id: &ClientId,
        is_enabled: bool,
    ) -> Result<Committed<()>, WriteError> {
        let (status, action) = match is_enabled {
            true => ("enabled", Action::EnableOauthClient),
            false => ("disabled", Action::DisableOauthClient),
        };
        self.change(
            |()| deed(action, client_id),
            |tx, _, _| {
                let sql = "UPDATE oauth_clients SET status = ?2 WHERE client_id = ?1";
                match tx.execute(sql, params![client_id.as_str(), status])? {
                    0 => Err(WriteError::NoOauthClient(client_id.clone()).into()),
                    _ => Ok(()),
                }
            },
        )
    }

    /// Replaces the secret of a client; the former one is refused from then on.
    ///
    /// # Errors
    ///
    /// There is no such client, it is public, or the replica cannot be changed.
    pub fn set_oauth_client_secret(
        &mut self,
        client_id: &ClientId,
        secret: &PasswordHash,
    ) -> Result<Committed<()>, WriteError> {
        self.change(
            |()| deed(Action::RotateOauthSecret, client_id),
            |tx, _, _| {
                let sql = "SELECT secret_hash IS NULL FROM oauth_clients WHERE client_id = ?1";
                match tx.query_row(sql, [client_id.as_str()], |row| row.get(0)).optional()? {
                    None => return Err(WriteError::NoOauthClient(client_id.clone()).into()),
                    Some(true) => return Err(WriteError::NoSecret(client_id.clone()).into()),
                    Some(false) => {}
                }
                let sql = "UPDATE oauth_clients SET secret_hash = ?2 WHERE client_id = ?1";
                tx.execute(sql, params![client_id.as_str(), secret.as_str()])?;
                Ok(())
            },
        )
    }

    /// Changes what a client may ask for. Tokens keep what they have until they are refreshed.
    ///
    /// # Errors
    ///
    /// There is no such client, or the replica cannot be changed.
    pub fn set_oauth_client_scopes(
        &mut self,
        client_id: &ClientId,
        scopes: &ScopeSet,
    ) -> Result<Committed<()>, WriteError> {
        let deed = |(): &()| deed(Action::SetOauthScopes, client_id).with("scopes", scopes.as_str());
        self.change(deed, |tx, _, _| {
            let sql = "UPDATE oauth_clients SET scopes = ?2 WHERE client_id = ?1";
            match tx.execute(sql, params![client_id.as_str(), scopes.as_str()])? {
                0 => Err(WriteError::NoOauthClient(client_id.clone()).into()),
                _ => Ok(()),
            }
        })
    }

    /// Every client of the identity provider, by number.
    ///
    /// # Errors
    ///
    /// The replica cannot be read.
    pub fn oauth_clients(&mut self) -> Result<Vec<OauthClientSummary>, WriteError> {
        self.look(|conn, _| {
            let mut statement = conn.prepare(
                "SELECT client_number, client_id, name, secret_hash IS NULL, status, scopes, redirect_uris,
                    logout_uris, owner, created_at FROM oauth_clients ORDER BY client_number",
            )?;
            let rows = statement.query_map([], |row| {
                let uris = |column| -> rusqlite::Result<Vec<String>> {
                    let text: String = row.get(column)?;
                    Ok(text.split_ascii_whitespace().map(str::to_owned).collect())
                };
                Ok(OauthClientSummary {
                    client_id_pk: row.get(0)?,
                    client_id: row.get(1)?,
                    name: row.get(2)?,
                    client_type: if row.get(3)? { "public" } else { "confidential" },
                    status: row.get(4)?,
                    scopes: row.get(5)?,
                    redirect_uris: uris(6)?,
                    post_logout_redirect_uris: uris(7)?,
                    owner: row.get::<_, Option<i64>>(8)?.map(|number| format!("merchant:{number}")),
                    created_at: row.get(9)?,
                })
            })?;
            rows.collect::<Result<_, _>>().map_err(Halt::from)
        })
    }
}

impl WriteQueue {
    /// Registers a client of the identity provider in the name of `actor`, and gives its number; or says, as
    /// [`Writer::add_oauth_client`], why not.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] when the replica cannot be changed.
    pub async fn add_oauth_client(
        &self,
        new: NewOauthClient,
        actor: Actor,
    ) -> Result<Result<i64, WriteError>, Unavailable> {
        self.change(move |tx| match add(tx, &new) {
            Ok(number) => {
                added(&new).record(tx, &actor, Timestamp::now())?;
                Ok(Ok(number))
            }
            Err(Halt::Refused(why)) => Ok(Err(why)),
            Err(halt) => Err(halt),
        })
        .await
    }
}

fn deed(action: Action, client_id: &ClientId) -> Deed {
    Deed::new(action, format_args!("oauth_client:{client_id}"))
}

fn added(new: &NewOauthClient) -> Deed {
    let uris: Vec<&str> = new.redirect_uris.iter().map(RedirectUri::as_str).collect();
    let kind = if new.secret_hash.is_some() { "confidential" } else { "public" };
    deed(Action::AddOauthClient, &new.client_id)
        .with("name", new.name.as_str())
        .with("client_type", kind)
        .with("scopes", new.scopes.as_str())
        .with("redirect_uris", uris)
}

fn add(conn: &Connection, new: &NewOauthClient) -> Result<i64, Halt> {
    let what = "the client's name";
    let name = checked_name(what, new.name.trim())?;
    if name.is_empty() {
        return Err(WriteError::malformed(what, "at least one character").into());
    }
    let uris = |uris: &[RedirectUri]| -> Result<String, WriteError> {
        if uris.len() > MOST_URIS {
            return Err(WriteError::malformed("the list of redirect URIs", format!("at most {MOST_URIS}")));
        }
        Ok(uris.iter().map(RedirectUri::as_str).collect::<Vec<_>>().join(" "))
    };
    let (redirect_uris, logout_uris) = (uris(&new.redirect_uris)?, uris(&new.logout_uris)?);
    if redirect_uris.is_empty() {
        return Err(WriteError::malformed("the list of redirect URIs", "at least one").into());
    }
    if new.scopes.as_str().is_empty() {
        return Err(WriteError::malformed("the list of scopes", "at least one, such as openid").into());
    }
    let owner = new.owner.filter(|owner| owner.kind == UserKind::Merchant);
    if let Some(owner) = owner {
        let sql = "SELECT count(*) FROM oauth_clients WHERE owner = ?1";
        let has: i64 = conn.query_row(sql, [number(owner)], |row| row.get(0))?;
        if usize::try_from(has).is_ok_and(|has| has >= MOST_OF_A_MERCHANT) {
            return Err(WriteError::TooManyClients(owner, MOST_OF_A_MERCHANT).into());
        }
    }
    let added = conn.execute(
        "INSERT INTO oauth_clients (client_id, name, secret_hash, redirect_uris, logout_uris, scopes, owner,
            status, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'enabled', ?8) ON CONFLICT (client_id) DO NOTHING",
        params![
            new.client_id.as_str(),
            name,
            new.secret_hash.as_ref().map(PasswordHash::as_str),
            redirect_uris,
            logout_uris,
            new.scopes.as_str(),
            owner.map(number),
            Timestamp::now().0,
        ],
    )?;
    match added {
        0 => Err(WriteError::AppExists(new.client_id.clone()).into()),
        _ => Ok(conn.last_insert_rowid()),
    }
}
