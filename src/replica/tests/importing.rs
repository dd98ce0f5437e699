//! Import: what is taken, what is kept, and above all what is refused.

use super::*;
use crate::gate::Directory;
use crate::model::{AppId, AppStatus, InstallationId, InstallationStatus, StoreStatus, TokenDigest};

const BCRYPT: &str = "$2b$04$cVWp4XaNU8a4v1uMRum2SO026BWLIoQMD/TXg5uZV.0P.uO8m3YEm";
const HASH: &str = "8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4";

fn import(writer: &mut Writer, text: &str) -> Result<Committed<Imported>, WriteError> {
    writer.import(text.as_bytes(), |_| ())
}

/// Everything in the tables, for "nothing changed".
fn dump(fixture: &Fixture) -> Vec<String> {
    let conn = fixture.stranger();
    let tables = ["stores", "apps", "app_secrets", "installations", "access_tokens", "changes"];
    let mut rows = Vec::new();
    for table in tables {
        let mut statement = conn.prepare(&format!("SELECT * FROM {table}")).unwrap();
        let width = statement.column_count();
        let mut found = statement.query([]).unwrap();
        while let Some(row) = found.next().unwrap() {
            let values: Vec<_> = (0..width).map(|i| format!("{:?}", row.get_ref(i).unwrap())).collect();
            rows.push(format!("{table} {}", values.join(" ")));
        }
    }
    rows
}

fn whole() -> String {
    format!(
        r#"{{"type":"store","store_id":30,"name":"Thirty","domain":"Thirty.example","organization":"org-1"}}
{{"type":"store","store_id":31,"status":"suspended"}}

{{"type":"app","client_id":"sx_app_7","app_id":70,"name":"Seven","secret_hash":"{BCRYPT}","session_signing_key":"k7","scopes":"read:orders write:orders","allow_ips":["10.0.0.0/8"]}}
{{"type":"app","client_id":"sx_app_8"}}
{{"type":"installation","installation_id":501,"client_id":"sx_app_7","store_id":30,"scopes":"read:orders","status":"active"}}
{{"type":"installation","client_id":"sx_app_7","store_id":31}}
{{"type":"access_token","token_hash":"{HASH}","client_id":"sx_app_7","store_id":30,"scopes":"read:orders","expires_at":1999999999}}"#
    )
}

#[test]
fn every_kind_of_record() {
    let fixture = Fixture::new();
    let mut writer = fixture.writer();
    let mut reports = Vec::new();
    let text = whole().replace('\n', "\r\n");
    let imported = done(writer.import(text.as_bytes(), |progress| reports.push(progress)));
    assert_eq!(imported, Imported { stores: 2, apps: 2, installations: 2, access_tokens: 1 });
    assert_eq!(reports.last(), Some(&Progress { bytes: text.len() as u64, lines: 8, stored: 1 }));

    let replica = fixture.replica();
    assert_eq!(replica.store(store(30)).unwrap().unwrap().status, StoreStatus::Active);
    assert_eq!(replica.store(store(31)).unwrap().unwrap().status, StoreStatus::Suspended);
    let app = replica.app("sx_app_7").unwrap().unwrap();
    assert_eq!((app.app_id, app.status, app.secrets.len()), (AppId(70), AppStatus::Enabled, 1));
    assert!(app.session_key.is_some() && !app.allowed_addresses.is_empty());
    let bare = replica.app("sx_app_8").unwrap().unwrap();
    assert!(bare.session_key.is_none() && bare.secrets.is_empty() && bare.allowed_addresses.is_empty());
    let installed = replica.installation_by_id(InstallationId(501)).unwrap().unwrap();
    assert_eq!((installed.store_id, installed.scopes.as_str()), (store(30), "read:orders"));
    let assigned = replica.installation(AppId(70), store(31)).unwrap().unwrap();
    assert_eq!(
        (assigned.scopes.as_str(), assigned.status),
        ("read:orders write:orders", InstallationStatus::Active)
    );
    let token = replica.access_token(&digest(HASH)).unwrap().unwrap();
    assert_eq!((token.expires_at, token.revoked), (Timestamp(1_999_999_999), false));
    assert_eq!(writer.app(&client("sx_app_7")).unwrap().secrets[0].kind, SecretKind::Bcrypt);
    assert_eq!(done(import(&mut writer, "\n \n\r\n")), Imported::default());
    assert_eq!(done(import(&mut writer, "")), Imported::default());
}

fn digest(hex: &str) -> TokenDigest {
    TokenDigest(data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap().try_into().unwrap())
}

