//! Access tokens, in the order of their digests. A digest is random: taken as they come, ten million
//! tokens would touch every page of the table again and again; sorted, each is written once.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;

use foldhash::fast::RandomState;
use rusqlite::{OptionalExtension, Statement, Transaction, params};

use super::spill::Spill;
use super::{TRIM_EVERY, bad, record};
use crate::model::{ScopeSet, Timestamp};
use crate::replica::journal;
use crate::replica::write::{Halt, WriteError};

/// Tokens held in memory, 100 bytes each. An import that has more of them sorts them on disk.
const BATCH: usize = if cfg!(test) { 1000 } else { 500_000 };

/// Bytes of scope lists held in memory besides.
const BATCH_SCOPES: usize = 64 << 20;

/// Spellings of scope lists that are remembered.
const SPELLINGS: usize = 10_000;

/// The tokens of one import.
pub(super) struct Tokens {
    batch: Vec<Token>,
    scope_bytes: usize,
    spelled: HashMap<String, Rc<str>, RandomState>,
    /// Where the file of sorted runs is made: beside the replica, where there is room.
    folder: PathBuf,
    spill: Option<Spill>,
}

/// One token, by the numbers of its app and store.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) digest: [u8; 32],
    /// Later lines replace earlier ones.
    pub(super) line: u64,
    pub(super) app: i64,
    pub(super) store: i64,
    pub(super) expires_at: i64,
    pub(super) revoked_at: Option<i64>,
    /// As they are stored.
    pub(super) scopes: Option<Rc<str>>,
}

impl Token {
    /// The order of the table; for one digest, the order of the lines.
    pub(super) fn order(&self) -> (&[u8; 32], u64) {
        (&self.digest, self.line)
    }
}

impl Tokens {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { batch: Vec::new(), scope_bytes: 0, spelled: HashMap::default(), folder, spill: None }
    }

    /// Takes one token of an app and a store that are known.
    pub(super) fn take(
        &mut self,
        token: &record::AccessToken<'_>,
        app: i64,
        store: i64,
        line: u64,
    ) -> Result<(), Halt> {
        let scopes = token.scopes.as_deref().map(|spelling| self.spelled(spelling)).transpose()?;
        let &record::AccessToken { digest, expires_at, revoked_at, .. } = token;
        self.batch.push(Token { digest, line, app, store, expires_at, revoked_at, scopes });
        let full = self.batch.len() == BATCH || self.scope_bytes > BATCH_SCOPES;
        if full { self.spill().map_err(|error| self.unsorted(&error)) } else { Ok(()) }
    }

    /// Puts everything that was taken into the table; `stored` learns how many now and then.
    pub(super) fn finish(mut self, tx: &Transaction<'_>, mut stored: impl FnMut(u64)) -> Result<(), Halt> {
        let mut put = Put::new(tx)?;
        let mut put = |token: &Token| {
            put.put(token)?;
            if put.count.is_multiple_of(TRIM_EVERY) {
                journal::trim(tx)?;
                stored(put.count);
            }
            Ok(())
        };
        if self.spill.is_none() {
            self.sort();
            return self.batch.iter().try_for_each(put);
        }
        self.spill().map_err(|error| self.unsorted(&error))?;
        self.batch = Vec::new();
        let folder = self.folder.clone();
        let unsorted = |error| unsorted(&folder, &error);
        let Some(spill) = self.spill else { return Ok(()) };
        let mut sorted = spill.merge().map_err(unsorted)?;
        while let Some(token) = sorted.next().map_err(unsorted)? {
            put(&token)?;
        }
        Ok(())
    }

    fn sort(&mut self) {
        self.batch.sort_unstable_by(|one, other| one.order().cmp(&other.order()));
    }

    fn spill(&mut self) -> io::Result<()> {
        self.sort();
        let spill = match &mut self.spill {
            Some(spill) => spill,
            none => none.insert(Spill::new(&self.folder)?),
        };
        spill.push(&self.batch)?;
        self.batch.clear();
        // The spellings are remembered, so that what they hold still counts.
        self.scope_bytes = self.spelled.values().map(|scopes| scopes.len()).sum();
        if self.scope_bytes > BATCH_SCOPES / 2 {
            self.spelled.clear();
            self.scope_bytes = 0;
        }
        Ok(())
    }

    fn unsorted(&self, error: &io::Error) -> Halt {
        unsorted(&self.folder, error)
    }

    /// A scope list in the form in which it is stored. There are few spellings: each is checked once.
    fn spelled(&mut self, spelling: &str) -> Result<Rc<str>, Halt> {
        if let Some(known) = self.spelled.get(spelling) {
            return Ok(known.clone());
        }
        let checked = record::scopes(Some(spelling)).map_err(bad)?;
        let stored: Rc<str> = Rc::from(checked.as_ref().map_or("", ScopeSet::as_str));
        if self.spelled.len() == SPELLINGS {
            self.spelled.clear();
        }
        self.scope_bytes += stored.len();
        self.spelled.insert(spelling.to_owned(), stored.clone());
        Ok(stored)
    }
}

fn unsorted(folder: &std::path::Path, error: &io::Error) -> Halt {
    let reason = format!("the tokens cannot be sorted in this folder: {error}");
    WriteError::Storage { path: folder.to_owned(), reason }.into()
}

/// Tokens into the table, in the order of their digests.
struct Put<'tx> {
    insert: Statement<'tx>,
    update: Statement<'tx>,
    /// Whether the table was empty, so that only what this import has put there can be met.
    fresh: bool,
    last: [u8; 32],
    count: u64,
    now: i64,
}

impl<'tx> Put<'tx> {
    fn new(tx: &'tx Transaction<'_>) -> Result<Self, Halt> {
        let any = tx.query_row("SELECT 1 FROM access_tokens LIMIT 1", [], |_| Ok(())).optional()?;
        let fresh = any.is_none();
        // Not an upsert: that would run the insert trigger, and so journal a token that did not change.
        let insert = tx.prepare(if fresh {
            "INSERT INTO access_tokens VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, NULL, NULL, NULL)"
        } else {
            "INSERT INTO access_tokens SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, NULL, NULL, NULL
             WHERE NOT EXISTS (SELECT 1 FROM access_tokens WHERE token_hash = ?1)"
        })?;
        let update = tx.prepare(
            "UPDATE access_tokens SET app_id = ?2, store_id = ?3, scopes = ?4, expires_at = ?5, revoked_at = ?6
             WHERE token_hash = ?1 AND (app_id IS NOT ?2 OR store_id IS NOT ?3 OR scopes IS NOT ?4
                OR expires_at IS NOT ?5 OR revoked_at IS NOT ?6)",
        )?;
        Ok(Self { insert, update, fresh, last: [0; 32], count: 0, now: Timestamp::now().0 })
    }

    fn put(&mut self, token: &Token) -> Result<(), Halt> {
        let Token { digest, app, store, expires_at, revoked_at, scopes, .. } = token;
        let scopes = scopes.as_deref();
        let known = self.fresh && self.count > 0 && self.last == *digest;
        let values = params![&digest[..], app, store, scopes, expires_at, revoked_at, self.now];
        if known || self.insert.execute(values)? == 0 {
            self.update.execute(params![&digest[..], app, store, scopes, expires_at, revoked_at])?;
        }
        self.last = *digest;
        self.count += 1;
        Ok(())
    }
}
