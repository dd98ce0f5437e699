//! The tables, their journal triggers, and the append-only migrations that make them.
//!
//! A migration that was published is never edited: a change is a new entry at the end of
//! [`MIGRATIONS`], and `PRAGMA user_version` counts how many a file has had.
//!
//! The journal is filled by triggers, so that no writer can forget it, whoever it is. What a trigger
//! must cover is every way in which a row that a cache may hold changes or goes away, also the quiet
//! ones: `REPLACE` deletes rows without firing delete triggers, hence the `BEFORE INSERT` ones. A
//! plain new token is not journalled: absence is never cached, so there is nothing to drop.

use rusqlite::{Connection, Transaction, TransactionBehavior};

/// `PRAGMA application_id`: "SGRP". `file` and we ourselves tell a replica from any other database.
pub(super) const APPLICATION_ID: i32 = 0x5347_5250;

/// How many migrations this program knows.
pub(super) const VERSION: i32 = MIGRATIONS.len() as i32;

/// Each makes the next version of the tables.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("migrations/1_first.sql"),
    include_str!("migrations/2_operators.sql"),
    include_str!("migrations/3_audit.sql"),
    include_str!("migrations/4_users.sql"),
    include_str!("migrations/5_tokens.sql"),
    include_str!("migrations/6_once.sql"),
    include_str!("migrations/7_identity.sql"),
    include_str!("migrations/8_forgotten.sql"),
];

/// What a database says it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing yet: it may become a replica.
    Empty,
    /// A replica with this many migrations behind it.
    Replica(i32),
    /// Somebody else's.
    Foreign,
}

/// Reads what a database says it is, and changes nothing.
pub(super) fn kind(conn: &Connection) -> rusqlite::Result<Kind> {
    let number = |pragma: &str| conn.query_row(pragma, [], |row| row.get::<_, i64>(0));
    let (application, version) = (number("PRAGMA application_id")?, number("PRAGMA user_version")?);
    let objects = number("SELECT count(*) FROM sqlite_schema")?;
    Ok(match (application, version, objects) {
        (0, 0, 0) => Kind::Empty,
        (application, version, _) if application == i64::from(APPLICATION_ID) && version > 0 => {
            Kind::Replica(i32::try_from(version).unwrap_or(i32::MAX))
        }
        _ => Kind::Foreign,
    })
}

/// Brings an empty or older replica up to [`VERSION`], all or nothing. The caller has made sure that
/// it is one of those; another process that does the same is waited for.
pub(super) fn migrate(conn: &mut Connection) -> rusqlite::Result<()> {
    let tx = Transaction::new(conn, TransactionBehavior::Immediate)?;
    let version: i32 = tx.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    for migration in MIGRATIONS.iter().skip(usize::try_from(version).unwrap_or(0)) {
        tx.execute_batch(migration)?;
    }
    if version < VERSION {
        tx.pragma_update(None, "application_id", APPLICATION_ID)?;
        tx.pragma_update(None, "user_version", VERSION)?;
    }
    tx.commit()
}
