//! Opaque access tokens: issuing, revoking, and sweeping out the expired ones.

use std::time::Duration;

use data_encoding::HEXLOWER;
use rusqlite::{OptionalExtension, params};

use super::grants::end_token;
use super::installations::{active_installation, store_exists};
use super::{Committed, WriteError, Writer, app_id};
use crate::model::{ClientId, ScopeSet, Secret, StoreId, Timestamp, TokenDigest};
use crate::replica::audit::{Action, Deed};
use crate::replica::codes::end_family_of;
use crate::replica::read::signed;

/// A new access token. It is shown once and cannot be read back.
#[derive(Debug, Clone)]
pub struct IssuedToken {
    /// The token.
    pub access_token: Secret,
    /// When it stops working.
    pub expires_at: Timestamp,
}

/// What became of a revocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revocation {
    /// The token is revoked (or was before).
    Revoked,
    /// There is no such token.
    NotFound,
}

/// A token as it may be shown: by its SHA-256.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenSummary {
    /// The app's public identifier.
    pub client_id: String,
    /// The store.
    pub store_id: i64,
    /// Its own scopes; `None`: whatever the installation has.
    pub scopes: Option<String>,
    /// When it stops working, in Unix seconds.
    pub expires_at: i64,
    /// When it was revoked, in Unix seconds.
    pub revoked_at: Option<i64>,
    /// When it was issued or taken over, in Unix seconds.
    pub created_at: i64,
}

/// What one step of a sweep did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Swept {
    /// Tokens that were removed.
    pub removed: usize,
    /// Where the next step goes on; `None`: the end was reached.
    pub next: Option<TokenDigest>,
}

impl Writer {
    /// Issues a token for an active installation, with `scopes` or with whatever the installation has.
    /// It works from the return on: absence is cached nowhere.
    ///
    /// # Errors
    ///
    /// There is no such app, store or active installation, the life is below a second, or the replica
    /// cannot be changed.
    pub fn issue_token(
        &mut self,
        client_id: &ClientId,
        store_id: StoreId,
        life: Duration,
        scopes: Option<&ScopeSet>,
    ) -> Result<Committed<IssuedToken>, WriteError> {
        let seconds = i64::try_from(life.as_secs()).ok().filter(|life| (1..=MAX_LIFE).contains(life));
        let seconds =
            seconds.ok_or_else(|| WriteError::malformed("the life of the token", "1s to 36500d"))?;
        let deed = |issued: &IssuedToken| {
            let digest = TokenDigest::of(issued.access_token.expose().as_bytes());
            let deed = subject(Action::IssueToken, &digest).with("client_id", client_id.as_str());
            let deed = deed.with("store_id", store_id.get()).with("expires_at", issued.expires_at.0);
            deed.with("scopes", scopes.map(ScopeSet::as_str))
        };
        let issued = self.change(deed, |tx, _, prefixes| {
            let app = app_id(tx, client_id)?;
            store_exists(tx, store_id)?;
            active_installation(tx, app, client_id, store_id)?;
            let access_token = Secret::generate(&prefixes.access_token)?;
            let digest = TokenDigest::of(access_token.expose().as_bytes());
            let now = Timestamp::now();
            let expires_at = now.plus(seconds);
            let mut insert = tx.prepare_cached(
                "INSERT INTO access_tokens VALUES (?1, ?2, ?3, ?4, ?5, NULL, ?6, NULL, NULL, NULL)",
            )?;
            insert.execute(params![
                &digest.0[..],
                app,
                signed(store_id),
                scopes.map(ScopeSet::as_str),
                expires_at.0,
                now.0
            ])?;
            Ok(IssuedToken { access_token, expires_at })
        })?;
        Ok(Committed { position: None, ..issued })
    }

    /// Revokes a token, of whatever kind: an access token of an app or of the identity provider, a customer
    /// token, or a refresh token with all that came of the same grant.
    ///
    /// # Errors
    ///
    /// The replica cannot be changed.
    pub fn revoke_token(&mut self, token: &Secret) -> Result<Committed<Revocation>, WriteError> {
        self.revoke_token_by_digest(&TokenDigest::of(token.expose().as_bytes()))
    }

