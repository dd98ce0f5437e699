//! The audit record: nothing changes without an entry, and no entry holds a secret.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;

use super::super::housekeeping::{Walked, tidy};
use super::super::schema::{APPLICATION_ID, MIGRATIONS};
use super::*;
use crate::model::{
    AppStatus, ClientType, KeyPurpose, PasswordHash, Permission, RedirectUri, StoreStatus, StoredKey,
    TokenDigest, UserStatus,
};

fn entries(fixture: &Fixture) -> Vec<AuditEntry> {
    fixture.writer().audit(&AuditFilter::default(), Page::ALL).unwrap()
}

/// The sources of this folder, tests apart, with their names.
fn sources() -> Vec<(String, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true if path.ends_with("tests") => {}
                true => walk(&path, found),
                false => found.push(path),
            }
        }
    }
    let mut found = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/replica"), &mut found);
    let read = |path: &PathBuf| {
        let text = fs::read_to_string(path).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap().to_owned();
        (path.file_name().unwrap().to_str().unwrap().to_owned(), code)
    };
    found.iter().map(read).collect()
}

/// The public functions that give a [`Committed`], by name.
fn changing() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (_, code) in sources() {
        for function in code.split("    pub fn ").skip(1) {
            let signature = function.split('{').next().unwrap();
            if signature.contains("-> Result<Committed<") {
                names.insert(signature.split(['(', '<']).next().unwrap().to_owned());
            }
        }
    }
    names
}

/// A change: the method's name, the entry's action and subject, and the call.
type Change<'c> = (&'static str, Action, String, Box<dyn FnOnce(&mut Writer) -> Vec<Secret> + 'c>);

