//! The file of counts: SQLite, so that a crash leaves it whole and commands read it while a gateway writes.
//!
//! Every gateway on the replica adds to the same rows. A row is a count, so that adding needs no look at what
//! is there; a batch is one transaction. Of what was not yet added when the power fails a few seconds are
//! lost: commits are not waited for to be on the platter, and the file stays whole all the same (WAL).

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, params, params_from_iter};

use super::Settings;
use super::book::{Entry, Of};
use super::counts::{CLASSES, Counts};
use super::report::Period;

/// Marks the file as ours: `sgus`.
const APPLICATION: i32 = 0x7367_7573;

/// The present schema.
const VERSION: i32 = 1;

/// How long another gateway's writing is waited for.
const PATIENCE: Duration = Duration::from_millis(500);

/// How much of the write-ahead log stays on disk, in bytes.
const LOG_KEPT: i64 = 4 * 1024 * 1024;

/// Stands for all apps, and for all stores, without a row of their own. No client id has this form.
pub(super) const OTHER_APP: &str = "*";
pub(super) const OTHER_STORE: i64 = -1;
/// Stands for no app, and for no store.
pub(super) const NO_APP: &str = "";
pub(super) const NO_STORE: i64 = 0;

/// Rows that are swept out in one transaction at most.
const SWEPT_AT_ONCE: usize = 20_000;

/// Why the file of counts cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The operating system refuses it.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// It is something else, or damaged, or the disk is full.
    #[error("{path}: {reason}")]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        reason: String,
    },
    /// It is another file.
    #[error("{0} is not a file of usage counts; move it away, and a new one is made")]
    Foreign(PathBuf),
    /// Another version of the program made it.
    #[error(
        "{path} has the layout {found} of usage counts, and this version of storegate knows {VERSION}; use the \
         version that made it, or move it away, and a new one is made"
    )]
    Layout {
        /// The file.
        path: PathBuf,
        /// What it has.
        found: i32,
    },
}

impl FileError {
    fn sqlite(path: &Path, error: &rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::NotADatabase) => Self::Foreign(path.to_owned()),
            _ => Self::Sqlite { path: path.to_owned(), reason: error.to_string() },
        }
    }

    /// Of a file that is not one of ours, or not of this version.
    fn other(path: &Path, kind: (i32, i32)) -> Self {
        match kind {
            (APPLICATION, found) => Self::Layout { path: path.to_owned(), found },
            _ => Self::Foreign(path.to_owned()),
        }
    }
}

/// The file, open for adding.
#[derive(Debug)]
pub(super) struct File {
    path: PathBuf,
    conn: Connection,
    rooms: [Room; Period::ALL.len()],
    pairs: usize,
}

/// Who has a row of its own in the current period of one length.
#[derive(Debug, Default)]
struct Room {
    at: i64,
    known: HashSet<(String, i64), foldhash::quality::RandomState>,
    pairs: usize,
    apps: usize,
}

