//! The replica through its public surface. One fixture; each file one promise.

mod audit;
mod crash;
mod failure;
mod freshness;
mod housekeeping;
mod identity;
mod importing;
mod issuing;
mod once;
mod operators;
mod stress;
mod users;
mod writing;

use std::cell::RefCell;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::*;
use crate::model::{ClientId, ProofKey, ScopeSet, Secret, SecretMatch, StoreId, Timestamp};

/// A replica in a folder of its own, with store 22 and the app `sx_app_1` installed in it.
struct Fixture {
    folder: TempDir,
    secret: Secret,
    installation: i64,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = Writer::open(&folder.path().join("storegate.db"), None).unwrap();
        done(writer.add_store(store(22), Some("First"), Some("first.example"), None));
        let created = done(writer.create_app(new_app("sx_app_1")));
        let installation = done(writer.install(&client("sx_app_1"), store(22), None));
        Self { folder, secret: created.client_secret, installation }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("storegate.db")
    }

    fn writer(&self) -> Writer {
        Writer::open(&self.path(), None).unwrap()
    }

    fn replica(&self) -> Arc<Replica> {
        Replica::open(&self.path(), options()).unwrap()
    }

    /// Somebody else's connection, as the `sqlite3` shell has it.
    fn stranger(&self) -> rusqlite::Connection {
        let conn = rusqlite::Connection::open(self.path()).unwrap();
        conn.pragma_update(None, "foreign_keys", false).unwrap();
        conn.pragma_update(None, "ignore_check_constraints", true).unwrap();
        conn
    }
}

fn options() -> Options {
    let cache_entries = NonZeroUsize::new(1000).unwrap();
    Options { readers: 2, cache_entries, sweeps: false, ..Options::default() }
}

fn store(number: u64) -> StoreId {
    StoreId::new(number).unwrap()
}

fn client(text: &str) -> ClientId {
    ClientId::parse(text).unwrap()
}

fn scopes(text: &str) -> ScopeSet {
    ScopeSet::parse(text).unwrap()
}

fn new_app(client_id: &str) -> NewApp {
    NewApp {
        name: "App".into(),
        scopes: scopes("read:orders"),
        client_id: Some(client(client_id)),
        client_secret: None,
        organization: None,
        allow: Vec::new(),
        token_auth: None,
        redirect_uris: Vec::new(),
    }
}

/// The value of a change that must succeed and be confirmed.
#[track_caller]
fn done<T>(change: Result<Committed<T>, WriteError>) -> T {
    let (value, enforced) = change.expect("the change was refused").acknowledge();
    enforced.expect("the change was not confirmed");
    value
}

/// The text of a refusal.
#[track_caller]
fn refused<T>(change: Result<T, WriteError>) -> String {
    match change {
        Ok(_) => panic!("it was accepted"),
        Err(error) => error.to_string(),
    }
}

/// Whether `secret` is one of the app's, as the gate would find it.
fn accepts(replica: &Replica, client_id: &str, secret: &str) -> bool {
    use crate::gate::Directory;
    let key = ProofKey::random().unwrap();
    let app = replica.app(client_id).unwrap().expect("the app is there");
    let now = Timestamp::now();
    app.secrets
        .iter()
        .any(|own| !own.is_expired(now) && own.compare(secret.as_bytes(), &key) == SecretMatch::Equal)
}

thread_local! {
    /// What this thread does between reading a row and filling the cache with it.
    static PAUSE: RefCell<Option<Box<dyn FnMut()>>> = const { RefCell::new(None) };
}

/// The place between the read and the fill, where a lost drop would do its harm.
pub(super) fn linger() {
    PAUSE.with_borrow_mut(|pause| pause.iter_mut().for_each(|pause| pause()));
}

/// Waits for something that another thread brings about.
#[track_caller]
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::yield_now();
    }
}

/// The gateway's threads share a replica; a writer moves to a worker thread.
#[test]
fn they_may_cross_threads() {
    fn shared<T: Send + Sync>() {}
    fn sent<T: Send>() {}
    shared::<Replica>();
    sent::<Writer>();
    sent::<Committed<CreatedApp>>();
    sent::<Watch>();
}
