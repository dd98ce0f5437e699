//! The app install flow: what a merchant granted, the codes and refresh tokens that follow from it, and how
//! all of it ends together.
//!
//! A code and a refresh token count once. One that comes a second time was copied by somebody (RFC 9700
//! section 2.2.2): the whole family ends, whichever of the two came first.

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::audit::{Action, Actor, Deed};
use super::group::WriteQueue;
use super::read::signed;
use super::write::{Committed, Halt, WriteError, Writer, user_number};
use crate::gate::Unavailable;
use crate::model::{AppId, ClientId, ScopeSet, Secret, StoreId, Subject, Timestamp, TokenDigest};

/// How long a code counts, in seconds.
pub const CODE_LIFE: i64 = 60;

/// How long a refresh token counts, in seconds; each use gives a new one.
pub const REFRESH_LIFE: i64 = 30 * 86_400;

/// How codes begin.
const CODE_PREFIX: &str = "sx_ac_";

/// What a merchant grants an app.
#[derive(Debug, Clone)]
pub struct NewGrant {
    /// The app.
    pub client_id: ClientId,
    /// The store.
    pub store_id: StoreId,
    /// The merchant, who must belong to the store.
    pub merchant: Subject,
    /// What is granted, all of which the app must ask for.
    pub scopes: ScopeSet,
    /// Where the browser is sent with the code; one of those that the app is registered with.
    pub redirect_uri: String,
}

/// A new authorization code. It is shown once.
#[derive(Debug, Clone)]
pub struct AuthorizationCode {
    /// The code.
    pub code: Secret,
    /// When it stops counting.
    pub expires_at: Timestamp,
}

/// Tokens about to be recorded, by their digests.
#[derive(Debug, Clone, Copy)]
pub struct NewPair {
    /// Of the access token.
    pub access: TokenDigest,
    /// Of the refresh token.
    pub refresh: TokenDigest,
    /// When they are issued.
    pub issued_at: Timestamp,
    /// When the access token stops working.
    pub expires_at: Timestamp,
}

/// What a code or refresh token was worth.
#[derive(Debug, Clone)]
pub enum Redeemed {
    /// A pair of tokens, recorded.
    Pair {
        /// The store that they act on.
        store_id: StoreId,
        /// The app's installation there.
        installation_id: i64,
        /// What they may do.
        scopes: ScopeSet,
    },
    /// Nothing: unknown, expired, used, another app's or another redirect URI's, or the merchant may not.
    Nothing,
    /// The app's installation in this store has ended.
    NotInstalled(StoreId),
    /// The store is suspended.
    StoreSuspended(StoreId),
}

impl Writer {
    /// Makes an authorization code, as the consent of a merchant does.
    ///
    /// # Errors
    ///
    /// There is no such app or store, the app is disabled, the redirect URI is not registered, a scope is
    /// not the app's, the merchant does not belong to the store, or the replica cannot be changed.
    pub fn mint_code(&mut self, new: &NewGrant) -> Result<Committed<AuthorizationCode>, WriteError> {
        let deed = |_: &AuthorizationCode| minted(new);
        self.change(deed, |tx, _, _| put_code(tx, new, Timestamp::now()))
    }
}

impl WriteQueue {
    /// As [`Writer::mint_code`], in the name of the merchant who agreed. The inner error is why it cannot be
    /// granted.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] when it could not be recorded; so for every method here.
    pub async fn record_code(
        &self,
        new: NewGrant,
        actor: Actor,
    ) -> Result<Result<AuthorizationCode, WriteError>, Unavailable> {
        self.change(move |tx| {
            let now = Timestamp::now();
            let code = match put_code(tx, &new, now) {
                Ok(code) => code,
                Err(Halt::Refused(refusal)) => return Ok(Err(refusal)),
                Err(halt) => return Err(halt),
            };
            minted(&new).record(tx, &actor, now)?;
            Ok(Ok(code))
        })
        .await
    }