impl File {
    /// Opens the file; makes it (mode 0600) where there is none.
    pub(super) fn open(path: &Path, pairs: usize) -> Result<Self, FileError> {
        let io = |source| FileError::Io { path: path.to_owned(), source };
        if !path.try_exists().map_err(io)? {
            fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(path)
                .map_err(io)?;
        }
        let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE);
        let conn = conn.map_err(|error| FileError::sqlite(path, &error))?;
        prepare(&conn, path)?;
        Ok(Self { path: path.to_owned(), conn, rooms: Default::default(), pairs })
    }

    /// Opens the file for reading; `None` where there is none yet.
    pub(super) fn read(path: &Path) -> Result<Option<Connection>, FileError> {
        let io = |source| FileError::Io { path: path.to_owned(), source };
        if !path.try_exists().map_err(io)? {
            return Ok(None);
        }
        let open = || {
            let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
            conn.busy_timeout(Duration::from_secs(2))?;
            let kind = kind(&conn)?;
            Ok((conn, kind))
        };
        match open().map_err(|error| FileError::sqlite(path, &error))? {
            (conn, (APPLICATION, VERSION)) => Ok(Some(conn)),
            (_, (0, 0)) => Ok(None), // it is being made
            (_, other) => Err(FileError::other(path, other)),
        }
    }

    /// Adds a batch: all of it, or nothing.
    pub(super) fn add(&mut self, entries: &[Entry]) -> Result<(), FileError> {
        let added = add(&mut self.conn, &mut self.rooms, self.pairs, entries);
        if added.is_err() {
            self.rooms = Default::default(); // what was noted of rows that were not made
        }
        added.map_err(|error| FileError::sqlite(&self.path, &error))
    }

    /// Keeps what is known of credentials in place of what was.
    pub(super) fn keep_patterns(&mut self, text: &str) -> Result<(), FileError> {
        let kept = self.conn.execute("INSERT OR REPLACE INTO state VALUES ('patterns', ?1)", [text]);
        kept.map(drop).map_err(|error| FileError::sqlite(&self.path, &error))
    }

    /// What was last kept of credentials; `None` where nothing was.
    pub(super) fn patterns(path: &Path) -> Result<Option<String>, FileError> {
        let Some(conn) = Self::read(path)? else { return Ok(None) };
        let found = conn.query_row("SELECT value FROM state WHERE name = 'patterns'", [], |row| row.get(0));
        found.optional().map_err(|error| FileError::sqlite(path, &error))
    }

    /// Removes what is older than it is kept; whether there may be more.
    pub(super) fn sweep(&mut self, now: i64, keep: &Settings) -> Result<bool, FileError> {
        let sweep = || {
            let mut more = false;
            for period in Period::ALL {
                let kept = i64::try_from(period.kept(keep).as_secs()).unwrap_or(i64::MAX);
                let before = now.saturating_sub(kept);
                for table in ["usage", "refusals"] {
                    // Rows of a table without row ids are found by their key.
                    let sql = format!(
                        "DELETE FROM {table} WHERE period = ?1 AND at < ?2 AND at <= coalesce(
                             (SELECT at FROM {table} WHERE period = ?1 ORDER BY at LIMIT 1 OFFSET ?3), ?2)"
                    );
                    let swept =
                        self.conn.execute(&sql, params![period as i64, before, SWEPT_AT_ONCE as i64])?;
                    more |= swept >= SWEPT_AT_ONCE;
                }
            }
            Ok(more)
        };
        sweep().map_err(|error| FileError::sqlite(&self.path, &error))
    }

    #[cfg(test)]
    pub(super) fn connection(&self) -> &Connection {
        &self.conn
    }
}

/// What a file says it is: the application and its layout.
fn kind(conn: &Connection) -> rusqlite::Result<(i32, i32)> {
    // In one statement: a gateway may be making the file.
    let sql = "SELECT application_id, user_version FROM pragma_application_id, pragma_user_version";
    conn.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))
}

fn prepare(conn: &Connection, path: &Path) -> Result<(), FileError> {
    let sqlite = |error: rusqlite::Error| FileError::sqlite(path, &error);
    conn.busy_timeout(PATIENCE).map_err(sqlite)?;
    let tables = || conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0));
    match kind(conn).map_err(sqlite)? {
        (APPLICATION, VERSION) => {}
        (0, 0) if tables().map_err(sqlite)? == 0 => {}
        other => return Err(FileError::other(path, other)),
    }
    let set = || {
        conn.pragma_update(None, "journal_mode", "WAL")?;
        conn.pragma_update(None, "synchronous", "NORMAL")?;
        conn.pragma_update(None, "journal_size_limit", LOG_KEPT)?;
        conn.execute_batch(&schema())
    };
    set().map_err(sqlite)
}

