//! What each command changes, and what it refuses.

use super::*;
use crate::gate::Directory;
use crate::model::{AppId, AppStatus, InstallationId, InstallationStatus, StoreStatus, TokenDigest};

#[test]
fn stores() {
    let fixture = Fixture::new();
    let mut writer = fixture.writer();
    done(writer.add_store(store(23), None, Some("Second.Example"), Some("org-1")));
    done(writer.set_store_status(store(22), StoreStatus::Suspended));
    let listed: Vec<_> = writer.stores(Page::ALL).unwrap();
    let shown: Vec<_> = listed
        .iter()
        .map(|s| {
            (s.store_id, s.name.as_str(), s.domain.as_deref(), s.organization.as_deref(), s.status.as_str())
        })
        .collect();
    assert_eq!(
        shown,
        [
            (22, "First", Some("first.example"), None, "suspended"),
            (23, "", Some("second.example"), Some("org-1"), "active")
        ]
    );
    assert_eq!(fixture.replica().store(store(22)).unwrap().unwrap().status, StoreStatus::Suspended);
    done(writer.set_store_status(store(22), StoreStatus::Active));
    assert_eq!(fixture.replica().store(store(22)).unwrap().unwrap().status, StoreStatus::Active);

    assert!(refused(writer.add_store(store(22), None, None, None)).contains("22 exists already"));
    let error = refused(writer.add_store(store(24), None, Some("FIRST.example"), None));
    assert!(error.contains("first.example belongs to another store"), "{error}");
    let error = refused(writer.set_store_status(store(99), StoreStatus::Active));
    assert!(error.contains("no store 99") && error.contains("storegate store add 99"), "{error}");
    for domain in ["", "a b", "a/b", "-a.example", "a..b", "http://a", "a:80", &"a".repeat(64), "é.example"]
    {
        refused(writer.add_store(store(25), None, Some(domain), None));
    }
    for name in ["a\nb", "\u{0}", &"x".repeat(201)] {
        refused(writer.add_store(store(25), Some(name), None, None));
        refused(writer.add_store(store(25), None, None, Some(name)));
    }
    refused(writer.add_store(store(25), None, None, Some("")));
    assert_eq!(writer.stores(Page::ALL).unwrap().len(), 2, "nothing refused left a trace");
}

#[test]
fn apps() {
    let fixture = Fixture::new();
    let mut writer = fixture.writer();
    let made = done(writer.create_app(NewApp { client_id: None, ..new_app("x") }));
    assert!(made.client_id.as_str().starts_with("sx_app_") && made.client_id.as_str().len() == 7 + 32);
    assert!(made.client_secret.expose().starts_with("sx_secret_"));
    assert_eq!(made.client_secret.expose().len(), 10 + 64);
    assert_eq!(made.session_signing_key.expose().len(), 64);
    assert!(accepts(&fixture.replica(), made.client_id.as_str(), made.client_secret.expose()));

    let own = Secret::new("my-own.secret~1".into());
    let given = NewApp {
        client_secret: Some(own.clone()),
        organization: Some("org-1".into()),
        allow: vec!["10.0.0.0/8".parse().unwrap()],
        ..new_app("given")
    };
    done(writer.create_app(given));
    let replica = fixture.replica();
    assert!(accepts(&replica, "given", own.expose()));
    assert!(!replica.app("given").unwrap().unwrap().allowed_addresses.contains([11, 0, 0, 1].into()));

    done(writer.set_app_status(&client("given"), AppStatus::Disabled));
    done(writer.set_allowed_addresses(&client("given"), &["192.0.2.0/24".parse().unwrap()]));
    let detail = writer.app(&client("given")).unwrap();
    assert_eq!((detail.app.status.as_str(), detail.app.scopes.as_str()), ("disabled", "read:orders"));
    assert_eq!(detail.app.allowed_addresses, ["192.0.2.0/24"]);
    assert!(detail.has_signing_key && detail.secrets.len() == 1 && detail.installations.is_empty());
    assert_eq!(detail.secrets[0].kind, SecretKind::Sha256);
    assert_eq!(fixture.replica().app("given").unwrap().unwrap().status, AppStatus::Disabled);
    done(writer.set_app_status(&client("given"), AppStatus::Enabled));
    let ids: Vec<_> = writer.apps(Page::ALL).unwrap().into_iter().map(|app| app.client_id).collect();
    assert_eq!(ids, ["sx_app_1", made.client_id.as_str(), "given"]);

    assert!(refused(writer.create_app(new_app("given"))).contains("given exists already"));
    refused(writer.create_app(NewApp { name: String::new(), ..new_app("a") }));
    refused(writer.create_app(NewApp { name: "a\u{7f}".into(), ..new_app("a") }));
    for secret in ["", "a b", "a,b", "a\tb", "é", "a\n", &"s".repeat(257)] {
        let new = NewApp { client_secret: Some(Secret::new(secret.into())), ..new_app("a") };
        let error = refused(writer.create_app(new));
        assert!(secret.len() < 3 || !error.contains(secret), "{error} shows the secret");
    }
    let many = vec!["10.0.0.0/8".parse().unwrap(); 257];
    refused(writer.set_allowed_addresses(&client("given"), &many));
    let error = refused(writer.set_app_status(&client("none"), AppStatus::Enabled));
    assert_eq!(error, "there is no app none; `storegate app list` shows them");
    refused(writer.set_allowed_addresses(&client("none"), &[]));
    refused(writer.app(&client("none")));
    let mut odd = fixture.writer().with_prefixes(Prefixes { client_id: "a b".into(), ..Prefixes::default() });
    refused(odd.create_app(NewApp { client_id: None, ..new_app("x") }));
    assert_eq!(writer.apps(Page::ALL).unwrap().len(), 3, "nothing refused left a trace");
}

