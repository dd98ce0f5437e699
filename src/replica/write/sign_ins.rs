//! Who is signed in, and what they granted.

use rusqlite::{Connection, OptionalExtension, params};

use super::WriteError;
use super::grants::client_number;
use crate::gate::Unavailable;
use crate::model::{ClientId, ScopeSet, SignIn, StoreId, Subject, Timestamp, TokenDigest};
use crate::replica::audit::{Action, Actor, Deed};
use crate::replica::group::WriteQueue;
use crate::replica::read::signed;
use crate::replica::write::users::number;

/// Browsers in which one person is signed in at most. The oldest is signed out for the next.
const MOST_BROWSERS: i64 = 50;

impl WriteQueue {
    /// Signs somebody in in a browser, known by the digest of its session's id; `former` is the session that
    /// it had before, which ends.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] when the replica cannot be changed; so for every change here.
    pub async fn sign_in(
        &self,
        session: TokenDigest,
        former: Option<TokenDigest>,
        who: SignIn,
    ) -> Result<(), Unavailable> {
        self.change(move |tx| {
            if let Some(former) = former {
                remove(tx, &former)?;
            }
            let mut insert = tx.prepare_cached(
                "INSERT INTO sign_ins (session_hash, kind, number, auth_time, seen_at, ends_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?;
            let (kind, number) = (who.subject.kind.name(), number(who.subject));
            let times = (who.auth_time.0, who.seen_at.0, who.ends_at.0);
            insert.execute(params![&session.0[..], kind, number, times.0, times.1, times.2])?;
            let mut trim = tx.prepare_cached(
                "DELETE FROM sign_ins WHERE session_hash IN
                 (SELECT session_hash FROM sign_ins WHERE kind = ?1 AND number = ?2
                  ORDER BY session_hash = ?4 DESC, seen_at DESC LIMIT -1 OFFSET ?3)",
            )?;
            // Never the new one, however long ago another page signed the person in.
            trim.execute(params![kind, number, MOST_BROWSERS, &session.0[..]])?;
            Ok(())
        })
        .await
    }

    /// Notes that a session was used.
    ///
    /// # Errors
    ///
    /// As [`WriteQueue::sign_in`].
    pub async fn touch_sign_in(&self, session: TokenDigest, now: Timestamp) -> Result<(), Unavailable> {
        self.change(move |tx| {
            let sql = "UPDATE sign_ins SET seen_at = max(seen_at, ?2) WHERE session_hash = ?1";
            tx.prepare_cached(sql)?.execute(params![&session.0[..], now.0])?;
            Ok(())
        })
        .await
    }

    /// Signs a browser out.
    ///
    /// # Errors
    ///
    /// As [`WriteQueue::sign_in`].
    pub async fn sign_out(&self, session: TokenDigest) -> Result<(), Unavailable> {
        self.change(move |tx| Ok(remove(tx, &session)?)).await
    }

    /// Signs somebody out in every browser.
    ///
    /// # Errors
    ///
    /// As [`WriteQueue::sign_in`].
    pub async fn sign_out_everywhere(&self, subject: Subject, actor: Actor) -> Result<(), Unavailable> {
        self.change(move |tx| {
            Deed::new(Action::SignOutEverywhere, subject).record(tx, &actor, Timestamp::now())?;
            let sql = "DELETE FROM sign_ins WHERE kind = ?1 AND number = ?2";
            tx.execute(sql, params![subject.kind.name(), number(subject)])?;
            Ok(())
        })
        .await
    }

    /// Remembers what somebody granted a client, on top of what they granted before.
    ///
    /// # Errors
    ///
    /// As [`WriteQueue::sign_in`], also when there is no such client.
    pub async fn give_consent(
        &self,
        subject: Subject,
        client: ClientId,
        store: Option<StoreId>,
        scopes: ScopeSet,
        actor: Actor,
    ) -> Result<(), Unavailable> {
        self.change(move |tx| {
            let now = Timestamp::now();
            Deed::new(Action::GiveConsent, subject)
                .with("client_id", client.as_str())
                .with("store_id", store.map(signed))
                .with("scopes", scopes.as_str())
                .record(tx, &actor, now)?;
            let client = client_number(tx, &client)?;
            let (kind, number, store) = (subject.kind.name(), number(subject), store.map_or(0, signed));
            let before = "SELECT scopes FROM consents
                WHERE kind = ?1 AND number = ?2 AND client_number = ?3 AND store_id = ?4";
            let before: Option<String> = tx
                .prepare_cached(before)?
                .query_row(params![kind, number, client, store], |row| row.get(0))
                .optional()?;
            let all = format!("{} {}", before.unwrap_or_default(), scopes.as_str());
            let all = ScopeSet::parse(&all).map_err(|why| WriteError::malformed("a list of scopes", why))?;
            let mut put = tx.prepare_cached(
                "INSERT INTO consents (kind, number, client_number, store_id, scopes, given_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT (kind, number, client_number, store_id)
                 DO UPDATE SET scopes = excluded.scopes, given_at = excluded.given_at",
            )?;
            put.execute(params![kind, number, client, store, all.as_str(), now.0])?;
            Ok(())
        })
        .await
    }

    /// Withdraws all that somebody granted a client, and ends its tokens for them.
    ///
    /// # Errors
    ///
    /// As [`WriteQueue::give_consent`].
    pub async fn withdraw_consent(
        &self,
        subject: Subject,
        client: ClientId,
        actor: Actor,
    ) -> Result<(), Unavailable> {
        self.change(move |tx| {
            let now = Timestamp::now();
            Deed::new(Action::WithdrawConsent, subject)
                .with("client_id", client.as_str())
                .record(tx, &actor, now)?;
            let client = client_number(tx, &client)?;
            let (kind, number) = (subject.kind.name(), number(subject));
            let delete = "DELETE FROM consents WHERE kind = ?1 AND number = ?2 AND client_number = ?3";
            tx.execute(delete, params![kind, number, client])?;
            let end = "UPDATE identity_grants SET ended_at = ?4
                WHERE kind = ?1 AND number = ?2 AND client_number = ?3 AND ended_at IS NULL";
            tx.execute(end, params![kind, number, client, now.0])?;
            Ok(())
        })
        .await
    }
}

fn remove(conn: &Connection, session: &TokenDigest) -> rusqlite::Result<()> {
    let mut delete = conn.prepare_cached("DELETE FROM sign_ins WHERE session_hash = ?1")?;
    delete.execute([&session.0[..]]).map(drop)
}
