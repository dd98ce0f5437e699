//! A small platform as plain data, and the in-memory directory that answers from it.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

use http::HeaderValue;
use storegate::gate::{Directory, Unavailable};
use storegate::model::{
    AccessToken, AddressList, App, AppId, AppSecret, AppStatus, ClientId, CustomerToken, Installation,
    InstallationId, InstallationStatus, ScopeSet, SecretHash, SessionKey, Store, StoreId, StoreStatus,
    Timestamp, TokenDigest,
};

/// The time of every decision, unless a row says otherwise.
pub(crate) const NOW: i64 = 1_800_000_000;

/// An ordinary app: a secret made here, a signing key, no address list.
pub(crate) const APP: &str = "sx_app_1b16e193a28d2640d2d9734dbf4907e8";
pub(crate) const SECRET: &str = "sx_secret_dd0f155b6c3f0f6fbe80a6a8f8c43d4b0d0b54d53d3e3ac2ab4a25bd24c7f1de";
pub(crate) const KEY: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
/// An app taken over from another platform: a bcrypt secret, no signing key.
pub(crate) const LEGACY: &str = "legacy-shop.app_9";
pub(crate) const LEGACY_SECRET: &str = "correct-horse-battery-staple";
/// An app with an address list: 203.0.113.0/24 and 2001:db8::/32.
pub(crate) const FENCED: &str = "sx_app_fenced";
pub(crate) const FENCED_SECRET: &str = "sx_secret_fenced";
pub(crate) const FENCED_KEY: &str = "fenced-signing-key";
/// A disabled app.
pub(crate) const OFF: &str = "sx_app_off";
pub(crate) const OFF_SECRET: &str = "sx_secret_off";
pub(crate) const OFF_KEY: &str = "off-signing-key";

/// Tokens: of `APP` in store 22 with the installation's scopes; with `read:orders` alone; of `APP` in
/// the suspended store; of `FENCED` and of `OFF` in store 22.
pub(crate) const TOKEN: &str = "sx_at_5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9";
pub(crate) const READER: &str = "sx_at_6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b";
pub(crate) const SUSPENDED: &str = "sx_at_d4735e3a265e16eee03f59718b9b5d03019c07d8b6c51f90da3a666eec13ab35";
pub(crate) const FENCED_TOKEN: &str = "sx_at_fenced";
pub(crate) const OFF_TOKEN: &str = "sx_at_off";

pub(crate) struct SecretSpec {
    pub(crate) text: String,
    pub(crate) bcrypt: bool,
    pub(crate) expires_at: Option<i64>,
}

pub(crate) struct AppSpec {
    pub(crate) client_id: String,
    pub(crate) app_id: i64,
    pub(crate) enabled: bool,
    pub(crate) secrets: Vec<SecretSpec>,
    pub(crate) signing_key: Option<String>,
    pub(crate) addresses: Vec<String>,
}

pub(crate) struct InstallationSpec {
    pub(crate) id: i64,
    pub(crate) client_id: String,
    pub(crate) app_id: i64,
    pub(crate) store: u64,
    pub(crate) scopes: String,
    pub(crate) active: bool,
}

pub(crate) struct StoreSpec {
    pub(crate) id: u64,
    pub(crate) suspended: bool,
}

pub(crate) struct TokenSpec {
    pub(crate) text: String,
    pub(crate) client_id: String,
    pub(crate) app_id: i64,
    pub(crate) store: u64,
    pub(crate) scopes: Option<String>,
    pub(crate) expires_at: i64,
    pub(crate) revoked: bool,
}

/// The platform, as its owner would describe it.
#[derive(Default)]
pub(crate) struct Platform {
    pub(crate) apps: Vec<AppSpec>,
    pub(crate) installations: Vec<InstallationSpec>,
    pub(crate) stores: Vec<StoreSpec>,
    pub(crate) tokens: Vec<TokenSpec>,
}

pub(crate) fn secret(text: &str, bcrypt: bool, expires_at: Option<i64>) -> SecretSpec {
    SecretSpec { text: text.into(), bcrypt, expires_at }
}

pub(crate) fn app(client_id: &str, app_id: i64, secret: SecretSpec, key: Option<&str>) -> AppSpec {
    AppSpec {
        client_id: client_id.into(),
        app_id,
        enabled: true,
        secrets: vec![secret],
        signing_key: key.map(Into::into),
        addresses: Vec::new(),
    }
}

