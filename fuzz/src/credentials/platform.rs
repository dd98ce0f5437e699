//! A small platform: two apps in store 22, one of them also in the suspended store 24.

use std::cell::Cell;
use std::sync::{Arc, LazyLock};

use http::HeaderValue;
use storegate::gate::{Directory, Unavailable};
use storegate::model::{
    AccessToken, AddressList, App, AppId, AppSecret, AppStatus, ClientId, CustomerToken, Installation,
    InstallationId, InstallationStatus, ScopeSet, SecretHash, SessionKey, Store, StoreId, StoreStatus,
    Timestamp, TokenDigest,
};
use storegate::wire::session_token::{Claims, mint};

/// The time of every decision: in 2027.
pub(super) const NOW: Timestamp = Timestamp(1_800_000_000);

pub(super) const SECRET: &str = "sx_secret_dd0f155b6c3f0f6f";
/// Its secret is known by bcrypt, and counts from 203.0.113.0/24 only.
pub(super) const BCRYPT_APP: &str = "sx_app_b";
pub(super) const BCRYPT_SECRET: &[u8] = b"correct-horse-battery-staple";
const KEY: &str = "9f86d081884c7d65";

/// In force: with the installation's scopes, and with one of its own.
pub(super) const TOKENS: [&str; 2] = ["sx_at_5feceb66ffc86f38", "sx_at_6b86b273ff34fce1"];
/// Revoked; expired; of the suspended store.
const DEAD: [&str; 3] = ["sx_at_d4735e3a265e16ee", "sx_at_4e07408562bedb8b", "sx_at_4b227777d4dd1fc6"];

/// The session tokens in force; minting is deterministic, so that cases can hold them.
pub(super) static SESSIONS: LazyLock<[String; 1]> = LazyLock::new(|| {
    let claims = Claims {
        store_id: StoreId::new(22).unwrap(),
        installation_id: InstallationId(501),
        app_id: AppId(7),
        expires_at: NOW.plus(300),
        issued_at: NOW.plus(-10),
        not_before: None,
    };
    [mint(&claims, &SessionKey::new(KEY))]
});

/// What no answer may show.
pub(super) static SECRETS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let plain = [SECRET, std::str::from_utf8(BCRYPT_SECRET).unwrap(), KEY];
    let all = plain.iter().chain(&TOKENS).chain(&DEAD).map(|text| (*text).to_owned());
    all.chain(SESSIONS.iter().cloned()).collect()
});

/// The records. Each is made anew for a case: what is proved must not outlive it.
pub(super) struct Platform {
    apps: [Arc<App>; 2],
    asked: Cell<usize>,
    fails_at: Option<usize>,
}

impl Platform {
    pub(super) fn new() -> Self {
        let bcrypt = "$2b$04$cVWp4XaNU8a4v1uMRum2SO026BWLIoQMD/TXg5uZV.0P.uO8m3YEm";
        let fence = AddressList::parse_entry("203.0.113.0/24").unwrap();
        let fence = AddressList::new(vec![fence]);
        let apps = [
            app(
                "sx_app_a",
                7,
                SecretHash::sha256_of(SECRET),
                Some(SessionKey::new(KEY)),
                AddressList::default(),
            ),
            app(BCRYPT_APP, 8, SecretHash::parse(bcrypt).unwrap(), None, fence),
        ];
        Self { apps: apps.map(Arc::new), asked: Cell::new(0), fails_at: None }
    }

    /// The look-up with this number, counted from 0, cannot be answered.
    pub(super) fn failing_at(number: usize) -> Self {
        Self { fails_at: Some(number), ..Self::new() }
    }

    pub(super) fn asked(&self) -> usize {
        self.asked.get()
    }

    fn ask<T>(&self, answer: Option<T>) -> Result<Option<T>, Unavailable> {
        let number = self.asked.replace(self.asked.get() + 1);
        if self.fails_at == Some(number) { Err(Unavailable) } else { Ok(answer) }
    }
}

impl Directory for Platform {
    fn app(&self, client_id: &str) -> Result<Option<Arc<App>>, Unavailable> {
        self.ask(self.apps.iter().find(|app| app.client_id.as_str() == client_id).cloned())
    }

    fn installation(&self, app: AppId, store: StoreId) -> Result<Option<Arc<Installation>>, Unavailable> {
        self.ask(installations().find(|known| known.app_id == app && known.store_id == store).map(Arc::new))
    }

    fn installation_by_id(&self, id: InstallationId) -> Result<Option<Arc<Installation>>, Unavailable> {
        self.ask(installations().find(|known| known.installation_id == id).map(Arc::new))
    }

    fn store(&self, id: StoreId) -> Result<Option<Arc<Store>>, Unavailable> {
        let status = match id.get() {
            22 => Some(StoreStatus::Active),
            24 => Some(StoreStatus::Suspended),
            _ => None,
        };
        self.ask(
            status.map(|status| Arc::new(Store { store_id: id, domain: None, status, header: id.header() })),
        )
    }

    fn access_token(&self, digest: &TokenDigest) -> Result<Option<Arc<AccessToken>>, Unavailable> {
        let known = TOKENS.iter().chain(&DEAD).position(|text| TokenDigest::of(text.as_bytes()) == *digest);
        self.ask(known.map(|number| {
            Arc::new(AccessToken {
                app_id: AppId(7),
                client_id: ClientId::parse("sx_app_a").unwrap(),
                store_id: StoreId::new(if number == 4 { 24 } else { 22 }).unwrap(),
                scopes: (number == 1).then(|| ScopeSet::parse("read:orders read:billing").unwrap()),
                expires_at: if number == 3 { NOW } else { NOW.plus(3600) },
                revoked: number == 2,
                secret_generation: None,
                subject: None,
            })
        }))
    }

    fn customer_token(&self, _: &TokenDigest) -> Result<Option<Arc<CustomerToken>>, Unavailable> {
        panic!("no route of these speaks a dialect that has them")
    }

    fn store_of_domain(&self, _: &str) -> Result<Option<StoreId>, Unavailable> {
        panic!("no route of these speaks a dialect that has them")
    }
}

fn app(id: &str, number: i64, secret: SecretHash, key: Option<SessionKey>, fence: AddressList) -> App {
    App {
        app_id: AppId(number),
        client_id: ClientId::parse(id).unwrap(),
        status: AppStatus::Enabled,
        secrets: [AppSecret::new(1, secret, None)].into(),
        session_key: key,
        allowed_addresses: fence,
        registration: Default::default(),
        header: HeaderValue::from_str(id).unwrap(),
    }
}

fn installations() -> impl Iterator<Item = Installation> {
    let all = [
        (501, "sx_app_a", 7, 22, "read:orders write:orders"),
        (502, "sx_app_a", 7, 24, "read:orders write:orders"),
        (511, BCRYPT_APP, 8, 22, "read:orders"),
    ];
    all.into_iter().map(|(id, client_id, app, store, scopes)| Installation {
        installation_id: InstallationId(id),
        app_id: AppId(app),
        client_id: ClientId::parse(client_id).unwrap(),
        store_id: StoreId::new(store).unwrap(),
        scopes: ScopeSet::parse(scopes).unwrap(),
        status: InstallationStatus::Active,
        header: HeaderValue::from(id),
    })
}