fn schema() -> String {
    let times = (0..CLASSES).fold(String::new(), |mut sql, class| {
        let _ = write!(sql, ", t{class} INTEGER NOT NULL"); // into memory
        sql
    });
    // Two gateways may make it at once: the whole is one transaction.
    format!(
        "BEGIN IMMEDIATE;
         CREATE TABLE IF NOT EXISTS usage (
             period INTEGER NOT NULL, at INTEGER NOT NULL, client_id TEXT NOT NULL, store_id INTEGER NOT NULL,
             calls INTEGER NOT NULL, refused INTEGER NOT NULL, broken INTEGER NOT NULL,
             bytes_in INTEGER NOT NULL, bytes_out INTEGER NOT NULL{times},
             PRIMARY KEY (period, at, client_id, store_id)) STRICT, WITHOUT ROWID;
         CREATE TABLE IF NOT EXISTS refusals (
             period INTEGER NOT NULL, at INTEGER NOT NULL, client_id TEXT NOT NULL, store_id INTEGER NOT NULL,
             code TEXT NOT NULL, count INTEGER NOT NULL,
             PRIMARY KEY (period, at, client_id, store_id, code)) STRICT, WITHOUT ROWID;
         CREATE TABLE IF NOT EXISTS state (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
         PRAGMA application_id = {APPLICATION};
         PRAGMA user_version = {VERSION};
         COMMIT;"
    )
}

fn add(
    conn: &mut Connection,
    rooms: &mut [Room; Period::ALL.len()],
    pairs: usize,
    entries: &[Entry],
) -> rusqlite::Result<()> {
    let tx = conn.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    {
        let mut insert = tx.prepare_cached(&upsert())?;
        let mut refuse = tx.prepare_cached(
            "INSERT INTO refusals VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT DO UPDATE SET count = count + excluded.count",
        )?;
        for entry in entries {
            for (period, room) in Period::ALL.into_iter().zip(&mut *rooms) {
                let at = period.start(entry.minute);
                room.turn_to(&tx, period, at)?;
                let (app, store) = room.place(entry, pairs);
                let key = (period as i64, at, &*app, store);
                insert.execute(params_from_iter(values(key, &entry.counts)))?;
                for (code, count) in &entry.counts.refused {
                    refuse.execute(params![key.0, at, app, store, code.name(), number(*count)])?;
                }
            }
        }
    }
    tx.commit()
}

fn upsert() -> String {
    let names: Vec<String> = ["calls", "refused", "broken", "bytes_in", "bytes_out"]
        .into_iter()
        .map(str::to_owned)
        .chain((0..CLASSES).map(|class| format!("t{class}")))
        .collect();
    let marks = vec!["?"; names.len() + 4].join(", ");
    let sums: Vec<String> = names.iter().map(|name| format!("{name} = {name} + excluded.{name}")).collect();
    format!("INSERT INTO usage VALUES ({marks}) ON CONFLICT DO UPDATE SET {}", sums.join(", "))
}

fn values<'v>(
    (period, at, app, store): (i64, i64, &'v str, i64),
    counts: &Counts,
) -> impl Iterator<Item = rusqlite::types::ToSqlOutput<'v>> {
    let fixed = [period.into(), at.into(), app.into(), store.into()];
    let refused = counts.all_refused();
    let sums = [counts.calls, refused, counts.broken, counts.bytes_in, counts.bytes_out];
    fixed.into_iter().chain(sums.into_iter().chain(counts.times).map(|count| number(count).into()))
}

/// As SQLite counts: below 2^53, so that no sum of many rows leaves the range.
fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX).min(1 << 53)
}

impl Room {
    /// Begins another period: who has a row in it already is in the file, where there was one before.
    fn turn_to(&mut self, tx: &Transaction<'_>, period: Period, at: i64) -> rusqlite::Result<()> {
        if self.at == at {
            return Ok(());
        }
        *self = Self { at, ..Self::default() };
        let mut rows =
            tx.prepare_cached("SELECT client_id, store_id FROM usage WHERE period = ?1 AND at = ?2")?;
        let mut rows = rows.query(params![period as i64, at])?;
        while let Some(row) = rows.next()? {
            self.note((row.get(0)?, row.get(1)?));
        }
        Ok(())
    }

    fn note(&mut self, key: (String, i64)) {
        match key.1 {
            OTHER_STORE => self.apps += 1,
            _ => self.pairs += 1,
        }
        self.known.insert(key);
    }

    /// The row of an entry: its own, or that of its app's other stores, or that of all others.
    fn place(&mut self, entry: &Entry, most: usize) -> (String, i64) {
        let Of::Pair(_, store) = entry.of else { return (OTHER_APP.to_owned(), OTHER_STORE) };
        let app = entry.app.as_ref().map_or(NO_APP, |app| app.client_id.as_str()).to_owned();
        let store = store.and_then(|store| i64::try_from(store.get()).ok()).unwrap_or(NO_STORE);
        let own = (app, store);
        if self.known.contains(&own) {
            return own;
        }
        if self.pairs < most {
            self.note(own.clone());
            return own;
        }
        let of_app = (own.0, OTHER_STORE);
        if self.known.contains(&of_app) {
            return of_app;
        }
        if self.apps < most {
            self.note(of_app.clone());
            return of_app;
        }
        (OTHER_APP.to_owned(), OTHER_STORE)
    }
}