    /// As [`Writer::revoke_token`], for those who know the SHA-256 only: from the audit record, or from a
    /// leak that is being cleaned up.
    ///
    /// # Errors
    ///
    /// The replica cannot be changed.
    pub fn revoke_token_by_digest(
        &mut self,
        digest: &TokenDigest,
    ) -> Result<Committed<Revocation>, WriteError> {
        let deed = |done: &Revocation| {
            subject(Action::RevokeToken, digest).with("found", *done == Revocation::Revoked)
        };
        self.change(deed, |tx, _, _| {
            let now = Timestamp::now();
            for table in ["access_tokens", "customer_tokens"] {
                let update =
                    format!("UPDATE {table} SET revoked_at = coalesce(revoked_at, ?2) WHERE token_hash = ?1");
                if tx.execute(&update, params![&digest.0[..], now.0])? > 0 {
                    return Ok(Revocation::Revoked);
                }
            }
            let found = end_family_of(tx, digest, now)? || end_token(tx, digest, None, now)?;
            Ok(if found { Revocation::Revoked } else { Revocation::NotFound })
        })
    }

    /// The token with this SHA-256.
    ///
    /// # Errors
    ///
    /// There is none, or the replica cannot be read.
    pub fn token(&mut self, digest: &TokenDigest) -> Result<TokenSummary, WriteError> {
        self.look(|conn, _| {
            let mut statement = conn.prepare_cached(
                "SELECT a.client_id, t.store_id, t.scopes, t.expires_at, t.revoked_at, t.created_at
                 FROM access_tokens t JOIN apps a ON a.app_id = t.app_id WHERE t.token_hash = ?1",
            )?;
            let found = statement.query_row([&digest.0[..]], |row| {
                Ok(TokenSummary {
                    client_id: row.get(0)?,
                    store_id: row.get(1)?,
                    scopes: row.get(2)?,
                    expires_at: row.get(3)?,
                    revoked_at: row.get(4)?,
                    created_at: row.get(5)?,
                })
            });
            found.optional()?.ok_or_else(|| WriteError::NoToken.into())
        })
    }

    /// One step of removing tokens that expired at `before` or earlier: looks at `limit` tokens after
    /// `from` in the order of the table. A step without an expired token takes no write lock.
    ///
    /// # Errors
    ///
    /// The replica cannot be read or changed.
    pub fn sweep_expired(
        &mut self,
        from: Option<TokenDigest>,
        limit: u32,
        before: Timestamp,
    ) -> Result<Swept, WriteError> {
        // Digests are 32 bytes; the empty blob is before them all.
        let after = from.map_or_else(Vec::new, |digest| digest.0.to_vec());
        let (last, expired) = self.look(|conn, _| {
            let mut page = conn.prepare_cached(
                "SELECT max(token_hash), count(*), coalesce(sum(expires_at <= ?2), 0) FROM
                 (SELECT token_hash, expires_at FROM access_tokens WHERE token_hash > ?1
                  ORDER BY token_hash LIMIT ?3)",
            )?;
            let found = page.query_row(params![after, before.0, limit.max(1)], |row| {
                let full = row.get::<_, i64>(1)? == i64::from(limit.max(1));
                Ok((row.get::<_, Option<[u8; 32]>>(0)?.map(|last| (last, full)), row.get::<_, i64>(2)?))
            });
            let found = found.optional()?;
            Ok(found.unwrap_or((None, 0)))
        })?;
        let Some((last, full)) = last else { return Ok(Swept { removed: 0, next: None }) };
        let mut removed = 0;
        if expired > 0 {
            let swept = self.upkeep(|tx, _, _| {
                let mut delete = tx.prepare_cached(
                    "DELETE FROM access_tokens WHERE token_hash > ?1 AND token_hash <= ?2 AND expires_at <= ?3",
                )?;
                Ok(delete.execute(params![after, &last[..], before.0])?)
            })?;
            // Nobody has to be told: an expired token is refused by the clock, wherever it is cached.
            removed = swept.value;
        }
        Ok(Swept { removed, next: full.then_some(TokenDigest(last)) })
    }
}

/// What is done to a token, which is named by its SHA-256, as the replica does.
fn subject(action: Action, digest: &TokenDigest) -> Deed {
    Deed::new(action, format_args!("token:{}", HEXLOWER.encode(&digest.0)))
}

/// The longest life of a token, a hundred years, in seconds: a clock never overflows on it.
const MAX_LIFE: i64 = 36_500 * 86_400;
