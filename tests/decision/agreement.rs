//! The gate against its model, over generated platforms and requests.

use std::collections::BTreeMap;
use std::sync::Mutex;

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};

use crate::model::{self, SessionSpec};
use crate::request::{HS256, Request, json, jws, send};
use crate::stage::judge;
use crate::world::{
    APP, FENCED, FENCED_KEY, FENCED_SECRET, FENCED_TOKEN, KEY, LEGACY, LEGACY_SECRET, NOW, OFF, OFF_KEY,
    OFF_SECRET, OFF_TOKEN, Platform, READER, SECRET, SUSPENDED, TOKEN, secret,
};

const METHODS: [&str; 6] = ["GET", "GET", "HEAD", "POST", "DELETE", "OPTIONS"];

const TARGETS: [&str; 30] = [
    "/api/apps/v1/orders",
    "/api/apps/v1/orders",
    "/api/apps/v1/orders/7",
    "/api/apps/v1/ORDERS/",
    "/API/apps/v1/orders//7",
    "/api/apps/v1/customers",
    "/api/apps/v1/%6frders",
    "/api/apps/v1/x/../orders",
    "/api/apps/v1/bulk",
    "/api/apps/v1/billing/x",
    "/api/apps/v1/whoami",
    "/api/apps/v1/whoami/",
    "/api/apps/v1/whoami/x",
    "/api/apps/v1/embedded",
    "/api/apps/v1/servers",
    "/api/apps/v1/tokens",
    "/public/x",
    "/dashboard",
    "/public/../api/apps/v1/orders",
    "/api/apps/v1/orders/..",
    "/api/apps/v1/orders//",
    "/api/apps/v1//orders",
    "/",
    "/nowhere",
    "/..",
    "/api/apps/v1/a%2Fb",
    "/api/apps/v1/%zz",
    "/api/apps/v1/%252e%252e/x",
    "*",
    "/api/apps/v1/a%0a",
];

const QUERIES: [&str; 10] = [
    "",
    "",
    "",
    "store_id=22",
    "store_id=23",
    "a=1&store_id=%32%32",
    "store_id=22&store_id=22",
    "store_id=",
    "store_id=abc",
    "store_id=+22",
];

const STORES: [&str; 9] = ["22", "22", "23", "24", "25", "", "022", "22, 23", "4711"];

/// Lines that are added to a request without regard to what it has.
const ODD_LINES: [(&str, &str); 22] = [
    ("authorization", ""),
    ("authorization", "Bearer"),
    ("authorization", "Basic YTpi"),
    ("authorization", "Bearer shpat_1"),
    ("authorization", "Bearer a.b.c"),
    ("authorization", "Bearer sx_at_"),
    ("authorization", "Bearer sx_at_a, sx_at_b"),
    ("x-client-id", ""),
    ("x-client-id", APP),
    ("x-client-id", "a b"),
    ("x-client-secret", ""),
    ("x-client-secret", SECRET),
    ("x-client-secret", "a b"),
    ("x-store-id", "22"),
    ("x-store-id", ""),
    ("x_store_id", "23"),
    ("x.client.id", APP),
    ("host", "api.test"),
    ("connection", "close, X_Scopes"),
    ("connection", "keep-alive"),
    ("content-length", "5"),
    ("transfer-encoding", "chunked"),
];

