//! Removing what is over, in steps: what has a time of its own by an index on it, families by a walk over
//! their table. A step looks at a bounded number of rows, and takes the write lock only when it found something
//! to remove and only for that.

use rusqlite::params;

use super::{WriteError, Writer};
use crate::model::Timestamp;

/// What ends by itself, by its key and the time until which it counts, each with an index on that time.
const TIMED: [(&str, &str, &str); 5] = [
    ("customer_tokens", "token_hash", "expires_at"),
    ("app_codes", "code_hash", "expires_at"),
    ("app_refresh_tokens", "token_hash", "expires_at"),
    ("sign_ins", "session_hash", "ends_at"),
    ("identity_tokens", "pair_id", "refresh_expires_at"),
];

/// What was granted once, and goes when neither a code nor a token leads to it any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// By merchants, to apps.
    App,
    /// By people, to clients of the identity provider.
    Identity,
}

impl Family {
    const fn table(self) -> &'static str {
        match self {
            Self::App => "app_grants",
            Self::Identity => "identity_grants",
        }
    }

    /// Whether the grant `g` is over at `?1`.
    const fn is_over(self) -> &'static str {
        match self {
            Self::App => {
                "g.created_at <= ?1
                 AND NOT EXISTS (SELECT 1 FROM app_refresh_tokens r WHERE r.grant_id = g.grant_id)
                 AND NOT EXISTS (SELECT 1 FROM access_tokens t WHERE t.grant_id = g.grant_id)
                 AND NOT EXISTS (SELECT 1 FROM app_codes c WHERE c.grant_id = g.grant_id)"
            }
            Self::Identity => {
                "g.code_expires_at <= ?1
                 AND NOT EXISTS (SELECT 1 FROM identity_tokens t WHERE t.grant_id = g.grant_id)"
            }
        }
    }
}

/// What one step of a walk over grants did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SweptFamilies {
    /// Grants that were removed.
    pub removed: usize,
    /// The last that was looked at; `None`: the end was reached.
    pub next: Option<i64>,
}

impl Writer {
    /// One step of removing what expired at `before` or earlier and is no access token, `limit` rows of each kind
    /// at most. Gives how many rows went.
    ///
    /// # Errors
    ///
    /// The replica cannot be read or changed.
    pub fn sweep_timed(&mut self, limit: u32, before: Timestamp) -> Result<usize, WriteError> {
        let is_clean = self.look(|conn, _| {
            for (table, _, end) in TIMED {
                let expired = format!("SELECT 1 FROM {table} WHERE {end} <= ?1");
                if conn.prepare_cached(&expired)?.exists([before.0])? {
                    return Ok(false);
                }
            }
            Ok(true)
        })?;
        if is_clean {
            return Ok(0);
        }
        let swept = self.upkeep(|tx, _, _| {
            let mut removed = 0;
            for (table, key, end) in TIMED {
                let delete = format!(
                    "DELETE FROM {table} WHERE {key} IN (SELECT {key} FROM {table} WHERE {end} <= ?1 LIMIT ?2)"
                );
                removed += tx.prepare_cached(&delete)?.execute(params![before.0, limit])?;
            }
            Ok(removed)
        })?;
        // Nobody has to be told: what expired is refused by the clock, wherever it is cached.
        Ok(*swept.value())
    }

    /// One step of removing the grants of a family that were over at `before`: looks at `limit` of them after
    /// `from`, however many are still in use.
    ///
    /// # Errors
    ///
    /// As [`Writer::sweep_timed`].
    pub fn sweep_families(
        &mut self,
        family: Family,
        from: Option<i64>,
        limit: u32,
        before: Timestamp,
    ) -> Result<SweptFamilies, WriteError> {
        let (table, is_over) = (family.table(), family.is_over());
        let (after, limit) = (from.unwrap_or(i64::MIN), limit.max(1));
        let (last, seen, over) = self.look(|conn, _| {
            let page = format!(
                "SELECT max(grant_id), count(*), coalesce(sum(is_over), 0) FROM
                 (SELECT g.grant_id, {is_over} AS is_over FROM {table} g WHERE g.grant_id > ?2
                  ORDER BY g.grant_id LIMIT ?3)"
            );
            let mut page = conn.prepare_cached(&page)?;
            let seen = page.query_row(params![before.0, after, limit], |row| {
                Ok((row.get::<_, Option<i64>>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
            });
            Ok(seen?)
        })?;
        let Some(last) = last else { return Ok(SweptFamilies { removed: 0, next: None }) };
        let mut removed = 0;
        if over > 0 {
            let swept = self.upkeep(|tx, _, _| {
                let delete = format!(
                    "DELETE FROM {table} AS g WHERE g.grant_id > ?2 AND g.grant_id <= ?3 AND {is_over}"
                );
                Ok(tx.prepare_cached(&delete)?.execute(params![before.0, after, last])?)
            })?;
            removed = *swept.value();
        }
        Ok(SweptFamilies { removed, next: (seen == i64::from(limit)).then_some(last) })
    }
}
