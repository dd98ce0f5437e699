//! Who is signed in, and what they granted.

use rusqlite::{OptionalExtension, params};

use super::{Halt, WriteError};
use crate::model::{ClientId, ScopeSet, SignIn, StoreId, Subject, Timestamp, TokenDigest};
use crate::replica::desk::Ledger;
use crate::replica::read::signed;
use crate::replica::write::users::number;

/// Browsers in which one person is signed in at most. The oldest is signed out for the next.
const MOST_BROWSERS: i64 = 50;

impl Ledger<'_> {
    /// Signs somebody in in a browser, known by the digest of its session's id; `former` is the session that
    /// it had before, which ends.
    ///
    /// # Errors
    ///
    /// The replica cannot be changed; so for every change here.
    pub fn sign_in(
        &self,
        session: &TokenDigest,
        former: Option<&TokenDigest>,
        who: &SignIn,
    ) -> Result<(), WriteError> {
        let done = || -> Result<(), Halt> {
            if let Some(former) = former {
                self.remove(former)?;
            }
            let mut insert = self.conn.prepare_cached(
                "INSERT INTO sign_ins (session_hash, kind, number, auth_time, seen_at, ends_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?;
            let (kind, number) = (who.subject.kind.name(), number(who.subject));
            insert.execute(params![
                &session.0[..],
                kind,
                number,
                who.auth_time.0,
                who.seen_at.0,
                who.ends_at.0
            ])?;
            let mut trim = self.conn.prepare_cached(
                "DELETE FROM sign_ins WHERE session_hash IN
                 (SELECT session_hash FROM sign_ins WHERE kind = ?1 AND number = ?2
                  ORDER BY auth_time DESC LIMIT -1 OFFSET ?3)",
            )?;
            trim.execute(params![kind, number, MOST_BROWSERS])?;
            Ok(())
        };
        self.explained(done())
    }

    /// Notes that a session was used.
    ///
    /// # Errors
    ///
    /// As [`Ledger::sign_in`].
    pub fn touch_sign_in(&self, session: &TokenDigest, now: Timestamp) -> Result<(), WriteError> {
        let done = || -> Result<(), Halt> {
            let sql = "UPDATE sign_ins SET seen_at = max(seen_at, ?2) WHERE session_hash = ?1";
            self.conn.prepare_cached(sql)?.execute(params![&session.0[..], now.0])?;
            Ok(())
        };
        self.explained(done())
    }

    /// Signs a browser out.
    ///
    /// # Errors
    ///
    /// As [`Ledger::sign_in`].
    pub fn sign_out(&self, session: &TokenDigest) -> Result<(), WriteError> {
        self.explained(self.remove(session).map_err(Halt::from))
    }

    /// Signs somebody out in every browser.
    ///
    /// # Errors
    ///
    /// As [`Ledger::sign_in`].
    pub fn sign_out_everywhere(&self, subject: Subject) -> Result<(), WriteError> {
        let sql = "DELETE FROM sign_ins WHERE kind = ?1 AND number = ?2";
        let done = self.conn.execute(sql, params![subject.kind.name(), number(subject)]);
        self.explained(done.map(drop).map_err(Halt::from))
    }

    /// Remembers what somebody granted a client, on top of what they granted before.
    ///
    /// # Errors
    ///
    /// There is no such client, or as [`Ledger::sign_in`].
    pub fn give_consent(
        &self,
        subject: Subject,
        client: &ClientId,
        store: Option<StoreId>,
        scopes: &ScopeSet,
        now: Timestamp,
    ) -> Result<(), WriteError> {
        let done = || -> Result<(), Halt> {
            let client = self.client_number(client)?;
            let (kind, number, store) = (subject.kind.name(), number(subject), store.map_or(0, signed));
            let before = "SELECT scopes FROM consents
                WHERE kind = ?1 AND number = ?2 AND client_number = ?3 AND store_id = ?4";
            let before: Option<String> = self
                .conn
                .prepare_cached(before)?
                .query_row(params![kind, number, client, store], |row| row.get(0))
                .optional()?;
            let all = format!("{} {}", before.unwrap_or_default(), scopes.as_str());
            let all = ScopeSet::parse(&all).map_err(|why| WriteError::malformed("a list of scopes", why))?;
            let key = params![kind, number, client, store, all.as_str(), now.0];
            let mut put = self.conn.prepare_cached(
                "INSERT INTO consents (kind, number, client_number, store_id, scopes, given_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT (kind, number, client_number, store_id)
                 DO UPDATE SET scopes = excluded.scopes, given_at = excluded.given_at",
            )?;
            put.execute(key)?;
            Ok(())
        };
        self.explained(done())
    }

    /// Withdraws all that somebody granted a client, and ends its tokens for them.
    ///
    /// # Errors
    ///
    /// There is no such client, or as [`Ledger::sign_in`].
    pub fn withdraw_consent(
        &self,
        subject: Subject,
        client: &ClientId,
        now: Timestamp,
    ) -> Result<(), WriteError> {
        let done = || -> Result<(), Halt> {
            let client = self.client_number(client)?;
            let whose = params![subject.kind.name(), number(subject), client];
            self.conn.execute(
                "DELETE FROM consents WHERE kind = ?1 AND number = ?2 AND client_number = ?3",
                whose,
            )?;
            self.conn.execute(
                "UPDATE identity_grants SET ended_at = ?4
                 WHERE kind = ?1 AND number = ?2 AND client_number = ?3 AND ended_at IS NULL",
                params![subject.kind.name(), number(subject), client, now.0],
            )?;
            Ok(())
        };
        self.explained(done())
    }

    fn remove(&self, session: &TokenDigest) -> rusqlite::Result<()> {
        let mut delete = self.conn.prepare_cached("DELETE FROM sign_ins WHERE session_hash = ?1")?;
        delete.execute([&session.0[..]]).map(drop)
    }
}