#[test]
fn every_change_leaves_one_entry_and_no_secret() {
    let fixture = Fixture::new();
    let app = client("sx_app_1");
    let own = Secret::new("a-secret-of-my-own".into());
    let token = done(fixture.writer().issue_token(&app, store(22), Duration::from_secs(60), None));
    let digest = TokenDigest::of(token.access_token.expose().as_bytes());
    let hex = HEXLOWER.encode(&digest.0);
    done(fixture.writer().add_operator("ada", &[Permission::ViewApps]));
    let before: BTreeSet<i64> = entries(&fixture).iter().map(|entry| entry.seq).collect();
    assert_eq!(before.len(), 5, "the fixture's three changes and two more");

    let none = |change: Result<Committed<()>, WriteError>| -> Vec<Secret> {
        done(change);
        Vec::new()
    };
    let line = r#"{"type":"store","store_id":30,"name":"x"}"#;
    let changes: Vec<Change<'_>> = vec![
        ("add_store", Action::AddStore, "store:23".into(), {
            Box::new(|w| none(w.add_store(store(23), Some("S"), Some("s.example"), Some("o"))))
        }),
        ("set_store_status", Action::SuspendStore, "store:22".into(), {
            Box::new(|w| none(w.set_store_status(store(22), StoreStatus::Suspended)))
        }),
        ("set_store_status", Action::ResumeStore, "store:22".into(), {
            Box::new(|w| none(w.set_store_status(store(22), StoreStatus::Active)))
        }),
        ("create_app", Action::CreateApp, "app:sx_app_2".into(), {
            let redirect_uris = vec!["https://app.example/back".to_owned()];
            let new = NewApp { client_secret: Some(own.clone()), redirect_uris, ..new_app("sx_app_2") };
            Box::new(|w| {
                let made = done(w.create_app(new));
                vec![made.client_secret, made.session_signing_key]
            })
        }),
        ("set_app_status", Action::DisableApp, "app:sx_app_1".into(), {
            Box::new(|w| none(w.set_app_status(&app, AppStatus::Disabled)))
        }),
        ("set_app_status", Action::EnableApp, "app:sx_app_1".into(), {
            Box::new(|w| none(w.set_app_status(&app, AppStatus::Enabled)))
        }),
        ("set_allowed_addresses", Action::AllowAddresses, "app:sx_app_1".into(), {
            let networks = ["10.0.0.0/8".parse().unwrap()];
            Box::new(move |w| none(w.set_allowed_addresses(&client("sx_app_1"), &networks)))
        }),
        ("rotate_secret", Action::RotateSecret, "app:sx_app_1".into(), {
            Box::new(|w| vec![done(w.rotate_secret(&app, Some(Duration::from_secs(60))))])
        }),
        ("revoke_old_secrets", Action::RevokeOldSecrets, "app:sx_app_1".into(), {
            Box::new(|w| none(w.revoke_old_secrets(&app)))
        }),
        ("rotate_signing_key", Action::RotateSigningKey, "app:sx_app_1".into(), {
            Box::new(|w| vec![done(w.rotate_signing_key(&app))])
        }),
        ("install", Action::Install, "app:sx_app_2".into(), {
            Box::new(|w| {
                done(w.install(&client("sx_app_2"), store(22), Some(&scopes("read:orders"))));
                Vec::new()
            })
        }),
        ("uninstall", Action::Uninstall, "app:sx_app_2".into(), {
            Box::new(|w| none(w.uninstall(&client("sx_app_2"), store(22))))
        }),
        ("revoke_token", Action::RevokeToken, format!("token:{hex}"), {
            Box::new(|w| {
                done(w.revoke_token(&token.access_token));
                vec![token.access_token.clone()]
            })
        }),
        ("revoke_token_by_digest", Action::RevokeToken, format!("token:{hex}"), {
            Box::new(|w| {
                done(w.revoke_token_by_digest(&digest));
                Vec::new()
            })
        }),
        ("add_operator", Action::AddOperator, "operator:eve".into(), {
            Box::new(|w| vec![done(w.add_operator("eve", &[Permission::ViewApps])).token])
        }),
        ("set_permissions", Action::SetPermissions, "operator:ada".into(), {
            Box::new(|w| none(w.set_permissions("ada", &[Permission::ViewAudit])))
        }),
        ("remove_operator", Action::RemoveOperator, "operator:ada".into(), {
            Box::new(|w| none(w.remove_operator("ada")))
        }),
        ("add_user", Action::AddUser, "merchant:7".into(), {
            Box::new(|w| {
                done(w.add_user(&users::user("merchant:7", "rahim@example.com", Some("owner"))));
                vec![Secret::new(users::HASH.into())]
            })
        }),
        ("join_store", Action::JoinStore, "merchant:7".into(), {
            Box::new(|w| none(w.join_store(users::subject("merchant:7"), store(22), "staff")))
        }),
        ("mint_code", Action::MintCode, "app:sx_app_2".into(), {
            let grant = NewGrant {
                client_id: client("sx_app_2"),
                store_id: store(22),
                merchant: users::subject("merchant:7"),
                scopes: scopes("read:orders"),
                redirect_uri: "https://app.example/back".into(),
            };
            Box::new(move |w| vec![done(w.mint_code(&grant)).code])
        }),
        ("set_password", Action::SetPassword, "merchant:7".into(), {
            Box::new(|w| {
                let hash = PasswordHash::parse(users::HASH).unwrap();
                done(w.set_password(users::subject("merchant:7"), &hash));
                vec![Secret::new(users::HASH.into())]
            })
        }),
        ("set_user_status", Action::DisableUser, "merchant:7".into(), {
            Box::new(|w| none(w.set_user_status(users::subject("merchant:7"), UserStatus::Disabled)))
        }),
        ("set_user_status", Action::EnableUser, "merchant:7".into(), {
            Box::new(|w| none(w.set_user_status(users::subject("merchant:7"), UserStatus::Active)))
        }),
        ("leave_store", Action::LeaveStore, "merchant:7".into(), {
            Box::new(|w| none(w.leave_store(users::subject("merchant:7"), store(22))))
        }),
        ("add_oauth_client", Action::AddOauthClient, "oauth_client:sx_oc_1".into(), {
            Box::new(|w| {
                let uri = "https://shop.example/cb";
                done(w.add_oauth_client(&NewOauthClient {
                    client_id: client("sx_oc_1"),
                    name: "Shop".into(),
                    secret_hash: Some(PasswordHash::parse(users::HASH).unwrap()),
                    redirect_uris: vec![RedirectUri::parse(uri, ClientType::Confidential).unwrap()],
                    logout_uris: Vec::new(),
                    scopes: scopes("openid"),
                    owner: None,
                }));
                vec![Secret::new(users::HASH.into())]
            })
        }),
        ("set_oauth_client_secret", Action::RotateOauthSecret, "oauth_client:sx_oc_1".into(), {
            Box::new(|w| {
                let hash = PasswordHash::parse(users::HASH).unwrap();
                none(w.set_oauth_client_secret(&client("sx_oc_1"), &hash))
            })
        }),
        ("set_oauth_client_scopes", Action::SetOauthScopes, "oauth_client:sx_oc_1".into(), {
            Box::new(|w| none(w.set_oauth_client_scopes(&client("sx_oc_1"), &scopes("openid email"))))
        }),
        ("set_oauth_client_status", Action::DisableOauthClient, "oauth_client:sx_oc_1".into(), {
            Box::new(|w| none(w.set_oauth_client_status(&client("sx_oc_1"), false)))
        }),
        ("set_oauth_client_status", Action::EnableOauthClient, "oauth_client:sx_oc_1".into(), {
            Box::new(|w| none(w.set_oauth_client_status(&client("sx_oc_1"), true)))
        }),
        ("add_identity_key", Action::RotateKey, "key:k1".into(), {
            let private = Secret::new("ab".repeat(60));
            let key = StoredKey {
                kid: "k1".into(),
                purpose: KeyPurpose::IdToken,
                private: private.clone(),
                starts_at: Timestamp(0),
            };
            Box::new(move |w| {
                done(w.add_identity_key(&key, true));
                vec![private]
            })
        }),
        ("import", Action::Import, "replica".into(), {
            Box::new(|w| {
                done(w.import(line.as_bytes(), |_| ()));
                Vec::new()
            })
        }),
    ];
    let mut covered: BTreeSet<String> = changes.iter().map(|change| change.0.to_owned()).collect();
    let mut actions: Vec<&str> = changes.iter().map(|change| change.1.name()).collect();

    let mut secrets = vec![own, fixture.secret.clone()];
    let mut seen = before.len();
    for (name, action, subject, change) in changes {
        secrets.extend(change(&mut fixture.writer()));
        let entries = entries(&fixture);
        seen += 1;
        assert_eq!(entries.len(), seen, "{name}");
        assert_eq!((entries[0].action.as_str(), &entries[0].subject), (action.name(), &subject), "{name}");
        assert_eq!(entries[0].origin, "cli");
    }
    // Its subject is only known afterwards.
    let issued =
        done(fixture.writer().issue_token(&client("sx_app_1"), store(22), Duration::from_secs(9), None));
    let hex = HEXLOWER.encode(&TokenDigest::of(issued.access_token.expose().as_bytes()).0);
    assert_eq!(entries(&fixture)[0].subject, format!("token:{hex}"));
    assert_eq!(entries(&fixture)[0].detail["client_id"], "sx_app_1");
    secrets.push(issued.access_token);
    covered.insert("issue_token".into());
    actions.push(Action::IssueToken.name());

    // Done by people at the identity provider; tests/idp looks at their entries.
    for action in [Action::GiveConsent, Action::WithdrawConsent, Action::SignOutEverywhere] {
        actions.push(action.name());
    }

    assert_eq!(covered, changing(), "the rows above and the methods that change something");
    actions.sort_unstable();
    actions.dedup();
    let mut known: Vec<&str> = Action::ALL.iter().map(|action| action.name()).collect();
    known.sort_unstable();
    assert_eq!(actions, known);
    let shown = format!("{:?}", entries(&fixture));
    for secret in secrets {
        assert!(!shown.contains(secret.expose()), "a secret is in the record");
    }
}

