//! The replica as a file: making it, telling it from other files, and opening connections to it.
//!
//! The file is never opened but through SQLite: closing any other descriptor of it would release the
//! POSIX locks that this process holds on it ("How To Corrupt An SQLite Database File", section 2.2).
//! Memory mapping stays off: a file that is cut short while it is mapped kills the process (SIGBUS),
//! where a plain read gives an error, which becomes 503.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::schema::{self, Kind};
use super::seal::KeyError;

/// How long a writer waits for another one.
pub(super) const WRITER_PATIENCE: Duration = Duration::from_secs(10);

/// How long a reader waits where SQLite makes readers wait at all: while another process recovers
/// the log after a crash.
const READER_PATIENCE: Duration = Duration::from_secs(2);

/// Page cache of one reading connection, in KiB.
const READER_CACHE_KIB: i64 = 8 * 1024;

/// How much of the write-ahead log stays on disk, in bytes.
const LOG_KEPT: i64 = 16 * 1024 * 1024;

/// Why a replica cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file, or the folder that should hold it, cannot be used.
    #[error("the replica {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The file is something else. It was not touched.
    #[error(
        "{0} is not a storegate replica; set replica.path to a replica, or to a file that does not exist yet"
    )]
    Foreign(PathBuf),
    /// A newer program made the file.
    #[error(
        "the replica {path} was made by a newer storegate (schema {found}; this one knows {}); use that version",
        schema::VERSION
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema version.
        found: i32,
    },
    /// Another process has been writing for longer than a writer waits.
    #[error(
        "the replica {0} is locked by another writer (an import, perhaps); try again when it has finished"
    )]
    Locked(PathBuf),
    /// The file is damaged or cannot be read.
    #[error("the replica {path} cannot be used: {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        reason: String,
    },
    /// The file was exchanged, and the log of the former one is still there.
    #[error(
        "the write-ahead log {0} belongs to a replica that is no longer there; remove it before putting another file in its place"
    )]
    FormerLog(PathBuf),
    /// The keys sealed in it cannot be opened.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl OpenError {
    fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }

    pub(super) fn sqlite(path: &Path, error: &rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Locked(path.to_owned()),
            Some(ErrorCode::NotADatabase) => Self::Foreign(path.to_owned()),
            _ => Self::Damaged { path: path.to_owned(), reason: error.to_string() },
        }
    }
}

/// Which file a path names at the moment: device and inode. A connection keeps its inode from being
/// given away again, so that the comparison is exact while one is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity(u64, u64);

impl Identity {
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        fs::metadata(path).map(|metadata| Self(metadata.dev(), metadata.ino()))
    }
}

/// The file itself, wherever links lead: what a gateway keeps beside its replica is beside that. The path as it
/// is where there is no file yet.
pub fn real_path(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

/// The write-ahead log of a replica.
pub(super) fn log_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    PathBuf::from(name)
}

/// Opens the replica for writing; makes it (mode 0600) when there is no file, and brings it up to the
/// present schema. Gives the connection and the file's canonical path.
pub(super) fn open_writer(path: &Path) -> Result<(Connection, PathBuf), OpenError> {
    create_if_missing(path)?;
    let path = fs::canonicalize(path).map_err(|error| OpenError::io(path, error))?;
    inspect(&path)?;
    let mut conn = connect_to_write(&path).map_err(|error| OpenError::sqlite(&path, &error))?;
    let mode = prepare_writer(&mut conn).map_err(|error| OpenError::sqlite(&path, &error))?;
    if mode != "wal" {
        let reason = "its file system cannot share a write-ahead log; put the replica on a local disk".into();
        return Err(OpenError::Damaged { path, reason });
    }
    Ok((conn, path))
}

/// Opens a replica for the small changes that a gateway makes by itself. It must be there and of the
/// present schema: a gateway whose replica was taken away must not put an empty one in its place. The
/// connection waits for no other writer: what it is for can be done later as well.
pub(super) fn open_keeper(path: &Path) -> Result<Connection, OpenError> {
    drop(open_reader(path)?);
    let conn = connect_to_write(path).and_then(|conn| {
        conn.busy_timeout(Duration::ZERO)?;
        conn.pragma_update(None, "synchronous", "FULL")?;
        Ok(conn)
    });
    conn.map_err(|error| OpenError::sqlite(path, &error))
}

/// A connection that may write to the file at `path`, and does not make one.
fn connect_to_write(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(WRITER_PATIENCE)?;
    conn.pragma_update(None, "trusted_schema", false)?;
    conn.pragma_update(None, "foreign_keys", true)?;
    conn.pragma_update(None, "recursive_triggers", false)?;
    Ok(conn)
}

/// Gives the journal mode that the file really has.
fn prepare_writer(conn: &mut Connection) -> rusqlite::Result<String> {
    let mode = use_write_ahead_log(conn)?;
    // FULL: in WAL mode the log is synced at every commit, so that an acknowledged change survives a
    // power loss ("PRAGMA synchronous").
    conn.pragma_update(None, "synchronous", "FULL")?;
    // What a large transaction leaves of the log is given back when the log starts over.
    conn.pragma_update(None, "journal_size_limit", LOG_KEPT)?;
    conn.set_prepared_statement_cache_capacity(64);
    if schema::kind(conn)? != Kind::Replica(schema::VERSION) {
        schema::migrate(conn)?;
    }
    Ok(mode)
}