#[test]
fn rotation_of_secrets() {
    let fixture = Fixture::new();
    let (mut writer, app) = (fixture.writer(), client("sx_app_1"));
    let hour = Some(Duration::from_secs(3600));
    let second = done(writer.rotate_secret(&app, hour));
    let both = fixture.replica();
    assert!(
        accepts(&both, "sx_app_1", fixture.secret.expose()) && accepts(&both, "sx_app_1", second.expose())
    );
    let secrets = writer.app(&app).unwrap().secrets;
    assert_eq!(secrets.iter().map(|s| s.generation).collect::<Vec<_>>(), [2, 1], "newest first");
    assert!(secrets[0].expires_at.is_none() && secrets[1].expires_at.is_some());

    // An overlap never lengthens a life, and the number of generations stays bounded.
    let first_end = secrets[1].expires_at;
    done(writer.rotate_secret(&app, Some(Duration::from_secs(86_400))));
    let secrets = writer.app(&app).unwrap().secrets;
    assert_eq!(secrets.last().unwrap().expires_at, first_end);
    let newest = (0..10).map(|_| done(writer.rotate_secret(&app, hour))).last().unwrap();
    assert_eq!(writer.app(&app).unwrap().secrets.len(), 5);
    assert!(!accepts(&fixture.replica(), "sx_app_1", fixture.secret.expose()));
    done(writer.rotate_secret(&app, Some(Duration::ZERO)));
    assert!(!accepts(&fixture.replica(), "sx_app_1", newest.expose()));

    let last = done(writer.rotate_secret(&app, None));
    assert_eq!(writer.app(&app).unwrap().secrets.len(), 1);
    assert!(accepts(&fixture.replica(), "sx_app_1", last.expose()));
    refused(writer.rotate_secret(&client("none"), None));
    refused(writer.rotate_signing_key(&client("none")));

    let key = done(writer.rotate_signing_key(&app));
    let signed = writer.session_claims(&app, store(22)).unwrap().key.sign(b"x");
    assert_eq!(signed, crate::model::SessionKey::new(key.expose()).sign(b"x"));
}