/// What commits without an entry, by file: each is something that a gateway does by itself.
#[test]
fn only_upkeep_is_not_recorded() {
    let (mut upkeep, mut transactions) = (Vec::new(), Vec::new());
    for (file, code) in sources() {
        upkeep.extend(code.matches(".upkeep(").map(|_| file.clone()));
        transactions.extend(code.matches("TransactionBehavior::Immediate").map(|_| file.clone()));
    }
    upkeep.sort_unstable();
    transactions.sort_unstable();
    // In mod.rs it is what records the rest; in group.rs it is what clients do at token endpoints.
    assert_eq!(
        upkeep,
        [
            "audit.rs",
            "group.rs",
            "mod.rs",
            "once.rs",
            "once.rs",
            "sweep.rs",
            "sweep.rs",
            "tokens.rs",
            "uses.rs"
        ]
    );
    assert_eq!(transactions, ["mod.rs", "schema.rs", "seal.rs"]);
}

#[test]
fn what_is_refused_leaves_no_entry() {
    let fixture = Fixture::new();
    let count = entries(&fixture).len();
    let mut writer = fixture.writer();
    refused(writer.add_store(store(22), None, None, None));
    refused(writer.create_app(new_app("sx_app_1")));
    refused(writer.rotate_secret(&client("none"), None));
    refused(writer.uninstall(&client("sx_app_1"), store(99)));
    refused(writer.remove_operator("nobody"));
    refused(writer.set_permissions("nobody", &[Permission::ViewApps]));
    refused(writer.import(&b"{}"[..], |_| ()));
    assert_eq!(entries(&fixture).len(), count);

    // The other way round: where the entry cannot be written, nothing is changed.
    fixture.stranger().execute_batch("ALTER TABLE audit RENAME TO audit_away").unwrap();
    refused(writer.set_store_status(store(22), StoreStatus::Suspended));
    assert_eq!(writer.store(store(22)).unwrap().status, "active");
}