#[test]
fn an_import_of_what_is_there_changes_nothing() {
    let fixture = Fixture::new();
    done(import(&mut fixture.writer(), &whole()));
    let before = dump(&fixture);
    done(import(&mut fixture.writer(), &whole()));
    assert_eq!(dump(&fixture), before);

    let key_file = fixture.folder.path().join("key");
    let mut sealing = Writer::open(&fixture.path(), Some(&key_file)).unwrap();
    let sealed = dump(&fixture);
    done(import(&mut sealing, &whole()));
    assert_eq!(dump(&fixture), sealed, "also when the keys are sealed");
}

/// Each row: a line after which something is different, and the state that it leaves.
#[test]
fn records_replace_and_absent_fields_keep() {
    let fixture = Fixture::new();
    let mut writer = fixture.writer();
    done(import(&mut writer, &whole()));
    let replica = fixture.replica();
    let _watch = replica.watch().unwrap();
    let app = |replica: &Replica| replica.app("sx_app_7").unwrap().unwrap();
    let token = |replica: &Replica| replica.access_token(&digest(HASH)).unwrap().unwrap();
    let installed = |replica: &Replica| replica.installation_by_id(InstallationId(501)).unwrap().unwrap();
    let token_line = |more: &str| {
        format!(
            r#"{{"type":"access_token","token_hash":"{HASH}","client_id":"sx_app_7","store_id":30,{more}}}"#
        )
    };
    // Warm, so that each answer below is one that a change had to bring about.
    let _warm = (app(&replica), token(&replica), installed(&replica), replica.store(store(30)).unwrap());

    done(import(&mut writer, r#"{"type":"store","store_id":30,"status":"suspended"}"#));
    assert_eq!(replica.store(store(30)).unwrap().unwrap().status, StoreStatus::Suspended);
    let kept = writer.stores(Page::ALL).unwrap().into_iter().find(|store| store.store_id == 30).unwrap();
    assert_eq!((kept.name.as_str(), kept.domain.as_deref()), ("Thirty", Some("thirty.example")));

    done(import(&mut writer, r#"{"type":"app","client_id":"sx_app_7","status":"disabled"}"#));
    let seen = app(&replica);
    assert!(seen.status == AppStatus::Disabled && seen.secrets.len() == 1 && seen.session_key.is_some());
    done(import(&mut writer, r#"{"type":"app","client_id":"sx_app_7","status":"active","allow_ips":[]}"#));
    assert!(app(&replica).status == AppStatus::Enabled && app(&replica).allowed_addresses.is_empty());
    done(import(&mut writer, r#"{"type":"app","client_id":"sx_app_7","session_signing_key":"other"}"#));
    let mac = crate::model::SessionKey::new("other").sign(b"x");
    assert!(app(&replica).session_key.as_ref().unwrap().verify(b"x", &mac));

    let same = format!(r#"{{"type":"app","client_id":"sx_app_7","secret_hash":"{BCRYPT}"}}"#);
    done(import(&mut writer, &same));
    assert_eq!(app(&replica).secrets[0].generation, 1, "an equal hash keeps the generations");
    let rotated = done(writer.rotate_secret(&client("sx_app_7"), Some(Duration::from_secs(60))));
    let hash = crate::model::SecretHash::sha256_of("imported").to_stored();
    done(import(&mut writer, &same.replace(BCRYPT, &hash)));
    let seen = app(&replica);
    assert!(seen.secrets.len() == 1 && accepts(&replica, "sx_app_7", "imported"));
    assert!(!accepts(&replica, "sx_app_7", rotated.expose()));

    done(import(
        &mut writer,
        r#"{"type":"installation","client_id":"sx_app_7","store_id":30,"status":"uninstalled"}"#,
    ));
    assert_eq!(installed(&replica).status, InstallationStatus::Uninstalled);
    assert_eq!(installed(&replica).scopes.as_str(), "read:orders");
    let line =
        r#"{"type":"installation","installation_id":501,"client_id":"sx_app_7","store_id":30,"scopes":""}"#;
    done(import(&mut writer, line));
    assert_eq!(installed(&replica).scopes.as_str(), "");

    done(import(&mut writer, &token_line(r#""expires_at":1999999999,"revoked_at":5"#)));
    assert!(token(&replica).revoked && token(&replica).scopes.is_none(), "a token is replaced as a whole");
    done(import(&mut writer, &token_line(r#""expires_at":5,"scopes":"b,a""#)));
    let seen = token(&replica);
    assert!(!seen.revoked && seen.expires_at == Timestamp(5));
    assert_eq!(seen.scopes.as_ref().unwrap().as_str(), "a b");
}

#[test]
fn what_is_refused() {
    const STORE: &str = r#"{"type":"store","store_id":40}"#;
    const APP: &str = r#"{"type":"app","client_id":"new"}"#;
    let token = |more: &str| {
        format!(
            r#"{{"type":"access_token","token_hash":"{HASH}","client_id":"sx_app_1","store_id":22{more}}}"#
        )
    };
    let store = |more: &str| format!(r#"{{"type":"store","store_id":40{more}}}"#);
    let app = |more: &str| format!(r#"{{"type":"app","client_id":"new"{more}}}"#);
    let installation =
        |more: &str| format!(r#"{{"type":"installation","client_id":"sx_app_1","store_id":22{more}}}"#);
    let long = format!("{}{}", " ".repeat(1 << 20), STORE);
    let rows: &[(String, &str)] = &[
        // Not an object of JSON.
        ("x".into(), "column 1"),
        ("{".into(), "EOF"),
        ("[]".into(), "column"),
        ("null".into(), "column"),
        (format!("{STORE}{STORE}"), "trailing characters"),
        (format!("{STORE},"), "trailing characters"),
        ("\u{feff}{}".into(), "column 1"),
        ("[".repeat(100_000), "column"),
        (long, "longer than 1048576 bytes"),
        // Types and fields.
        ("{}".into(), "missing field `type`"),
        (r#"{"type":"shop","store_id":1}"#.into(), "expected store, app, installation or access_token"),
        (r#"{"type":7}"#.into(), "expected"),
        (r#"{"type":"store","type":"app","store_id":1}"#.into(), "duplicate field `type`"),
        (r#"{"type":"store"}"#.into(), "missing field `store_id`"),
        (store(r#","store_id":41"#), "duplicate field `store_id`"),
        (store(r#","color":"red""#), "unknown field `color`"),
        (app(r#","client_secret":"clear""#), "unknown field `client_secret`"),
        (token(r#","expires_at":9,"token":"sx_at_1""#), "unknown field `token`"),
        // Stores.
        (r#"{"type":"store","store_id":0}"#.into(), "store_id"),
        (r#"{"type":"store","store_id":-1}"#.into(), "expected u64"),
        (r#"{"type":"store","store_id":1.5}"#.into(), "expected u64"),
        (r#"{"type":"store","store_id":"22"}"#.into(), "expected u64"),
        (r#"{"type":"store","store_id":9007199254740992}"#.into(), "between 1 and 9007199254740991"),
        (store(r#","status":"disabled""#), "expected active or suspended"),
        (store(r#","status":"Active""#), "expected active or suspended"),
        (store(r#","name":"a\nb""#), "name"),
        (store(r#","name":7"#), "expected a string"),
        (store(r#","domain":"a b""#), "domain"),
        (store(r#","domain":"first.example""#), "first.example belongs to another store"),
        (store(r#","organization":"""#), "organization"),
        // Apps.
        (r#"{"type":"app","client_id":""}"#.into(), "client_id"),
        (r#"{"type":"app","client_id":"a b"}"#.into(), "client_id"),
        (app(r#","app_id":1"#), "app_id: 1 belongs to another app"),
        (app(r#","app_id":0"#), "app_id"),
        (app(r#","app_id":9007199254740992"#), "app_id"),
        (r#"{"type":"app","client_id":"sx_app_1","app_id":9}"#.into(), "has the number 1 already"),
        (app(r#","secret_hash":"in-clear""#), "secret_hash"),
        (app(r#","secret_hash":"sha256:00""#), "secret_hash"),
        (app(r#","secret_hash":"""#), "secret_hash"),
        (app(r#","session_signing_key":"""#), "session_signing_key"),
        (app(r#","session_signing_key":"a b""#), "session_signing_key"),
        (app(r#","session_signing_key":"xchacha20poly1305:00""#), "session_signing_key"),
        (app(r#","scopes":"read:\"orders\"""#), "scopes"),
        (app(&format!(r#","scopes":"{}""#, "a ".repeat(3000))), "scopes"),
        (app(r#","status":"suspended""#), "expected enabled or disabled"),
        (app(r#","allow_ips":["10.0.0.0/99"]"#), "allow_ips"),
        (app(r#","allow_ips":"10.0.0.0/8""#), "expected a sequence"),
        // Installations.
        (installation(r#","status":"suspended""#), "expected active or uninstalled"),
        (installation(r#","installation_id":99"#), "has the number 1 already"),
        (installation(r#","installation_id":0"#), "installation_id"),
        (
            format!(
                "{STORE}\n{}",
                r#"{"type":"installation","client_id":"sx_app_1","store_id":40,"installation_id":1}"#
            ),
            "installation_id: 1 belongs to another app or store",
        ),
        (r#"{"type":"installation","client_id":"none","store_id":22}"#.into(), "no app none is known"),
        (r#"{"type":"installation","client_id":"sx_app_1","store_id":23}"#.into(), "no store 23 is known"),
        (r#"{"type":"installation","client_id":"sx_app_1"}"#.into(), "missing field `store_id`"),
        // Tokens.
        (token(""), "missing field `expires_at`"),
        (token(r#","expires_at":"1999999999""#), "expected i64"),
        (token(r#","expires_at":1e9"#), "expected i64"),
        (token(r#","expires_at":-1"#), "expires_at"),
        (token(r#","expires_at":1999999999000"#), "expires_at: 1999999999000 is not a time in Unix seconds"),
        (token(r#","expires_at":9,"revoked_at":-5"#), "revoked_at"),
        (token(r#","expires_at":9,"scopes":"é""#), "scopes"),
        (token(r#","expires_at":9"#).replace(HASH, "8f43"), "token_hash"),
        (token(r#","expires_at":9"#).replace("8f43", "zz43"), "token_hash"),
        (token(r#","expires_at":9"#).replace("sx_app_1", "none"), "no app none is known"),
        (token(r#","expires_at":9"#).replace(":22", ":23"), "no store 23 is known"),
    ];
    let fixture = Fixture::new();
    let before = dump(&fixture);
    let mut writer = fixture.writer();
    for (bad, expected) in rows {
        // Good lines before it, so that there is something to undo; a blank one counts.
        let good = [APP, "", r#"{"type":"store","store_id":39}"#, &token(r#","expires_at":9"#)].join("\n");
        let good = if bad.contains("\"new\"") { good.replace(APP, "") } else { good };
        let error = refused(import(&mut writer, &format!("{good}\n{bad}\n")));
        let line = 4 + bad.lines().count();
        let shown = &bad[..bad.floor_char_boundary(100)];
        assert!(error.starts_with(&format!("line {line}: ")), "{shown}: {error}");
        assert!(error.contains(expected), "{shown}: {error}");
        assert!(error.len() < 400, "{error}");
    }
    let error =
        refused(writer.import(&b"{\"type\":\"store\",\"store_id\":40,\"name\":\"\xFF\"}"[..], |_| ()));
    assert!(error.starts_with("line 1: "), "{error}");
    assert_eq!(dump(&fixture), before, "something refused left a trace");
    done(import(&mut writer, STORE));
}

#[test]
fn input_that_breaks_off_imports_nothing() {
    struct Broken(bool);
    impl std::io::Read for Broken {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let line = b"{\"type\":\"store\",\"store_id\":40}\n";
            if std::mem::replace(&mut self.0, true) {
                return Err(std::io::Error::other("the disk is gone"));
            }
            buffer[..line.len()].copy_from_slice(line);
            Ok(line.len())
        }
    }
    let fixture = Fixture::new();
    let before = dump(&fixture);
    let error = refused(fixture.writer().import(std::io::BufReader::new(Broken(false)), |_| ()));
    assert!(error.contains("line 2 cannot be read: the disk is gone"), "{error}");
    assert_eq!(dump(&fixture), before);
}

/// More tokens than are held in memory, in any order, some of them twice: the last line counts.
#[test]
fn many_tokens_are_sorted_on_disk() {
    let fixture = Fixture::new();
    let line = |n: u32, end: u32| {
        let hash = data_encoding::HEXLOWER.encode(&TokenDigest::of(&n.to_be_bytes()).0);
        format!(
            "{{\"type\":\"access_token\",\"token_hash\":\"{hash}\",\"client_id\":\"sx_app_1\",\"store_id\":22,\"expires_at\":{end}}}\n"
        )
    };
    let mut text: String = (0..3500).map(|n| line(n, 100)).collect();
    text.extend((0..3500).step_by(7).map(|n| line(n, 200)));
    let mut writer = fixture.writer();
    assert_eq!(done(import(&mut writer, &text)).access_tokens, 4000);
    let replica = fixture.replica();
    for n in 0..3500u32 {
        let found = replica.access_token(&TokenDigest::of(&n.to_be_bytes())).unwrap().unwrap();
        assert_eq!(found.expires_at, Timestamp(if n % 7 == 0 { 200 } else { 100 }), "token {n}");
    }
    // And on top of those that are there, twice in one session of the writer.
    let again: String = (0..3500).map(|n| line(n, 300)).collect();
    done(import(&mut writer, &again));
    done(import(&mut writer, &again));
    replica.catch_up().unwrap();
    let found = replica.access_token(&TokenDigest::of(&7u32.to_be_bytes())).unwrap().unwrap();
    assert_eq!(found.expires_at, Timestamp(300));
    let log = std::fs::metadata(fixture.folder.path().join("storegate.db-wal")).unwrap().len();
    assert_eq!(log, 0, "the log was written back");
}
