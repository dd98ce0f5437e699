//! The replica as a running gateway has it: reading connections, caches, and the journal followed.
//!
//! Locking. `feed` is held while the journal is read or the file reopened; look-ups never take it.
//! A look-up that misses takes the entry's lock, then `readers` for an instant, then a connection;
//! nothing takes them in another order. **The connections are looked at inside the entry's lock**, so
//! that exchanging them and then clearing the caches works like a commit and then dropping the keys.
//!
//! Failure. Whatever makes the journal unreadable (file gone, replaced, damaged) closes the
//! connections and then clears the caches: from then on every look-up is a miss, and every miss is
//! [`Unavailable`], until a sound file is there again.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use rusqlite::Connection;

use super::audit::Retention;
use super::complaints::Complaints;
use super::delay::{Batches, OnEnforced};
use super::file::{self, Identity, OpenError};
use super::journal::{self, Change, Mark, Position};
use super::pool::Pool;
use super::read::ReadError;
use super::seal::{self, Sealer};
use super::uses::Uses;
use crate::cache::Cache;
use crate::gate::Unavailable;
use crate::model::{
    AccessToken, App, AppId, ClientId, CustomerToken, Installation, InstallationId, Store, StoreId,
    TokenDigest,
};

/// How a replica is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// Reading connections; about one per worker thread.
    pub readers: usize,
    /// Entries kept in memory for each kind of record.
    pub cache_entries: NonZeroUsize,
    /// The file with the key under which session signing keys are stored; `None`: stored plain.
    pub key_file: Option<PathBuf>,
    /// Whether this process removes tokens that expired. Not where the file follows another authority.
    pub sweeps: bool,
    /// How long entries of the audit record are kept.
    pub retention: Retention,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            readers: 4,
            cache_entries: const { NonZeroUsize::new(100_000).expect("not zero") },
            key_file: None,
            sweeps: true,
            retention: Retention::default(),
        }
    }
}

/// Whether the replica can be read, for readiness.
#[derive(Debug, Clone)]
pub struct Health {
    /// The journal entry up to which changes are in force here.
    pub position: Position,
    /// Why it cannot be read; `None`: it can.
    pub problem: Option<String>,
}

/// How many records of each kind are in memory, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cached {
    /// Apps with their secrets.
    pub apps: usize,
    /// Installations, by app and store.
    pub installations: usize,
    /// Installations, by number.
    pub installations_by_id: usize,
    /// Stores.
    pub stores: usize,
    /// Access tokens.
    pub access_tokens: usize,
    /// Customer tokens.
    pub customer_tokens: usize,
    /// Hosts, with the store whose domain each is, if any.
    pub domains: usize,
}