#[test]
fn entries_name_the_caller() {
    let fixture = Fixture::new();
    let replica = fixture.replica();
    let actor = Actor::caller("ada\u{1b}[2J", [192, 0, 2, 7].into(), "req-1");
    done(replica.writer(actor).unwrap().set_store_status(store(22), StoreStatus::Suspended));
    let entry = entries(&fixture).remove(0);
    assert_eq!((entry.who.as_str(), entry.origin.as_str()), ("ada?[2J", "192.0.2.7"));
    assert_eq!(entry.request_id.as_deref(), Some("req-1"));
    assert!(entry.at > 1_700_000_000);
    let commanded = entries(&fixture).pop().unwrap();
    let user = nix::unistd::User::from_uid(nix::unistd::Uid::current()).unwrap().unwrap().name;
    assert!(commanded.who.starts_with(&user) && commanded.request_id.is_none(), "{commanded:?}");
}

#[test]
fn entries_are_found_by_time_and_subject_and_page_by_page() {
    let fixture = Fixture::new();
    let stranger = fixture.stranger();
    for (number, at) in (1..=50).map(|number| (number, number * 100)) {
        let row = "INSERT INTO audit (at, who, origin, action, subject, detail) VALUES (?1, 'x', 'cli', 'y', ?2, '{}')";
        stranger.execute(row, (at, format!("store:{}", number % 5))).unwrap();
    }
    let mut writer = fixture.writer();
    let mut found = |since: Option<i64>, subject: Option<&str>, after, limit| {
        let filter = AuditFilter { since: since.map(Timestamp), subject: subject.map(String::from) };
        let page = Page { after, limit };
        writer.audit(&filter, page).unwrap().into_iter().map(|entry| entry.seq).collect::<Vec<_>>()
    };
    let newest = found(None, None, None, 1)[0];
    assert_eq!(found(None, None, None, 1000).len(), 53);
    assert_eq!(found(None, None, Some(newest), 2), [newest - 1, newest - 2]);
    assert_eq!(found(Some(4900), None, None, 1000).len(), 5, "two of these, and the fixture's three");
    assert_eq!(found(Some(4900), Some("store:0"), None, 1000), [newest]);
    assert_eq!(found(None, Some("store:1"), None, 1000).len(), 10);
    assert_eq!(found(None, Some("store:1"), Some(newest), 2), [newest - 4, newest - 9]);
    assert!(
        found(None, Some("store:99"), None, 10).is_empty() && found(Some(i64::MAX), None, None, 9).is_empty()
    );
}

