//! Access tokens, in the order of their digests. A digest is random: taken as they come, ten million
//! tokens would touch every page of the table again and again; sorted, each is written once.

use std::collections::HashMap;
use std::rc::Rc;

use foldhash::fast::RandomState;
use rusqlite::{Statement, Transaction, params};

use super::{TRIM_EVERY, bad, record};
use crate::model::{ScopeSet, Timestamp};
use crate::replica::journal;
use crate::replica::write::Halt;

/// Tokens held in memory, about 100 bytes each. An import that has more of them stages them all in a
/// temporary table.
const BATCH: usize = if cfg!(test) { 1000 } else { 200_000 };

/// Spellings of scope lists that are remembered.
const SPELLINGS: usize = 10_000;

pub(super) struct Tokens<'tx> {
    batch: Vec<Token>,
    staged: bool,
    spellings: HashMap<String, Rc<str>, RandomState>,
    tx: &'tx Transaction<'tx>,
    now: i64,
}

struct Token {
    digest: [u8; 32],
    /// Later lines replace earlier ones.
    line: u64,
    app: i64,
    store: i64,
    scopes: Option<Rc<str>>,
    expires_at: i64,
    revoked_at: Option<i64>,
}

impl<'tx> Tokens<'tx> {
    pub(super) fn new(tx: &'tx Transaction<'tx>) -> Result<Self, Halt> {
        let spellings = HashMap::default();
        Ok(Self { batch: Vec::new(), staged: false, spellings, tx, now: Timestamp::now().0 })
    }

    /// Takes one token of an app and a store that are known.
    pub(super) fn take(
        &mut self,
        token: record::AccessToken,
        app: i64,
        store: i64,
        line: u64,
    ) -> Result<(), Halt> {
        let scopes = token.scopes.map(|scopes| self.interned(scopes)).transpose()?;
        let (digest, expires_at, revoked_at) = (token.digest, token.expires_at, token.revoked_at);
        self.batch.push(Token { digest, line, app, store, scopes, expires_at, revoked_at });
        if self.batch.len() == BATCH { self.stage() } else { Ok(()) }
    }

    /// Puts everything that was taken into the table.
    pub(super) fn finish(mut self) -> Result<(), Halt> {
        if !self.staged {
            self.batch.sort_unstable_by_key(|token| (token.digest, token.line));
            let mut put = Put::new(self.tx, self.now)?;
            return self.batch.iter().try_for_each(|token| put.put(token));
        }
        self.stage()?;
        let mut put = Put::new(self.tx, self.now)?;
        let mut sorted = self.tx.prepare(
            "SELECT token_hash, line, app_id, store_id, scopes, expires_at, revoked_at
             FROM temp.staged_tokens ORDER BY token_hash, line",
        )?;
        let mut rows = sorted.query([])?;
        while let Some(row) = rows.next()? {
            put.put(&Token {
                digest: row.get(0)?,
                line: row.get::<_, i64>(1)?.unsigned_abs(),
                app: row.get(2)?,
                store: row.get(3)?,
                scopes: row.get::<_, Option<String>>(4)?.map(Rc::from),
                expires_at: row.get(5)?,
                revoked_at: row.get(6)?,
            })?;
        }
        drop(rows);
        drop(sorted);
        self.tx.execute_batch("DROP TABLE temp.staged_tokens")?;
        Ok(())
    }

    fn stage(&mut self) -> Result<(), Halt> {
        if !self.staged {
            self.tx.execute_batch(
                "CREATE TEMP TABLE staged_tokens (line INTEGER PRIMARY KEY, token_hash BLOB, app_id INTEGER,
                 store_id INTEGER, scopes TEXT, expires_at INTEGER, revoked_at INTEGER)",
            )?;
            self.staged = true;
        }
        let mut insert =
            self.tx.prepare_cached("INSERT INTO temp.staged_tokens VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?;
        for token in self.batch.drain(..) {
            insert.execute(params![
                i64::try_from(token.line).unwrap_or(i64::MAX),
                &token.digest[..],
                token.app,
                token.store,
                token.scopes.as_deref(),
                token.expires_at,
                token.revoked_at
            ])?;
        }
        Ok(())
    }

    /// A scope list in the form in which it is stored. There are few spellings: each is checked once.
    fn interned(&mut self, spelling: String) -> Result<Rc<str>, Halt> {
        if let Some(known) = self.spellings.get(&spelling) {
            return Ok(known.clone());
        }
        let checked = record::scopes(Some(&spelling)).map_err(bad)?;
        let stored: Rc<str> = Rc::from(checked.as_ref().map_or("", ScopeSet::as_str));
        if self.spellings.len() == SPELLINGS {
            self.spellings.clear();
        }
        self.spellings.insert(spelling, stored.clone());
        Ok(stored)
    }
}

struct Put<'tx> {
    tx: &'tx Transaction<'tx>,
    insert: Statement<'tx>,
    update: Statement<'tx>,
    count: u64,
    now: i64,
}

impl<'tx> Put<'tx> {
    fn new(tx: &'tx Transaction<'tx>, now: i64) -> Result<Self, Halt> {
        // Not an upsert: that would run the insert trigger, and so journal a token that did not change.
        let insert = tx.prepare(
            "INSERT INTO access_tokens SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7
             WHERE NOT EXISTS (SELECT 1 FROM access_tokens WHERE token_hash = ?1)",
        )?;
        let update = tx.prepare(
            "UPDATE access_tokens SET app_id = ?2, store_id = ?3, scopes = ?4, expires_at = ?5, revoked_at = ?6
             WHERE token_hash = ?1 AND (app_id IS NOT ?2 OR store_id IS NOT ?3 OR scopes IS NOT ?4
                OR expires_at IS NOT ?5 OR revoked_at IS NOT ?6)",
        )?;
        Ok(Self { tx, insert, update, count: 0, now })
    }

    fn put(&mut self, token: &Token) -> Result<(), Halt> {
        let Token { digest, app, store, scopes, expires_at, revoked_at, .. } = token;
        let scopes = scopes.as_deref();
        let values = params![&digest[..], app, store, scopes, expires_at, revoked_at, self.now];
        if self.insert.execute(values)? == 0 {
            self.update.execute(params![&digest[..], app, store, scopes, expires_at, revoked_at])?;
        }
        self.count += 1;
        if self.count.is_multiple_of(TRIM_EVERY) {
            journal::trim(self.tx)?;
        }
        Ok(())
    }
}
