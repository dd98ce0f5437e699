//! The platform that the tests know: stores, apps, installations and tokens with their clear values.
//!
//! Store 22 is the ordinary one; 23 has another app only; 24 is suspended; 25 has no app.

use data_encoding::HEXLOWER;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::now;

/// An app with everything that only its owner knows.
pub(crate) struct App {
    pub(crate) app_id: u64,
    pub(crate) client_id: &'static str,
    pub(crate) secret: &'static str,
    pub(crate) signing_key: &'static str,
}

/// Installed in 22 (501), uninstalled from 23 (503), installed in the suspended 24 (502).
pub(crate) const MAIN: App = App {
    app_id: 7,
    client_id: "sx_app_11111111111111111111111111111111",
    secret: "sx_secret_1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a",
    signing_key: "1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b",
};

/// Its secret was taken over as bcrypt; installed in 22 (504) with `read:orders`.
pub(crate) const BCRYPT: App = App {
    app_id: 8,
    client_id: "sx_app_22222222222222222222222222222222",
    secret: "sx_secret_2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a",
    signing_key: "2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b",
};

/// Disabled; installed in 22 (505).
pub(crate) const DISABLED: App = App {
    app_id: 9,
    client_id: "sx_app_33333333333333333333333333333333",
    secret: "sx_secret_3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a",
    signing_key: "3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b",
};

/// Installed in 23 (506) only.
pub(crate) const OTHER: App = App {
    app_id: 10,
    client_id: "sx_app_44444444444444444444444444444444",
    secret: "sx_secret_4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a",
    signing_key: "4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b",
};

/// Installed in 22 (507); tests that bind it to addresses do so with `app allow-ip`.
pub(crate) const BOUND: App = App {
    app_id: 11,
    client_id: "sx_app_55555555555555555555555555555555",
    secret: "sx_secret_5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a",
    signing_key: "5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b",
};

pub(crate) const APPS: [&App; 5] = [&MAIN, &BCRYPT, &DISABLED, &OTHER, &BOUND];

/// What the app is installed in 22 with.
pub(crate) const MAIN_SCOPES: &str = "read:orders read:products write:orders";

/// Of [`MAIN`] in 22, without scopes of its own.
pub(crate) const TOKEN: &str = "sx_at_a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0";
/// Of [`MAIN`] in 22, `read:orders` and `read:customers`; the installation lacks the latter.
pub(crate) const TOKEN_OWN_SCOPES: &str =
    "sx_at_a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1";
pub(crate) const TOKEN_EXPIRED: &str =
    "sx_at_a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2";
pub(crate) const TOKEN_REVOKED: &str =
    "sx_at_a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3";
/// Of [`DISABLED`] in 22.
pub(crate) const TOKEN_DISABLED: &str =
    "sx_at_a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4";
/// Of [`MAIN`] in 23, from which it was uninstalled.
pub(crate) const TOKEN_UNINSTALLED: &str =
    "sx_at_a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5";
/// Of [`MAIN`] in the suspended store.
pub(crate) const TOKEN_SUSPENDED: &str =
    "sx_at_a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6";
/// Of [`BOUND`] in 22.
pub(crate) const TOKEN_BOUND: &str = "sx_at_a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7";
/// Nobody's.
pub(crate) const TOKEN_UNKNOWN: &str =
    "sx_at_a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8";

pub(crate) const TOKENS: [&str; 8] = [
    TOKEN,
    TOKEN_OWN_SCOPES,
    TOKEN_EXPIRED,
    TOKEN_REVOKED,
    TOKEN_DISABLED,
    TOKEN_UNINSTALLED,
    TOKEN_SUSPENDED,
    TOKEN_BOUND,
];

/// Everything of this world that must never be seen in a file, a log or an upstream's request.
pub(crate) fn secrets() -> Vec<&'static str> {
    let of_apps = APPS.iter().flat_map(|app| [app.secret, app.signing_key]);
    of_apps.chain(TOKENS).collect()
}

pub(crate) fn sha256(text: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(text.as_bytes()))
}

/// The world as import records, one a line.
pub(crate) fn records() -> String {
    let store = |id: u64, status: &str| {
        json!({"type": "store", "store_id": id, "name": format!("Store {id}"),
               "domain": format!("store-{id}.example.test"), "status": status})
    };
    let app = |app: &App, status: &str, hash: String| {
        json!({"type": "app", "client_id": app.client_id, "app_id": app.app_id,
               "name": format!("App {}", app.app_id), "secret_hash": hash, "status": status,
               "session_signing_key": app.signing_key, "scopes": MAIN_SCOPES})
    };
    let plain = |app: &App| format!("sha256:{}", sha256(app.secret));
    let installation = |id: u64, app: &App, store: u64, scopes: &str, status: &str| {
        json!({"type": "installation", "installation_id": id, "client_id": app.client_id,
               "store_id": store, "scopes": scopes, "status": status})
    };
    let later = now() + 3600;
    let token = |token: &str, app: &App, store: u64| {
        json!({"type": "access_token", "token_hash": sha256(token), "client_id": app.client_id,
               "store_id": store, "expires_at": later})
    };
    let with = |mut record: serde_json::Value, name: &str, value: serde_json::Value| {
        record[name] = value;
        record
    };
    let all = [
        store(22, "active"),
        store(23, "active"),
        store(24, "suspended"),
        store(25, "active"),
        app(&MAIN, "enabled", plain(&MAIN)),
        app(&BCRYPT, "enabled", bcrypt::hash(BCRYPT.secret, 4).unwrap()),
        app(&DISABLED, "disabled", plain(&DISABLED)),
        app(&OTHER, "enabled", plain(&OTHER)),
        app(&BOUND, "enabled", plain(&BOUND)),
        installation(501, &MAIN, 22, MAIN_SCOPES, "active"),
        installation(502, &MAIN, 24, MAIN_SCOPES, "active"),
        installation(503, &MAIN, 23, MAIN_SCOPES, "uninstalled"),
        installation(504, &BCRYPT, 22, "read:orders", "active"),
        installation(505, &DISABLED, 22, MAIN_SCOPES, "active"),
        installation(506, &OTHER, 23, MAIN_SCOPES, "active"),
        installation(507, &BOUND, 22, MAIN_SCOPES, "active"),
        token(TOKEN, &MAIN, 22),
        with(token(TOKEN_OWN_SCOPES, &MAIN, 22), "scopes", json!("read:orders read:customers")),
        with(token(TOKEN_EXPIRED, &MAIN, 22), "expires_at", json!(now() - 1)),
        with(token(TOKEN_REVOKED, &MAIN, 22), "revoked_at", json!(now() - 1)),
        token(TOKEN_DISABLED, &DISABLED, 22),
        token(TOKEN_UNINSTALLED, &MAIN, 23),
        token(TOKEN_SUSPENDED, &MAIN, 24),
        token(TOKEN_BOUND, &BOUND, 22),
    ];
    all.iter().map(|record| format!("{record}\n")).collect()
}

/// The three field lines of client credentials.
pub(crate) fn client(app: &App, store: &str) -> Vec<String> {
    let mut lines = pair(app.client_id, app.secret);
    lines.push(format!("X-Store-Id: {store}"));
    lines
}

/// A client id and a secret.
pub(crate) fn pair(id: &str, secret: &str) -> Vec<String> {
    vec![format!("X-Client-Id: {id}"), format!("X-Client-Secret: {secret}")]
}

/// The field line of a bearer token.
pub(crate) fn bearer(token: &str) -> Vec<String> {
    vec![format!("Authorization: Bearer {token}")]
}