impl Cached {
    /// Each kind by its name in metrics.
    pub fn by_kind(self) -> [(&'static str, usize); 7] {
        [
            ("app", self.apps),
            ("installation", self.installations),
            ("installation_by_id", self.installations_by_id),
            ("store", self.stores),
            ("access_token", self.access_tokens),
            ("customer_token", self.customer_tokens),
            ("domain", self.domains),
        ]
    }
}

pub(super) struct Caches {
    pub(super) apps: Cache<ClientId, App>,
    pub(super) installations: Cache<(AppId, StoreId), Installation>,
    pub(super) installations_by_id: Cache<InstallationId, Installation>,
    pub(super) stores: Cache<StoreId, Store>,
    pub(super) access_tokens: Cache<TokenDigest, AccessToken>,
    pub(super) customer_tokens: Cache<TokenDigest, CustomerToken>,
    /// Also that a host is no store's domain: any change of any store clears all.
    pub(super) domains: Cache<Box<str>, Option<StoreId>>,
}

/// Hosts that are kept at most. Callers choose them, and few are in use.
const MOST_DOMAINS: NonZeroUsize = NonZeroUsize::new(10_000).expect("not zero");

/// The records of the platform, as this process reads them.
pub struct Replica {
    path: PathBuf,
    options: Options,
    sealer: Sealer,
    pub(super) caches: Caches,
    readers: RwLock<Result<Arc<Pool>, String>>,
    feed: Mutex<Feed>,
    position: AtomicI64,
    /// When the whole file was last known to be in force.
    fresh: Mutex<Instant>,
    complaints: Complaints,
    uses: Uses,
    on_enforced: OnceLock<OnEnforced>,
    /// Where this process is administered, for commands that ask.
    admin: Mutex<Option<SocketAddr>>,
}

/// Where the journal was followed to, on a connection of its own.
struct Feed {
    conn: Connection,
    identity: Identity,
    /// The log that belongs to the file; its connection keeps the inode from being given away.
    log: Option<Identity>,
    data_version: i64,
    mark: Mark,
    /// Whether the readers are open on this file. A feed that was lost is kept until the next one,
    /// for what it identifies.
    sound: bool,
    retry_at: Instant,
}

/// Pause between attempts to open a file that was lost.
const RETRY: Duration = Duration::from_millis(100);

impl Replica {
    /// Opens the replica at `path`; makes it when there is none, brings its schema up to date and,
    /// with a key file, seals the session signing keys that are stored plain. Reads nothing else: the
    /// time it takes does not depend on the size of the file.
    ///
    /// # Errors
    ///
    /// [`OpenError`] when the file cannot be made, is not a replica, is newer than this program, is
    /// damaged, or its sealed keys cannot be opened.
    pub fn open(path: &Path, options: Options) -> Result<Arc<Self>, OpenError> {
        let (mut conn, path) = file::open_writer(path)?;
        let sealer = seal::unlock(&mut conn, options.key_file.as_deref())?;
        let (pool, feed) = open_readers(&path, &options, &sealer)?;
        drop(conn);
        let capacity = options.cache_entries;
        Ok(Arc::new(Self {
            position: AtomicI64::new(feed.mark.position),
            caches: Caches {
                apps: Cache::new(capacity),
                installations: Cache::new(capacity),
                installations_by_id: Cache::new(capacity),
                stores: Cache::new(capacity),
                access_tokens: Cache::new(capacity),
                customer_tokens: Cache::new(capacity),
                domains: Cache::new(capacity.min(MOST_DOMAINS)),
            },
            readers: RwLock::new(Ok(Arc::new(pool))),
            feed: Mutex::new(feed),
            fresh: Mutex::new(Instant::now()),
            complaints: Complaints::default(),
            uses: Uses::default(),
            on_enforced: OnceLock::new(),
            admin: Mutex::new(None),
            path,
            options,
            sealer,
        }))
    }

    /// Calls `hook` with the time from a change's commit to its being in force here, and the number
    /// of journal entries to which that time applies. Only the first hook counts.
    pub fn on_enforced(&self, hook: impl Fn(Duration, usize) + Send + Sync + 'static) {
        let _ = self.on_enforced.set(Box::new(hook));
    }

    /// Has commands told where this process is administered; `None`: nowhere (any more).
    pub fn announce(&self, admin: Option<SocketAddr>) {
        *self.admin.lock() = admin;
    }

    pub(super) fn admin(&self) -> Option<SocketAddr> {
        *self.admin.lock()
    }

    /// Puts every change in force that was committed before the call, and gives the position reached.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] when the file cannot be read; look-ups are refused then, too.
    pub fn catch_up(&self) -> Result<Position, Unavailable> {
        let mut feed = self.feed.lock();
        self.check_file(&mut feed);
        if feed.sound {
            self.apply(&mut feed);
        }
        if !feed.sound {
            self.reopen(&mut feed);
        }
        self.note_freshness(&feed);
        if feed.sound { Ok(self.position()) } else { Err(Unavailable) }
    }

