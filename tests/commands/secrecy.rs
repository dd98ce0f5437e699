//! A secret is printed once and is never anywhere else in clear.

use serde_json::Value;

use crate::common::world::{self, MAIN, bearer, pair};
use crate::common::{Gateway, Place, Settings};

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

fn is_absent(gateway: &Gateway, what: &str, secret: &str) {
    assert!(!contains(&gateway.place.replica_bytes(), secret), "{what} is in the replica's files");
    assert!(!gateway.said().contains(secret), "{what} is in the log");
    assert!(!gateway.admin("/metrics").text().contains(secret), "{what} is in the metrics");
}

fn made(place: &Place, arguments: &[&str], name: &str) -> String {
    let value: Value = place.json(arguments);
    let secret = value[name].as_str().unwrap().to_owned();
    assert_eq!(value.to_string().matches(&secret).count(), 1, "{value}");
    secret
}

/// Everything that the commands make, used on a running gateway, right and wrong.
fn life(gateway: &Gateway) -> Vec<(&'static str, String)> {
    let place = &gateway.place;
    let app = place.json(&["app", "create", "--name", "x", "--scopes", "read:orders"]);
    let id = app["client_id"].as_str().unwrap();
    place.ok(&["install", id, "22"]);
    let token = made(place, &["token", "issue", id, "22"], "access_token");
    let second = made(place, &["token", "issue", id, "22"], "access_token");
    let session = made(place, &["session", "mint", id, "22"], "session_token");
    let first = app["client_secret"].as_str().unwrap().to_owned();
    let rotated = made(place, &["app", "rotate-secret", id, "--overlap", "1h"], "client_secret");
    let own = "an-own-secret-of-somebody";
    place.ok(&["app", "create", "--name", "y", "--client-secret", own]);
    for lines in [
        [pair(id, &first), vec!["X-Store-Id: 22".into()]].concat(),
        [pair(id, &rotated), vec!["X-Store-Id: 22".into()]].concat(),
        bearer(&token),
        bearer(&session),
    ] {
        assert_eq!(gateway.orders(&lines), 200);
    }
    for lines in [
        pair(id, &format!("{rotated}x")),
        pair("sx_app_nobody", &first),
        bearer(&format!("{token}x")),
        bearer(&format!("{session}x")),
        [bearer(&token), pair(id, &first)].concat(),
    ] {
        assert!(gateway.orders(&lines) >= 400);
    }
    gateway.ask(&format!("GET /api/apps/v1/orders?access_token={token}"), &[""; 0]);
    gateway.ask(&format!("GET /unknown/{token}"), &[""; 0]);
    place.ok(&["token", "revoke", &second]);
    assert_eq!(place.run(&["token", "revoke", &format!("{token}x")]).code, 1);
    for arguments in [&["app", "show", id][..], &["app", "list"], &["store", "list"], &["check"]] {
        let said = format!("{}{}", place.ok(arguments), place.json(arguments));
        for secret in [&first, &rotated, &token, &second] {
            assert!(!said.contains(secret.as_str()), "{arguments:?}");
        }
    }
    vec![
        ("the first secret", first),
        ("the rotated secret", rotated),
        ("the chosen secret", own.to_owned()),
        ("the token", token),
        ("the revoked token", second),
        ("the session token", session),
    ]
}

#[test]
fn secrets_are_nowhere_in_clear() {
    let gateway = Gateway::start(&Settings::default());
    for (what, secret) in life(&gateway) {
        is_absent(&gateway, what, &secret);
    }
    for app in world::APPS {
        is_absent(&gateway, "an imported secret", app.secret);
    }
    for token in world::TOKENS {
        is_absent(&gateway, "an imported token", token);
    }
    // Signing keys are needed in clear; they are where they are kept, and nowhere else.
    let said = gateway.said();
    assert!(world::APPS.iter().all(|app| !said.contains(app.signing_key)));
}

#[test]
fn with_a_key_file_signing_keys_are_sealed_too() {
    let toml = Settings::default();
    let upstream = crate::common::RecordingUpstream::start();
    let toml = toml.toml(&upstream.address.to_string());
    let toml = toml.replace("path = \"storegate.db\"", "path = \"storegate.db\"\nkey_file = \"replica.key\"");
    let place = Place::with(&toml);
    place.seed();
    let gateway = Gateway::start_in(place, upstream);
    let new = made(&gateway.place, &["app", "rotate-signing-key", MAIN.client_id], "session_signing_key");
    let session = crate::common::Session::of(&MAIN, 22, 501).key(new.as_str()).token();
    assert_eq!(gateway.orders(&bearer(&session)), 200);
    is_absent(&gateway, "the new key", &new);
    for app in world::APPS {
        is_absent(&gateway, "an imported key", app.signing_key);
    }
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(gateway.place.path("replica.key")).unwrap().permissions(),
    );
    assert_eq!(mode & 0o077, 0, "{mode:o}");
}