#[test]
fn old_entries_go_and_none_is_changed() {
    let fixture = Fixture::new();
    let stranger = fixture.stranger();
    let fill = "INSERT INTO audit (at, who, origin, action, subject, detail)
        WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 2500)
        SELECT 1000 + x, 'x', 'cli', 'y', 'z', '{}' FROM n";
    stranger.execute_batch("DELETE FROM audit").unwrap();
    stranger.execute_batch(fill).unwrap();
    let changed = stranger.execute_batch("UPDATE audit SET who = 'nobody'");
    assert!(changed.unwrap_err().to_string().contains("are not changed"));

    let count = || -> i64 { stranger.query_row("SELECT count(*) FROM audit", [], |row| row.get(0)).unwrap() };
    let mut writer = fixture.writer();
    let mut sweep =
        |age, entries, now| writer.sweep_audit(Retention { age, entries }, Timestamp(now)).unwrap();
    assert_eq!(sweep(100, 10_000, 1000), 0, "all are young, and few");
    assert_eq!(sweep(100, 10_000, 1111), 10, "those before 1011");
    assert_eq!(sweep(100, 10_000, 1111), 0);
    assert_eq!((sweep(10_000, 100, 1000), count()), (1000, 1490), "a step at a time");
    assert_eq!((sweep(10_000, 100, 1000), sweep(10_000, 100, 1000), count()), (1000, 390, 100));
    assert_eq!((sweep(100, 10_000, 99_999), count()), (100, 0));
    assert_eq!(sweep(100, 10_000, 99_999), 0, "an empty record");

    stranger.execute_batch(fill).unwrap();
    let replica = fixture.replica();
    stranger.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert!(matches!(tidy(&replica, Timestamp::now()), Err(WriteError::Locked(_))), "it waits for nobody");
    stranger.execute_batch("ROLLBACK").unwrap();
    let steps = std::iter::repeat_with(|| tidy(&replica, Timestamp::now()).unwrap());
    assert_eq!(steps.take_while(|walked| *walked == Walked::Part).count(), 3);
    assert_eq!(count(), 0);
}

/// However old a file is, the first writer brings it up to date and keeps what is in it.
#[test]
fn a_replica_of_any_age_gets_the_newest_tables() {
    for age in 1..MIGRATIONS.len() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("storegate.db");
        let old = rusqlite::Connection::open(&path).unwrap();
        for migration in &MIGRATIONS[..age] {
            old.execute_batch(migration).unwrap();
        }
        old.execute_batch("INSERT INTO stores VALUES (22, 'Dhaka', NULL, NULL, 'active', 1)").unwrap();
        old.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
        old.pragma_update(None, "user_version", i64::try_from(age).unwrap()).unwrap();
        drop(old);
        let mut writer = Writer::open(&path, None).unwrap();
        done(writer.set_store_status(store(22), StoreStatus::Suspended));
        let entries = writer.audit(&AuditFilter::default(), Page::ALL).unwrap();
        assert_eq!(entries.len(), 1, "made by the first {age} migrations");
        assert_eq!(writer.stores(Page::ALL).unwrap()[0].name, "Dhaka");
    }
}