    /// Exchanges a code for a pair of tokens, and installs the app with what was granted.
    ///
    /// # Errors
    ///
    /// As [`WriteQueue::record_code`].
    pub async fn redeem_code(
        &self,
        app: AppId,
        client_id: ClientId,
        code: TokenDigest,
        redirect_uri: String,
        pair: NewPair,
        actor: Actor,
    ) -> Result<Redeemed, Unavailable> {
        self.change(move |tx| redeem(tx, app, &client_id, &code, &redirect_uri, &pair, &actor)).await
    }

    /// Exchanges a refresh token for a new pair.
    ///
    /// # Errors
    ///
    /// As [`WriteQueue::record_code`].
    pub async fn refresh(
        &self,
        app: AppId,
        token: TokenDigest,
        pair: NewPair,
    ) -> Result<Redeemed, Unavailable> {
        self.change(move |tx| refresh(tx, app, &token, &pair)).await
    }
}

/// The entry of the audit record.
fn minted(new: &NewGrant) -> Deed {
    let deed = Deed::new(Action::MintCode, format_args!("app:{}", new.client_id));
    let deed = deed.with("store_id", signed(new.store_id)).with("merchant", new.merchant.to_string());
    deed.with("scopes", new.scopes.as_str())
}

fn put_code(tx: &Transaction<'_>, new: &NewGrant, now: Timestamp) -> Result<AuthorizationCode, Halt> {
    let sql = "SELECT app_id, scopes, redirect_uris, status FROM apps WHERE client_id = ?1";
    let found = tx.query_row(sql, [new.client_id.as_str()], |row| {
        Ok((
            row.get::<_, i64>(0)?,
            row.get::<_, String>(1)?,
            row.get::<_, String>(2)?,
            row.get::<_, String>(3)?,
        ))
    });
    let no_app = || WriteError::NoApp(new.client_id.clone());
    let (app, scopes, uris, status) = found.optional()?.ok_or_else(no_app)?;
    if status != "enabled" {
        return Err(WriteError::AppDisabled(new.client_id.clone()).into());
    }
    if !uris.split(' ').any(|uri| uri == new.redirect_uri) {
        let why = "it is not one of the app's; `app create --redirect-uri` registers them";
        return Err(WriteError::malformed("the redirect URI", why).into());
    }
    let own = ScopeSet::parse(&scopes).map_err(|why| WriteError::malformed("the app's scopes", why))?;
    if !new.scopes.is_subset(&own) {
        return Err(WriteError::malformed("the scopes", format!("the app asks for: {scopes}")).into());
    }
    let exists =
        tx.prepare_cached("SELECT 1 FROM stores WHERE store_id = ?1")?.exists([signed(new.store_id)])?;
    if !exists {
        return Err(WriteError::NoStore(new.store_id).into());
    }
    if !works_for(tx, &new.merchant.to_string(), signed(new.store_id))? {
        let why = format!("{} may not act for store {}", new.merchant, new.store_id);
        return Err(WriteError::malformed("the merchant", why).into());
    }
    let code = Secret::generate(CODE_PREFIX)?;
    let expires_at = now.plus(CODE_LIFE);
    tx.prepare_cached("INSERT INTO app_codes VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, NULL)")?.execute(
        params![
            &TokenDigest::of(code.expose().as_bytes()).0[..],
            app,
            signed(new.store_id),
            new.merchant.to_string(),
            new.scopes.as_str(),
            new.redirect_uri,
            expires_at.0
        ],
    )?;
    Ok(AuthorizationCode { code, expires_at })
}

struct Code {
    app: i64,
    store: i64,
    subject: String,
    scopes: String,
    redirect_uri: String,
    expires_at: i64,
    grant: Option<i64>,
}

