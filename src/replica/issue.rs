//! What the token endpoints record. Each method is one change of the [`WriteQueue`]; whether it may be made
//! was decided before, on records of a moment ago, and is judged again whenever a token is used.

use rusqlite::{OptionalExtension, params};

use super::group::WriteQueue;
use super::read::{self, signed};
use super::reader::Replica;
use super::write::user_number;
use crate::gate::Unavailable;
use crate::model::{AppId, ScopeSet, StoreId, Subject, Timestamp, TokenDigest};

/// An access token about to be recorded.
#[derive(Debug, Clone)]
pub struct NewAccessToken {
    /// Its digest.
    pub digest: TokenDigest,
    /// The app that it is issued to.
    pub app: AppId,
    /// The store that it acts on.
    pub store: StoreId,
    /// Its scopes; `None`: whatever the installation has.
    pub scopes: Option<ScopeSet>,
    /// When it is issued.
    pub issued_at: Timestamp,
    /// When it stops working.
    pub expires_at: Timestamp,
    /// The generation of the app's secret that it is obtained with, and with which it ends.
    pub secret_generation: Option<i64>,
}

/// Where an app is installed, for dialects that name no store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Installed {
    /// Nowhere.
    Nowhere,
    /// In one store.
    In(StoreId),
    /// In several.
    Several,
}

/// A store as the Shopify dialect finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shop {
    /// Its number.
    pub store_id: StoreId,
    /// The organization that owns it.
    pub organization: Option<Box<str>>,
}

impl WriteQueue {
    /// Records an access token. It works from the return on: absence is cached nowhere.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] when it could not be recorded; so for every method here.
    pub async fn record_access_token(&self, token: NewAccessToken) -> Result<(), Unavailable> {
        self.change(move |tx| {
            let mut insert = tx.prepare_cached(
                "INSERT INTO access_tokens (token_hash, app_id, store_id, scopes, expires_at, created_at,
                    secret_generation)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?;
            insert.execute(params![
                &token.digest.0[..],
                token.app.0,
                signed(token.store),
                token.scopes.as_ref().map(ScopeSet::as_str),
                token.expires_at.0,
                token.issued_at.0,
                token.secret_generation,
            ])?;
            Ok(())
        })
        .await
    }

    /// Revokes an access token of an app; one of another app, or none, stays as it is.
    ///
    /// # Errors
    ///
    /// As [`WriteQueue::record_access_token`].
    pub async fn revoke_access_token(
        &self,
        app: AppId,
        digest: TokenDigest,
        now: Timestamp,
    ) -> Result<(), Unavailable> {
        self.change(move |tx| {
            let mut update = tx.prepare_cached(
                "UPDATE access_tokens SET revoked_at = ?3
                 WHERE token_hash = ?1 AND app_id = ?2 AND revoked_at IS NULL",
            )?;
            update.execute(params![&digest.0[..], app.0, now.0])?;
            Ok(())
        })
        .await
    }

    /// Records a customer's token.
    ///
    /// # Errors
    ///
    /// As [`WriteQueue::record_access_token`].
    pub async fn record_customer_token(
        &self,
        digest: TokenDigest,
        customer: Subject,
        store: StoreId,
        issued_at: Timestamp,
        expires_at: Timestamp,
    ) -> Result<(), Unavailable> {
        self.change(move |tx| {
            let mut insert =
                tx.prepare_cached("INSERT INTO customer_tokens VALUES (?1, ?2, ?3, ?4, NULL, ?5)")?;
            insert.execute(params![
                &digest.0[..],
                user_number(customer),
                signed(store),
                expires_at.0,
                issued_at.0
            ])?;
            Ok(())
        })
        .await
    }
}

impl Replica {
    /// Where an app is installed, suspended stores included.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] when the answer cannot be known; so for every look-up here.
    pub fn installed(&self, app: AppId) -> Result<Installed, Unavailable> {
        self.look_up(|conn| {
            let mut statement = conn.prepare_cached(
                "SELECT store_id FROM installations WHERE app_id = ?1 AND status = 'active' LIMIT 2",
            )?;
            let mut rows = statement.query([app.0])?;
            let Some(row) = rows.next()? else { return Ok(Installed::Nowhere) };
            let store = read::store_id(row, 0, "installations")?;
            Ok(if rows.next()?.is_some() { Installed::Several } else { Installed::In(store) })
        })
    }

    /// The store with this domain, in lower case.
    ///
    /// # Errors
    ///
    /// As [`Replica::installed`].
    pub fn shop(&self, domain: &str) -> Result<Option<Shop>, Unavailable> {
        self.look_up(|conn| {
            let mut statement =
                conn.prepare_cached("SELECT store_id, organization FROM stores WHERE domain = ?1")?;
            let found = statement.query_row([domain], |row| {
                let organization = row.get::<_, Option<String>>(1)?.map(String::into_boxed_str);
                Ok(read::store_id(row, 0, "stores").map(|store_id| Shop { store_id, organization }))
            });
            found.optional()?.transpose()
        })
    }
}