/// One way in which a platform differs from the usual one.
#[derive(Debug, Clone, Copy)]
enum Change {
    Disable(&'static str),
    Forget(&'static str),
    Uninstall(i64),
    Scopes(i64, &'static str),
    Suspend(u64),
    LoseStore(u64),
    Revoke(&'static str),
    TokenScopes(&'static str),
    TokenStore(u64),
    Rotate(bool, i64),
    Fence,
    NewNumber,
    NewKey,
}

impl Change {
    fn apply(self, platform: &mut Platform) {
        match self {
            Self::Disable(id) => {
                platform.apps.iter_mut().filter(|app| app.client_id == id).for_each(|app| app.enabled = false)
            }
            Self::Forget(id) => platform.apps.retain(|app| app.client_id != id),
            Self::Uninstall(id) => platform.installation(id).active = false,
            Self::Scopes(id, scopes) => platform.installation(id).scopes = scopes.into(),
            Self::Suspend(id) => platform
                .stores
                .iter_mut()
                .filter(|store| store.id == id)
                .for_each(|store| store.suspended = true),
            Self::LoseStore(id) => platform.stores.retain(|store| store.id != id),
            Self::Revoke(text) => platform.token(text).revoked = true,
            Self::TokenScopes(scopes) => platform.token(READER).scopes = Some(scopes.into()),
            Self::TokenStore(store) => platform.token(TOKEN).store = store,
            Self::Rotate(bcrypt, end) => {
                for app in platform.apps.iter_mut().filter(|app| app.client_id == APP) {
                    app.secrets[0].expires_at = Some(NOW + end);
                    app.secrets.insert(0, secret("rotated-secret", bcrypt, None));
                }
            }
            Self::Fence => {
                for app in platform.apps.iter_mut().filter(|app| app.client_id == APP) {
                    app.addresses = vec!["203.0.113.0/24".into()];
                }
            }
            Self::NewNumber => {
                platform.apps.iter_mut().filter(|app| app.client_id == APP).for_each(|app| app.app_id = 70)
            }
            Self::NewKey => platform
                .apps
                .iter_mut()
                .filter(|app| app.client_id == APP)
                .for_each(|app| app.signing_key = Some("new-key".into())),
        }
    }
}

fn change() -> impl Strategy<Value = Change> {
    let app = || select(&[APP, LEGACY, FENCED][..]);
    let installation = || select(&[501, 502, 511, 521][..]);
    let scopes = || {
        select(
            &[
                "",
                "read:orders",
                "write:orders",
                "read:orders write:orders read:customers",
                "write:customers billing",
            ][..],
        )
    };
    prop_oneof![
        app().prop_map(Change::Disable),
        app().prop_map(Change::Forget),
        installation().prop_map(Change::Uninstall),
        (installation(), scopes()).prop_map(|(id, scopes)| Change::Scopes(id, scopes)),
        select(&[22, 23][..]).prop_map(Change::Suspend),
        select(&[22, 23][..]).prop_map(Change::LoseStore),
        select(&[TOKEN, READER][..]).prop_map(Change::Revoke),
        scopes().prop_map(Change::TokenScopes),
        select(&[23, 24, 26][..]).prop_map(Change::TokenStore),
        (any::<bool>(), select(&[0, 1, 600][..])).prop_map(|(bcrypt, end)| Change::Rotate(bcrypt, end)),
        Just(Change::Fence),
        Just(Change::NewNumber),
        Just(Change::NewKey),
    ]
}

fn session() -> impl Strategy<Value = SessionSpec> {
    let names = prop_oneof![
        6 => Just((22, 501, 7)), 2 => Just((23, 502, 7)), 1 => Just((24, 503, 7)), 1 => Just((25, 504, 7)), 1 => Just((22, 521, 9)),
        1 => Just((22, 531, 10)), 1 => Just((23, 501, 7)), 1 => Just((22, 501, 8)), 1 => Just((22, 999, 7)), 1 => Just((22, 511, 8)),
    ];
    let key = prop_oneof![8 => Just(""), 1 => Just(SECRET), 1 => Just(KEY)];
    let times = prop_oneof![
        8 => Just((0, 600)), 1 => Just((-599, 1)), 1 => Just((-600, 0)), 1 => Just((10, 610)), 1 => Just((11, 600)), 1 => Just((0, 601)), 1 => Just((5, 5)),
    ];
    (names, key, times, prop::bool::weighted(0.9)).prop_map(
        |((store, installation, app_id), key, (iat, exp), hs256)| {
            let own_key = match installation {
                521 => FENCED_KEY,
                531 => OFF_KEY,
                _ => KEY,
            };
            let key = if key.is_empty() { own_key } else { key };
            let (iat, exp) = (NOW + iat, NOW + exp);
            let payload = json(&[
                ("sub", store.to_string()),
                ("sid", installation.to_string()),
                ("app_id", app_id.to_string()),
                ("iat", iat.to_string()),
                ("exp", exp.to_string()),
            ]);
            let header = if hs256 { HS256 } else { r#"{"alg":"HS512"}"# };
            SessionSpec {
                text: jws(header, &payload, key),
                hs256,
                key: key.into(),
                store,
                installation,
                app_id,
                iat,
                exp,
            }
        },
    )
}

/// What a request presents, before odd lines are added.
#[derive(Debug, Clone)]
enum Shown {
    Nothing,
    Pair(&'static str, &'static str),
    Token(&'static str),
    Session(SessionSpec),
}

fn shown() -> impl Strategy<Value = Shown> {
    let pairs = [
        (APP, SECRET),
        (APP, SECRET),
        (APP, "rotated-secret"),
        (LEGACY, LEGACY_SECRET),
        (FENCED, FENCED_SECRET),
        (OFF, OFF_SECRET),
        (APP, "wrong-secret"),
        (APP, LEGACY_SECRET),
        (LEGACY, SECRET),
        ("sx_app_0", SECRET),
        ("", SECRET),
        (APP, ""),
        (APP, "a b"),
        ("a b", SECRET),
    ];
    let tokens = [
        TOKEN,
        TOKEN,
        READER,
        READER,
        SUSPENDED,
        FENCED_TOKEN,
        OFF_TOKEN,
        "sx_at_unknown",
        "sx_rt_1",
        "a.b",
        "",
    ];
    prop_oneof![
        1 => Just(Shown::Nothing),
        4 => select(pairs.to_vec()).prop_map(|(id, secret)| Shown::Pair(id, secret)),
        4 => select(tokens.to_vec()).prop_map(Shown::Token),
        4 => session().prop_map(Shown::Session),
    ]
}

#[derive(Debug, Clone)]
struct Case {
    changes: Vec<Change>,
    sessions: Vec<SessionSpec>,
    request: Request,
}

prop_compose! {
    fn case()(
        changes in prop::collection::vec(change(), 0..3),
        shown in shown(),
        method in select(&METHODS[..]),
        target in prop_oneof![select(&TARGETS[..2]), select(&TARGETS[..])],
        query in select(&QUERIES[..]),
        store in prop::option::of(select(&STORES[..])),
        odd in prop_oneof![3 => Just(Vec::new()), 1 => prop::collection::vec(select(&ODD_LINES[..]), 1..3)],
        preflight in prop::bool::weighted(0.2),
        peer in select(&["203.0.113.9", "192.0.2.1"][..]),
        later in select(&[0, 0, 0, 1, 599, 600, 3600][..]),
    ) -> Case {
        let mut request = send(method, target).from(peer).at(NOW + later);
        if !query.is_empty() {
            request = request.query(query);
        }
        let mut sessions = Vec::new();
        request = match shown {
            Shown::Nothing => request,
            Shown::Pair(id, secret) => request.client(id, secret),
            Shown::Token(token) => request.bearer(token),
            Shown::Session(session) => {
                sessions.push(session.clone());
                request.bearer(&session.text)
            }
        };
        request = store.into_iter().fold(request, Request::store);
        request = odd.into_iter().fold(request, |request, (name, value)| request.line(name, value));
        if preflight {
            request = request.preflight();
        }
        Case { changes, sessions, request }
    }
}

#[test]
fn the_gate_agrees_with_its_model() {
    let seen: Mutex<BTreeMap<String, usize>> = Mutex::default();
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::with_cases(3000) });
    let outcome = runner.run(&case(), |case| {
        let mut platform = Platform::usual();
        for change in &case.changes {
            change.apply(&mut platform);
        }
        let expected = model::summary(&platform, &case.sessions, &case.request);
        let outcome = judge(&platform, &case.request);
        let words: Vec<&str> = expected.splitn(3, ' ').collect();
        let kind =
            if words[0].chars().all(|c| c.is_ascii_digit()) { words[..2].join(" ") } else { words[0].into() };
        *seen.lock().unwrap().entry(kind).or_default() += 1;
        prop_assert_eq!(outcome.summary, expected);
        Ok(())
    });
    let seen = seen.into_inner().unwrap();
    if let Err(error) = outcome {
        panic!("{error}\nseen so far: {seen:?}");
    }
    // The generator reaches every outcome that one request can have by itself.
    for kind in [
        "client_credentials",
        "oauth",
        "session",
        "anonymous",
        "upstream",
        "400 invalid_request",
        "400 missing_store_id",
        "400 invalid_store_id",
        "401 missing_token",
        "401 invalid_token",
        "401 invalid_client",
        "401 not_installed",
        "401 credential_not_accepted",
        "403 insufficient_scope",
        "403 ip_not_allowed",
        "403 store_suspended",
        "403 store_mismatch",
        "404 not_found",
        "405 method_not_allowed",
    ] {
        assert!(seen.contains_key(kind), "{kind} is never generated: {seen:?}");
    }
}