fn redeem(
    tx: &Transaction<'_>,
    app: AppId,
    client_id: &ClientId,
    digest: &TokenDigest,
    redirect_uri: &str,
    pair: &NewPair,
    actor: &Actor,
) -> Result<Redeemed, Halt> {
    let now = pair.issued_at;
    let mut select = tx.prepare_cached(
        "SELECT app_id, store_id, subject, scopes, redirect_uri, expires_at, grant_id
         FROM app_codes WHERE code_hash = ?1",
    )?;
    let found = select.query_row([&digest.0[..]], |row| {
        Ok(Code {
            app: row.get(0)?,
            store: row.get(1)?,
            subject: row.get(2)?,
            scopes: row.get(3)?,
            redirect_uri: row.get(4)?,
            expires_at: row.get(5)?,
            grant: row.get(6)?,
        })
    });
    let Some(code) = found.optional()?.filter(|code| code.app == app.0) else { return Ok(Redeemed::Nothing) };
    if let Some(grant) = code.grant {
        end_grant(tx, grant, now)?;
        return Ok(Redeemed::Nothing);
    }
    let counts = now.0 < code.expires_at && code.redirect_uri == redirect_uri;
    let store_id = u64::try_from(code.store).ok().and_then(StoreId::new);
    let Some(store_id) = store_id.filter(|_| counts) else { return Ok(Redeemed::Nothing) };
    if !works_for(tx, &code.subject, code.store)? {
        return Ok(Redeemed::Nothing);
    }
    if is_suspended(tx, code.store)? {
        return Ok(Redeemed::StoreSuspended(store_id));
    }
    tx.prepare_cached(
        "INSERT INTO app_grants (app_id, store_id, subject, scopes, created_at) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![code.app, code.store, code.subject, code.scopes, now.0])?;
    let grant = tx.last_insert_rowid();
    tx.prepare_cached("UPDATE app_codes SET grant_id = ?2 WHERE code_hash = ?1")?
        .execute(params![&digest.0[..], grant])?;
    let installation_id = tx
        .prepare_cached(
            "INSERT INTO installations (app_id, store_id, scopes, status, created_at)
             VALUES (?1, ?2, ?3, 'active', ?4)
             ON CONFLICT (app_id, store_id) DO UPDATE SET scopes = excluded.scopes, status = 'active'
             RETURNING installation_id",
        )?
        .query_row(params![code.app, code.store, code.scopes, now.0], |row| row.get(0))?;
    let deed = Deed::new(Action::Install, format_args!("app:{client_id}")).with("store_id", code.store);
    deed.with("scopes", &*code.scopes).with("merchant", &*code.subject).record(tx, actor, now)?;
    put_pair(tx, pair, code.app, code.store, &code.subject, &code.scopes, grant)?;
    Ok(Redeemed::Pair { store_id, installation_id, scopes: parsed(&code.scopes)? })
}

fn refresh(tx: &Transaction<'_>, app: AppId, digest: &TokenDigest, pair: &NewPair) -> Result<Redeemed, Halt> {
    let now = pair.issued_at;
    let mut select = tx.prepare_cached(
        "SELECT r.grant_id, r.expires_at, r.used_at, g.store_id, g.subject, g.scopes, g.ended_at,
            i.installation_id, i.status
         FROM app_refresh_tokens r JOIN app_grants g ON g.grant_id = r.grant_id
            LEFT JOIN installations i ON i.app_id = g.app_id AND i.store_id = g.store_id
         WHERE r.token_hash = ?1 AND g.app_id = ?2",
    )?;
    let found = select.query_row(params![&digest.0[..], app.0], |row| {
        let times = (row.get::<_, i64>(1)?, row.get::<_, Option<i64>>(2)?, row.get::<_, Option<i64>>(6)?);
        let grant = (row.get::<_, i64>(0)?, row.get::<_, i64>(3)?, row.get::<_, String>(4)?);
        let installation = (row.get::<_, Option<i64>>(7)?, row.get::<_, Option<String>>(8)?);
        Ok((grant, row.get::<_, String>(5)?, times, installation))
    });
    let Some((grant, scopes, times, installation)) = found.optional()? else { return Ok(Redeemed::Nothing) };
    let ((grant, store, subject), (expires_at, used_at, ended_at)) = (grant, times);
    if ended_at.is_some() || now.0 >= expires_at {
        return Ok(Redeemed::Nothing);
    }
    if used_at.is_some() || !works_for(tx, &subject, store)? {
        end_grant(tx, grant, now)?;
        return Ok(Redeemed::Nothing);
    }
    let store_id = u64::try_from(store).ok().and_then(StoreId::new);
    let Some(store_id) = store_id else { return Ok(Redeemed::Nothing) };
    let (Some(installation_id), Some("active")) = (installation.0, installation.1.as_deref()) else {
        return Ok(Redeemed::NotInstalled(store_id));
    };
    if is_suspended(tx, store)? {
        return Ok(Redeemed::StoreSuspended(store_id));
    }
    tx.prepare_cached("UPDATE app_refresh_tokens SET used_at = ?2 WHERE token_hash = ?1")?
        .execute(params![&digest.0[..], now.0])?;
    put_pair(tx, pair, app.0, store, &subject, &scopes, grant)?;
    Ok(Redeemed::Pair { store_id, installation_id, scopes: parsed(&scopes)? })
}

fn put_pair(
    tx: &Transaction<'_>,
    pair: &NewPair,
    app: i64,
    store: i64,
    subject: &str,
    scopes: &str,
    grant: i64,
) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "INSERT INTO access_tokens (token_hash, app_id, store_id, scopes, expires_at, created_at, subject, grant_id)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute(params![
        &pair.access.0[..],
        app,
        store,
        scopes,
        pair.expires_at.0,
        pair.issued_at.0,
        subject,
        grant
    ])?;
    tx.prepare_cached("INSERT INTO app_refresh_tokens VALUES (?1, ?2, ?3, NULL, ?4)")?.execute(params![
        &pair.refresh.0[..],
        grant,
        pair.issued_at.plus(REFRESH_LIFE).0,
        pair.issued_at.0
    ])?;
    Ok(())
}

