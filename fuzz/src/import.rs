//! Records to import: newline-delimited JSON. All or nothing; and what was taken can be read.

use std::cell::RefCell;
use std::path::PathBuf;

use serde_json::Value;
use storegate::gate::Directory;
use storegate::model::{AppId, ClientId, InstallationId, StoreId};
use storegate::replica::{NewApp, Options, Page, Replica, WriteError, Writer};
use tempfile::TempDir;

pub fn check(data: &[u8]) {
    PLACE.with_borrow_mut(|place| place.check(data));
}

thread_local! {
    static PLACE: RefCell<Place> = RefCell::new(Place::new());
}

/// A replica that is brought back to its first state after an import that changed it.
struct Place {
    folder: TempDir,
    first_state: Vec<u8>,
    writer: Option<Writer>,
}

impl Place {
    fn new() -> Self {
        // In memory where there is such a folder: the disk has nothing to do with it.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let mut place = Self { folder, first_state: Vec::new(), writer: None };
        let mut writer = Writer::open(&place.path(), None).unwrap();
        let store = StoreId::new(22).unwrap();
        let app = ClientId::parse("sx_app_1").unwrap();
        writer.add_store(store, Some("First"), Some("first.example"), None).unwrap().acknowledge().1.unwrap();
        let new = NewApp {
            name: "App".into(),
            scopes: Default::default(),
            client_id: Some(app.clone()),
            client_secret: None,
            organization: None,
            allow: Vec::new(),
            token_auth: None,
            redirect_uris: Vec::new(),
        };
        writer.create_app(new).unwrap().acknowledge().1.unwrap();
        writer.install(&app, store, None).unwrap().acknowledge().1.unwrap();
        drop(writer);
        place.first_state = std::fs::read(place.path()).unwrap();
        place
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("storegate.db")
    }

    fn check(&mut self, data: &[u8]) {
        let path = self.path();
        let writer = self.writer.get_or_insert_with(|| Writer::open(&path, None).unwrap());
        let before = listing(writer);
        match writer.import(data, |_| ()) {
            Err(WriteError::Line { line, why }) => {
                assert!((1..=super::lines(data).count() as u64).contains(&line) && !why.is_empty());
                assert!(!why.chars().any(char::is_control), "{why:?}");
                assert_eq!(listing(writer), before, "all or nothing");
            }
            Err(other) => panic!("{other:?}"),
            Ok(committed) => {
                let taken = *committed.value();
                committed.acknowledge().1.unwrap();
                let count = taken.stores + taken.apps + taken.installations + taken.access_tokens;
                let filled = super::lines(data).filter(|line| !line.trim_ascii().is_empty()).count() as u64;
                assert_eq!(count, filled, "each line is a record");
                if count > 0 {
                    self.check_taken(data);
                }
            }
        }
    }

    /// Everything that was taken over can be looked up, and taken over once more.
    fn check_taken(&mut self, data: &[u8]) {
        let writer = self.writer.as_mut().unwrap();
        let after = listing(writer);
        writer.import(data, |_| ()).expect("records replace what has the same key").acknowledge().1.unwrap();
        assert_eq!(ungraded(&listing(writer)), ungraded(&after), "the second time changes nothing");
        let replica =
            Replica::open(&self.path(), Options { readers: 1, sweeps: false, ..Options::default() }).unwrap();
        for line in super::lines(data) {
            let Ok(record) = serde_json::from_slice::<Value>(line) else { continue };
            let store = record["store_id"].as_u64().and_then(StoreId::new);
            if let Some(id) = record["client_id"].as_str() {
                let app = replica.app(id).expect("an app can be read").expect("it is there");
                if let Some(store) = store {
                    replica.installation(app.app_id, store).expect("an installation can be read");
                }
            }
            if let Some(store) = store {
                assert!(replica.store(store).expect("a store can be read").is_some());
            }
            if let Some(number) = record["installation_id"].as_i64() {
                replica.installation_by_id(InstallationId(number)).expect("an installation can be read");
            }
            let _ = record["app_id"].as_i64().map(AppId);
        }
        drop(replica);
        self.restore();
    }

    fn restore(&mut self) {
        self.writer = None;
        for entry in std::fs::read_dir(self.folder.path()).unwrap() {
            let path = entry.unwrap().path();
            let _ = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
        }
        std::fs::write(self.path(), &self.first_state).unwrap();
    }
}

/// Without the generations of secrets: an app that stands twice with two secrets has the first one back for a
/// moment.
fn ungraded(listing: &str) -> String {
    let mut parts = listing.split("generation: ");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |whole, part| whole + part.trim_start_matches(|digit: char| digit.is_ascii_digit()))
}

fn listing(writer: &mut Writer) -> String {
    let apps: Vec<_> = writer.apps(Page::ALL).unwrap();
    let details: Vec<String> = apps
        .iter()
        .map(|app| {
            format!("{:?}", writer.app(&ClientId::parse(&app.client_id.to_string()).unwrap()).unwrap())
        })
        .collect();
    format!("{:?}{apps:?}{details:?}", writer.stores(Page::ALL).unwrap())
}