pub(crate) fn token(text: &str, client_id: &str, app_id: i64, store: u64, scopes: Option<&str>) -> TokenSpec {
    TokenSpec {
        text: text.into(),
        client_id: client_id.into(),
        app_id,
        store,
        scopes: scopes.map(Into::into),
        expires_at: NOW + 3600,
        revoked: false,
    }
}

impl Platform {
    /// The platform that the tables start from.
    pub(crate) fn usual() -> Self {
        let install = |id, client_id: &str, app_id, store, scopes: &str| InstallationSpec {
            id,
            client_id: client_id.into(),
            app_id,
            store,
            scopes: scopes.into(),
            active: true,
        };
        let all = "read:orders write:orders read:customers billing";
        let mut platform = Self {
            apps: vec![
                app(APP, 7, secret(SECRET, false, None), Some(KEY)),
                app(LEGACY, 8, secret(LEGACY_SECRET, true, None), None),
                app(FENCED, 9, secret(FENCED_SECRET, false, None), Some(FENCED_KEY)),
                app(OFF, 10, secret(OFF_SECRET, false, None), Some(OFF_KEY)),
            ],
            installations: vec![
                install(501, APP, 7, 22, all),
                install(502, APP, 7, 23, "read:orders"),
                install(503, APP, 7, 24, all), // ended
                install(504, APP, 7, 25, all), // in the suspended store
                install(505, APP, 7, 99, all), // in a store that is gone
                install(511, LEGACY, 8, 22, "read:orders"),
                install(521, FENCED, 9, 22, "read:orders"),
                install(531, OFF, 10, 22, "read:orders"),
            ],
            stores: [22, 23, 24, 25, 26].map(|id| StoreSpec { id, suspended: id == 25 }).into(),
            tokens: vec![
                token(TOKEN, APP, 7, 22, None),
                token(READER, APP, 7, 22, Some("read:orders")),
                token(SUSPENDED, APP, 7, 25, None),
                token(FENCED_TOKEN, FENCED, 9, 22, None),
                token(OFF_TOKEN, OFF, 10, 22, None),
            ],
        };
        platform.app(FENCED).addresses = vec!["203.0.113.0/24".into(), "2001:db8::/32".into()];
        platform.app(OFF).enabled = false;
        platform.installation(503).active = false;
        platform
    }

    pub(crate) fn app(&mut self, client_id: &str) -> &mut AppSpec {
        self.apps.iter_mut().find(|app| app.client_id == client_id).unwrap()
    }

    pub(crate) fn installation(&mut self, id: i64) -> &mut InstallationSpec {
        self.installations.iter_mut().find(|installation| installation.id == id).unwrap()
    }

    pub(crate) fn token(&mut self, text: &str) -> &mut TokenSpec {
        self.tokens.iter_mut().find(|token| token.text == text).unwrap()
    }

    pub(crate) fn suspend(&mut self, store: u64) {
        self.stores.iter_mut().find(|known| known.id == store).unwrap().suspended = true;
    }
}

/// The records of a platform. It counts what it is asked, and can fail at any one look-up.
#[derive(Default)]
pub(crate) struct Records {
    apps: HashMap<String, Arc<App>>,
    installations: HashMap<i64, Arc<Installation>>,
    pairs: HashMap<(i64, u64), i64>,
    stores: HashMap<u64, Arc<Store>>,
    tokens: HashMap<TokenDigest, Arc<AccessToken>>,
    asked: Cell<usize>,
    asked_of_stores: Cell<usize>,
    fails_at: Cell<Option<usize>>,
}

impl Records {
    pub(crate) fn new(platform: &Platform) -> Self {
        let mut records = Self::default();
        for spec in &platform.apps {
            records.apps.insert(spec.client_id.clone(), Arc::new(app_record(spec)));
        }
        for spec in &platform.installations {
            let installation = Installation {
                installation_id: InstallationId(spec.id),
                app_id: AppId(spec.app_id),
                client_id: ClientId::parse(&spec.client_id).unwrap(),
                store_id: StoreId::new(spec.store).unwrap(),
                scopes: ScopeSet::parse(&spec.scopes).unwrap(),
                status: match spec.active {
                    true => InstallationStatus::Active,
                    false => InstallationStatus::Uninstalled,
                },
                header: HeaderValue::from(spec.id),
            };
            records.pairs.insert((spec.app_id, spec.store), spec.id);
            records.installations.insert(spec.id, Arc::new(installation));
        }
        for spec in &platform.stores {
            let store_id = StoreId::new(spec.id).unwrap();
            let status = if spec.suspended { StoreStatus::Suspended } else { StoreStatus::Active };
            records.stores.insert(
                spec.id,
                Arc::new(Store { store_id, domain: None, status, header: store_id.header() }),
            );
        }
        for spec in &platform.tokens {
            let token = AccessToken {
                app_id: AppId(spec.app_id),
                client_id: ClientId::parse(&spec.client_id).unwrap(),
                store_id: StoreId::new(spec.store).unwrap(),
                scopes: spec.scopes.as_ref().map(|scopes| ScopeSet::parse(scopes).unwrap()),
                expires_at: Timestamp(spec.expires_at),
                revoked: spec.revoked,
                secret_generation: None,
                subject: None,
            };
            records.tokens.insert(TokenDigest::of(spec.text.as_bytes()), Arc::new(token));
        }
        records
    }