/// Ends the family of a refresh token; whether there is such a token.
pub(super) fn end_family_of(
    tx: &Transaction<'_>,
    refresh: &TokenDigest,
    now: Timestamp,
) -> rusqlite::Result<bool> {
    let mut find = tx.prepare_cached("SELECT grant_id FROM app_refresh_tokens WHERE token_hash = ?1")?;
    let grant = find.query_row([&refresh.0[..]], |row| row.get(0)).optional()?;
    grant.map_or(Ok(false), |grant| end_grant(tx, grant, now).map(|()| true))
}

/// Ends a family: every token that followed from one code.
fn end_grant(tx: &Transaction<'_>, grant: i64, now: Timestamp) -> rusqlite::Result<()> {
    tx.prepare_cached("UPDATE app_grants SET ended_at = ?2 WHERE grant_id = ?1 AND ended_at IS NULL")?
        .execute(params![grant, now.0])?;
    tx.prepare_cached("UPDATE access_tokens SET revoked_at = ?2 WHERE grant_id = ?1 AND revoked_at IS NULL")?
        .execute(params![grant, now.0])?;
    Ok(())
}

/// Whether this merchant may sign in and belongs to the store.
fn works_for(conn: &Connection, subject: &str, store: i64) -> rusqlite::Result<bool> {
    let Some(merchant) = Subject::parse(subject).ok() else { return Ok(false) };
    conn.prepare_cached(
        "SELECT 1 FROM users u JOIN memberships m ON m.merchant = u.number
         WHERE u.kind = 'merchant' AND ?3 = 'merchant' AND u.number = ?1 AND u.status = 'active'
            AND m.store_id = ?2",
    )?
    .exists(params![user_number(merchant), store, merchant.kind.name()])
}

fn is_suspended(conn: &Connection, store: i64) -> rusqlite::Result<bool> {
    conn.prepare_cached("SELECT 1 FROM stores WHERE store_id = ?1 AND status <> 'active'")?.exists([store])
}

fn parsed(scopes: &str) -> Result<ScopeSet, Halt> {
    ScopeSet::parse(scopes).map_err(|why| WriteError::malformed("the granted scopes", why).into())
}