    /// What the poller does every few milliseconds: [`Replica::catch_up`] when another connection has
    /// committed or the file is another one.
    pub(super) fn poll(&self) {
        let mut feed = self.feed.lock();
        self.check_file(&mut feed);
        if feed.sound && data_version(&feed.conn).ok() != Some(feed.data_version) {
            self.apply(&mut feed);
        }
        if !feed.sound && Instant::now() >= feed.retry_at {
            self.reopen(&mut feed);
        }
        self.note_freshness(&feed);
    }

    fn note_freshness(&self, feed: &Feed) {
        if feed.sound {
            *self.fresh.lock() = Instant::now();
        }
    }

    /// How long ago it was last seen that every change of the file is in force here. While it is watched and can
    /// be read, that is some milliseconds.
    pub fn age(&self) -> Duration {
        self.fresh.lock().elapsed()
    }

    /// The journal entry up to which changes are in force here.
    pub fn position(&self) -> Position {
        self.position.load(Ordering::Acquire)
    }

    /// Tries the file with a trivial read.
    pub fn health(&self) -> Health {
        let problem = match self.pool() {
            Err(reason) => Some(reason),
            Ok(pool) => journal::newest(&pool.take()).err().map(|error| error.to_string()),
        };
        Health { position: self.position(), problem }
    }

    /// How many records are in memory.
    pub fn cached(&self) -> Cached {
        Cached {
            apps: self.caches.apps.len(),
            installations: self.caches.installations.len(),
            installations_by_id: self.caches.installations_by_id.len(),
            stores: self.caches.stores.len(),
            access_tokens: self.caches.access_tokens.len(),
            customer_tokens: self.caches.customer_tokens.len(),
            domains: self.caches.domains.len(),
        }
    }

    /// The file, as a canonical path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn options(&self) -> &Options {
        &self.options
    }

    pub(super) fn sealer(&self) -> &Sealer {
        &self.sealer
    }

    pub(super) fn uses(&self) -> &Uses {
        &self.uses
    }