    /// From now on the look-up with this number, counted from 0, cannot be answered.
    pub(crate) fn fail_at(&self, number: Option<usize>) {
        self.asked.set(0);
        self.fails_at.set(number);
    }

    /// How many look-ups there were.
    pub(crate) fn asked(&self) -> usize {
        self.asked.get()
    }

    /// How many of them could have told something about a store or an installation.
    pub(crate) fn asked_of_stores(&self) -> usize {
        self.asked_of_stores.get()
    }

    fn ask<T>(&self, of_stores: bool, answer: Option<&Arc<T>>) -> Result<Option<Arc<T>>, Unavailable> {
        let number = self.asked.get();
        self.asked.set(number + 1);
        self.asked_of_stores.set(self.asked_of_stores.get() + usize::from(of_stores));
        if self.fails_at.get() == Some(number) { Err(Unavailable) } else { Ok(answer.cloned()) }
    }
}

impl Directory for Records {
    fn app(&self, client_id: &str) -> Result<Option<Arc<App>>, Unavailable> {
        self.ask(false, self.apps.get(client_id))
    }

    fn installation(&self, app: AppId, store: StoreId) -> Result<Option<Arc<Installation>>, Unavailable> {
        let id = self.pairs.get(&(app.0, store.get()));
        self.ask(true, id.and_then(|id| self.installations.get(id)))
    }

    fn installation_by_id(&self, id: InstallationId) -> Result<Option<Arc<Installation>>, Unavailable> {
        self.ask(true, self.installations.get(&id.0))
    }

    fn store(&self, id: StoreId) -> Result<Option<Arc<Store>>, Unavailable> {
        self.ask(true, self.stores.get(&id.get()))
    }

    fn access_token(&self, digest: &TokenDigest) -> Result<Option<Arc<AccessToken>>, Unavailable> {
        self.ask(false, self.tokens.get(digest))
    }

    fn customer_token(&self, _: &TokenDigest) -> Result<Option<Arc<CustomerToken>>, Unavailable> {
        panic!("no route of these speaks a dialect that has them")
    }

    fn store_of_domain(&self, _: &str) -> Result<Option<StoreId>, Unavailable> {
        panic!("no route of these speaks a dialect that has them")
    }
}

fn app_record(spec: &AppSpec) -> App {
    let networks = spec.addresses.iter().map(|text| AddressList::parse_entry(text).unwrap()).collect();
    let hash = |spec: &SecretSpec| match spec.bcrypt {
        true => SecretHash::parse(&bcrypt_of(&spec.text)).unwrap(),
        false => SecretHash::sha256_of(&spec.text),
    };
    let newest_first = (1..).zip(&spec.secrets);
    App {
        app_id: AppId(spec.app_id),
        client_id: ClientId::parse(&spec.client_id).unwrap(),
        status: if spec.enabled { AppStatus::Enabled } else { AppStatus::Disabled },
        secrets: newest_first
            .map(|(generation, spec)| AppSecret::new(-generation, hash(spec), spec.expires_at.map(Timestamp)))
            .collect(),
        session_key: spec.signing_key.as_deref().map(SessionKey::new),
        allowed_addresses: AddressList::new(networks),
        registration: Default::default(),
        header: HeaderValue::from_str(&spec.client_id).unwrap(),
    }
}

/// A bcrypt hash of the lowest cost, made once per text.
fn bcrypt_of(text: &str) -> String {
    static MADE: LazyLock<Mutex<HashMap<String, String>>> = LazyLock::new(Mutex::default);
    let mut made = MADE.lock().unwrap();
    made.entry(text.into()).or_insert_with(|| bcrypt::hash(text, 4).unwrap()).clone()
}