#[test]
fn installations() {
    let fixture = Fixture::new();
    let (mut writer, app) = (fixture.writer(), client("sx_app_1"));
    let seen = |scopes: &str, status: InstallationStatus| {
        let replica = fixture.replica();
        let found = replica.installation(AppId(1), store(22)).unwrap().unwrap();
        assert_eq!((found.scopes.as_str(), found.status), (scopes, status));
        assert_eq!(found.installation_id, InstallationId(fixture.installation), "the number stays");
        let by_id = replica.installation_by_id(found.installation_id).unwrap().unwrap();
        assert_eq!((by_id.store_id, by_id.client_id.as_str()), (store(22), "sx_app_1"));
    };
    seen("read:orders", InstallationStatus::Active);
    done(writer.install(&app, store(22), Some(&scopes("write:orders read:orders"))));
    seen("read:orders write:orders", InstallationStatus::Active);
    done(writer.uninstall(&app, store(22)));
    seen("read:orders write:orders", InstallationStatus::Uninstalled);
    refused(writer.session_claims(&app, store(22)));
    done(writer.uninstall(&app, store(22)));
    done(writer.install(&app, store(22), None));
    seen("read:orders", InstallationStatus::Active);
    let claims = writer.session_claims(&app, store(22)).unwrap();
    assert_eq!((claims.app_id, claims.installation_id), (1, fixture.installation));

    done(writer.add_store(store(23), None, None, None));
    refused(writer.install(&client("none"), store(22), None));
    refused(writer.install(&app, store(99), None));
    refused(writer.uninstall(&client("none"), store(22)));
    refused(writer.uninstall(&app, store(99)));
    assert!(refused(writer.uninstall(&app, store(23))).contains("`storegate install sx_app_1 23`"));
    refused(writer.session_claims(&app, store(23)));
    refused(writer.session_claims(&client("none"), store(22)));
    fixture.stranger().execute("UPDATE apps SET session_signing_key = NULL", []).unwrap();
    assert!(refused(writer.session_claims(&app, store(22))).contains("rotate-signing-key"));
}

#[test]
fn access_tokens() {
    let fixture = Fixture::new();
    let (mut writer, app) = (fixture.writer(), client("sx_app_1"));
    let replica = fixture.replica();
    let hour = Duration::from_secs(3600);
    let plain = done(writer.issue_token(&app, store(22), hour, None));
    assert!(plain.access_token.expose().starts_with("sx_at_") && plain.access_token.expose().len() == 6 + 64);
    let narrowed = done(writer.issue_token(&app, store(22), hour, Some(&scopes("read:orders"))));
    let look_up = |token: &Secret| {
        replica.catch_up().unwrap();
        replica.access_token(&TokenDigest::of(token.expose().as_bytes())).unwrap()
    };
    let found = look_up(&plain.access_token).unwrap();
    assert!(found.scopes.is_none() && !found.revoked && found.expires_at == plain.expires_at);
    assert_eq!(look_up(&narrowed.access_token).unwrap().scopes.as_ref().unwrap().as_str(), "read:orders");
    assert_eq!(done(writer.revoke_token(&plain.access_token)), Revocation::Revoked);
    assert_eq!(done(writer.revoke_token(&plain.access_token)), Revocation::Revoked);
    assert!(look_up(&plain.access_token).unwrap().revoked);
    assert!(!look_up(&narrowed.access_token).unwrap().revoked);
    assert_eq!(done(writer.revoke_token(&Secret::new("sx_at_none".into()))), Revocation::NotFound);

    refused(writer.issue_token(&client("none"), store(22), hour, None));
    refused(writer.issue_token(&app, store(99), hour, None));
    refused(writer.issue_token(&app, store(22), Duration::from_millis(999), None));
    refused(writer.issue_token(&app, store(22), Duration::MAX, None));
    done(writer.uninstall(&app, store(22)));
    refused(writer.issue_token(&app, store(22), hour, None));
}

#[test]
fn sweeping_removes_what_expired_in_small_steps() {
    let fixture = Fixture::new();
    let (mut writer, app) = (fixture.writer(), client("sx_app_1"));
    let issue = |writer: &mut Writer, life| {
        done(writer.issue_token(&app, store(22), Duration::from_secs(life), None)).expires_at
    };
    assert_eq!(writer.sweep_expired(None, 10, Timestamp::now()).unwrap(), Swept { removed: 0, next: None });
    let expired = (0..25).map(|_| issue(&mut writer, 100)).max().unwrap();
    let _ = (0..10).map(|_| issue(&mut writer, 100_000)).max();
    let (mut next, mut removed, mut steps) = (None, 0, 0);
    loop {
        let swept = writer.sweep_expired(next, 7, expired).unwrap();
        assert!(swept.removed <= 7);
        (removed, steps, next) = (removed + swept.removed, steps + 1, swept.next);
        if next.is_none() {
            break;
        }
    }
    assert_eq!((removed, steps), (25, 6));
    let left: i64 =
        fixture.stranger().query_row("SELECT count(*) FROM access_tokens", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 10);
}