/// Switching to the log does not wait for other connections by itself.
fn use_write_ahead_log(conn: &Connection) -> rusqlite::Result<String> {
    let deadline = Instant::now() + WRITER_PATIENCE;
    loop {
        match conn.query_row("PRAGMA journal_mode = WAL", [], |row| row.get::<_, String>(0)) {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                    && Instant::now() < deadline =>
            {
                thread::sleep(Duration::from_millis(20));
            }
            other => return other,
        }
    }
}

/// Opens the replica for reading only. It must exist, be ours and of the present schema.
pub(super) fn open_reader(path: &Path) -> Result<Connection, OpenError> {
    let conn = inspect(path)?;
    if schema::kind(&conn).map_err(|error| OpenError::sqlite(path, &error))? != Kind::Replica(schema::VERSION)
    {
        return Err(OpenError::Foreign(path.to_owned()));
    }
    Ok(conn)
}

/// A reading connection, and the certainty that the file is a replica that this program knows, or
/// empty. Nothing was written.
fn inspect(path: &Path) -> Result<Connection, OpenError> {
    let metadata = fs::metadata(path).map_err(|error| OpenError::io(path, error))?;
    if !metadata.is_file() {
        return Err(OpenError::Foreign(path.to_owned())); // opening a FIFO would wait for ever
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags).map_err(|error| OpenError::sqlite(path, &error))?;
    let found = prepare_reader(&conn).and_then(|()| schema::kind(&conn));
    match found.map_err(|error| OpenError::sqlite(path, &error))? {
        Kind::Foreign => Err(OpenError::Foreign(path.to_owned())),
        Kind::Replica(found) if found > schema::VERSION => {
            Err(OpenError::Newer { path: path.to_owned(), found })
        }
        Kind::Replica(_) | Kind::Empty => Ok(conn),
    }
}

fn prepare_reader(conn: &Connection) -> rusqlite::Result<()> {
    conn.busy_timeout(READER_PATIENCE)?;
    conn.pragma_update(None, "query_only", true)?;
    conn.pragma_update(None, "trusted_schema", false)?;
    conn.pragma_update(None, "mmap_size", 0)?;
    conn.pragma_update(None, "cache_size", -READER_CACHE_KIB)?;
    conn.set_prepared_statement_cache_capacity(48);
    Ok(())
}

/// An empty file of mode 0600; the log and its index take over the mode. It gets its name only after
/// its descriptor was closed, see the head of this file.
fn create_if_missing(path: &Path) -> Result<(), OpenError> {
    if path.exists() {
        return Ok(());
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let file = tempfile::NamedTempFile::new_in(folder).map_err(|error| OpenError::io(path, error))?;
    match file.into_temp_path().persist_noclobber(path) {
        Ok(()) => Ok(()),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(OpenError::io(path, error.error)),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn refused(path: &Path) -> OpenError {
        let before = fs::read(path).ok();
        let error = open_writer(path).expect_err("it was opened");
        assert_eq!(fs::read(path).ok(), before, "touched: {error}");
        error
    }

    #[test]
    fn a_new_file_is_a_replica_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("storegate.db");
        let (conn, _) = open_writer(&path).unwrap();
        assert_eq!(schema::kind(&conn).unwrap(), Kind::Replica(schema::VERSION));
        for file in ["storegate.db", "storegate.db-wal", "storegate.db-shm"] {
            let mode = fs::metadata(folder.path().join(file)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
        drop(conn);
        open_writer(&path).unwrap();
        open_reader(&path).unwrap();
    }

    #[test]
    fn other_files_are_refused_and_untouched() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);

        fs::write(at("text"), "x".repeat(5000)).unwrap();
        assert!(matches!(refused(&at("text")), OpenError::Foreign(_)));

        Connection::open(at("foreign")).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
        assert!(matches!(refused(&at("foreign")), OpenError::Foreign(_)));

        open_writer(&at("newer"))
            .unwrap()
            .0
            .pragma_update(None, "user_version", schema::VERSION + 1)
            .unwrap();
        let error = refused(&at("newer"));
        assert!(matches!(error, OpenError::Newer { found, .. } if found == schema::VERSION + 1), "{error}");

        drop(open_writer(&at("cut")).unwrap());
        let whole = fs::read(at("cut")).unwrap();
        fs::write(at("cut"), &whole[..100]).unwrap();
        refused(&at("cut"));
        fs::write(at("cut"), [&whole[..100], &vec![0xA5; whole.len() - 100]].concat()).unwrap();
        refused(&at("cut"));

        assert!(matches!(refused(folder.path()), OpenError::Foreign(_)), "a folder");
        assert!(matches!(refused(&at("missing/storegate.db")), OpenError::Io { .. }));
        assert!(matches!(open_reader(&at("none")), Err(OpenError::Io { .. })), "readers make nothing");
    }

    #[test]
    fn an_empty_file_becomes_a_replica() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("empty");
        fs::write(&path, "").unwrap();
        open_writer(&path).unwrap();
        open_reader(&path).unwrap();
    }
}