    /// Runs one look-up on a free connection. To be called inside the lock of the entry that it
    /// fills: see the head of this file.
    pub(super) fn look_up<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, ReadError>,
    ) -> Result<T, Unavailable> {
        let pool = self.pool().map_err(|reason| self.complaints.complain(&reason))?;
        let found = read(&pool.take());
        #[cfg(test)]
        super::tests::linger(); // between reading and filling, where a lost drop would do its harm
        found.map_err(|error| self.complaints.complain(&error.to_string()))
    }

    pub(super) fn forget_everything(&self) {
        self.caches.apps.clear();
        self.caches.installations.clear();
        self.caches.installations_by_id.clear();
        self.caches.stores.clear();
        self.caches.access_tokens.clear();
        self.caches.customer_tokens.clear();
        self.caches.domains.clear();
    }

    fn pool(&self) -> Result<Arc<Pool>, String> {
        self.readers.read().clone()
    }

    /// Notices that the path names no file any more, or another one.
    fn check_file(&self, feed: &mut Feed) {
        if !feed.sound {
            return;
        }
        match Identity::of(&self.path) {
            Ok(identity) if identity == feed.identity => {}
            Ok(_) => self.close(feed, "the file was replaced".to_owned()),
            Err(error) => self.close(feed, error.to_string()),
        }
    }

    /// Drops the keys of every entry after the mark.
    fn apply(&self, feed: &mut Feed) {
        if let Err(error) = self.try_apply(feed) {
            self.close(feed, error.to_string());
        }
    }

    fn try_apply(&self, feed: &mut Feed) -> rusqlite::Result<()> {
        // Read before the journal: a commit between the two is seen again by the next poll.
        let version = data_version(&feed.conn)?;
        let mut enforced = Batches::default();
        let mut stores_changed = false;
        let reached = journal::follow(&feed.conn, feed.mark, |change, at_ms| {
            stores_changed |= matches!(change, Change::Store(_));
            self.drop_keys(&change);
            enforced.add(at_ms);
        })?;
        if stores_changed {
            self.caches.domains.clear();
        }
        feed.mark = match reached {
            Some(mark) => mark,
            None => {
                // The mark first: what is committed after it is read is followed the next time.
                let mark = journal::newest(&feed.conn)?;
                self.forget_everything();
                enforced.add(mark.at_ms);
                mark
            }
        };
        feed.data_version = version;
        self.position.store(feed.mark.position, Ordering::Release);
        if let Some(hook) = self.on_enforced.get() {
            enforced.report(hook);
        }
        Ok(())
    }

    fn drop_keys(&self, change: &Change<'_>) {
        match change {
            Change::Store(id) => self.caches.stores.drop_key(id),
            Change::App(client_id) => self.caches.apps.drop_key(*client_id),
            Change::Installation(app, store, id) => {
                self.caches.installations.drop_key(&(*app, *store));
                self.caches.installations_by_id.drop_key(id);
            }
            Change::Token(digest) => self.caches.access_tokens.drop_key(digest),
            Change::CustomerToken(digest) => self.caches.customer_tokens.drop_key(digest),
            Change::Everything => self.forget_everything(),
        }
    }

    /// No connection any more, and then nothing in memory.
    fn close(&self, feed: &mut Feed, reason: String) {
        tracing::error!(replica = %self.path.display(), reason, "the replica cannot be read");
        *self.readers.write() = Err(reason);
        self.forget_everything();
        feed.sound = false;
        feed.retry_at = Instant::now();
    }

    fn reopen(&self, feed: &mut Feed) {
        feed.retry_at = Instant::now() + RETRY;
        match self.try_reopen(feed) {
            Ok((pool, new)) => {
                *self.readers.write() = Ok(Arc::new(pool));
                self.forget_everything();
                *feed = new;
                self.position.store(feed.mark.position, Ordering::Release);
                tracing::info!(replica = %self.path.display(), "the replica can be read again");
            }
            Err(error) => *self.readers.write() = Err(error.to_string()),
        }
    }

    fn try_reopen(&self, former: &Feed) -> Result<(Pool, Feed), OpenError> {
        let log = file::log_of(&self.path);
        let exchanged = Identity::of(&self.path).is_ok_and(|identity| identity != former.identity);
        let log_stayed = former.log.is_some() && Identity::of(&log).ok() == former.log;
        if exchanged && log_stayed && std::fs::metadata(&log).is_ok_and(|log| log.len() > 0) {
            // SQLite would play the former file's log back into this one.
            return Err(OpenError::FormerLog(log));
        }
        open_readers(&self.path, &self.options, &self.sealer)
    }
}

impl std::fmt::Debug for Replica {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replica").field("path", &self.path).finish_non_exhaustive()
    }
}

fn open_readers(path: &Path, options: &Options, sealer: &Sealer) -> Result<(Pool, Feed), OpenError> {
    let conn = file::open_reader(path)?;
    sealer.fits(&conn, options.key_file.as_deref())?;
    let broken = |error: rusqlite::Error| OpenError::sqlite(path, &error);
    let identity = Identity::of(path).map_err(|source| OpenError::Io { path: path.into(), source })?;
    let data_version = data_version(&conn).map_err(broken)?;
    // Before the first look-up: what is committed from here on is followed.
    let mark = journal::newest(&conn).map_err(broken)?;
    let pool = Pool::open(path, options.readers)?;
    if Identity::of(path).ok() != Some(identity) {
        return Err(OpenError::Damaged { path: path.into(), reason: "it was replaced meanwhile".into() });
    }
    let log = Identity::of(&file::log_of(path)).ok();
    Ok((pool, Feed { conn, identity, log, data_version, mark, sound: true, retry_at: Instant::now() }))
}

fn data_version(conn: &Connection) -> rusqlite::Result<i64> {
    conn.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))
}