#[test]
fn a_writer_that_waits_too_long_says_what_holds_it() {
    let fixture = Fixture::new();
    let mut writer = fixture.writer();
    writer.conn.busy_timeout(Duration::from_millis(1)).unwrap();
    let other = fixture.stranger();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = refused(writer.set_store_status(store(22), StoreStatus::Suspended));
    assert!(error.contains("locked by another writer"), "{error}");
    other.execute_batch("COMMIT").unwrap();
    done(writer.set_store_status(store(22), StoreStatus::Suspended));
}

#[test]
fn nothing_in_clear_reaches_the_file() {
    let fixture = Fixture::new();
    let mut writer = fixture.writer();
    let own = Secret::new("a-secret-of-my-own".into());
    done(writer.create_app(NewApp { client_secret: Some(own.clone()), ..new_app("sx_app_2") }));
    let rotated = done(writer.rotate_secret(&client("sx_app_1"), None));
    let token = done(writer.issue_token(&client("sx_app_1"), store(22), Duration::from_secs(60), None));
    let files = std::fs::read_dir(fixture.folder.path()).unwrap();
    let bytes: Vec<u8> = files.flat_map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect();
    for secret in [&fixture.secret, &own, &rotated, &token.access_token] {
        let text = secret.expose().as_bytes();
        assert!(!bytes.windows(text.len()).any(|window| window == text));
    }
}

#[test]
fn signing_keys_are_sealed_with_a_key_file() {
    let fixture = Fixture::new();
    let (path, app) = (fixture.path(), client("sx_app_1"));
    let key = done(fixture.writer().rotate_signing_key(&app));
    let stored = || -> String {
        let sql = "SELECT session_signing_key FROM apps WHERE client_id = 'sx_app_1'";
        fixture.stranger().query_row(sql, [], |row| row.get(0)).unwrap()
    };
    let works = |replica: &Replica| {
        let found = replica.app("sx_app_1").unwrap().unwrap();
        found.session_key.as_ref().unwrap().sign(b"x")
            == crate::model::SessionKey::new(key.expose()).sign(b"x")
    };
    assert_eq!(stored(), key.expose(), "plain without a key file");

    let key_file = fixture.folder.path().join("replica.key");
    let sealed = Options { key_file: Some(key_file.clone()), ..options() };
    let replica = Replica::open(&path, sealed.clone()).unwrap();
    assert!(stored().starts_with("xchacha20poly1305:") && works(&replica), "opening seals");
    assert!(works(&Replica::open(&path, sealed.clone()).unwrap()));
    drop(replica);
    for file in ["storegate.db", "storegate.db-wal"] {
        let bytes = std::fs::read(fixture.folder.path().join(file)).unwrap_or_default();
        let text = key.expose().as_bytes();
        assert!(!bytes.windows(text.len()).any(|window| window == text), "{file} still has the plain key");
    }
    // A writer with the key seals what it makes.
    let mut writer = Writer::open(&path, Some(&key_file)).unwrap();
    done(writer.create_app(new_app("sx_app_2")));
    done(writer.install(&client("sx_app_2"), store(22), None));
    writer.session_claims(&client("sx_app_2"), store(22)).unwrap();

    // No key file configured, another key, no file: refused with a text that says what to do.
    let error = Replica::open(&path, options()).unwrap_err().to_string();
    assert!(error.contains("set replica.key_file"), "{error}");
    assert!(Writer::open(&path, None).is_err());
    let other = fixture.folder.path().join("other.key");
    let wrong = Options { key_file: Some(other.clone()), ..options() };
    let error = Replica::open(&path, wrong.clone()).unwrap_err();
    assert!(matches!(error, OpenError::Key(KeyError::Missing(_))) && !other.exists(), "{error}");
    std::fs::copy(&key_file, &other).unwrap();
    std::fs::write(&other, "0".repeat(64)).unwrap();
    let error = Replica::open(&path, wrong).unwrap_err();
    assert!(matches!(error, OpenError::Key(KeyError::Wrong(_))), "{error}");

    // A sealed key moved to another app opens nothing, and that is "cannot tell".
    let moved = "UPDATE apps SET session_signing_key =
        (SELECT session_signing_key FROM apps WHERE client_id = 'sx_app_2') WHERE client_id = 'sx_app_1'";
    fixture.stranger().execute(moved, []).unwrap();
    let replica = Replica::open(&path, sealed).unwrap();
    assert!(replica.app("sx_app_1").is_err() && replica.app("sx_app_2").is_ok());
    assert!(refused(writer.session_claims(&app, store(22))).contains("cannot be opened"));
}
