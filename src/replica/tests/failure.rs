//! "Cannot tell" is an error, never "not found", and ends when the file is sound again.

use std::fs;

use super::*;
use crate::gate::{Directory, Unavailable};
use crate::model::{AppId, InstallationId, TokenDigest};

const TOKEN: TokenDigest = TokenDigest([0; 32]);

/// Each row: what somebody did to the file, and the look-up that can no longer tell.
#[test]
fn a_malformed_row_is_unavailable() {
    type LookUp = fn(&Replica) -> Result<bool, Unavailable>;
    let app: LookUp = |replica| replica.app("sx_app_1").map(|found| found.is_some());
    let shop: LookUp = |replica| replica.store(store(22)).map(|found| found.is_some());
    let pair: LookUp = |replica| replica.installation(AppId(1), store(22)).map(|found| found.is_some());
    let number: LookUp = |replica| replica.installation_by_id(InstallationId(1)).map(|found| found.is_some());
    let token: LookUp = |replica| replica.access_token(&TOKEN).map(|found| found.is_some());
    let rows: &[(&str, &[LookUp])] = &[
        ("UPDATE stores SET status = 'closed'", &[shop]),
        ("UPDATE apps SET status = ''", &[app]),
        ("UPDATE apps SET allow_ips = '10.0.0.0/8 10.0.0.0/99'", &[app]),
        ("UPDATE apps SET session_signing_key = 'xchacha20poly1305:00'", &[app]),
        ("UPDATE apps SET status = CAST(X'FF' AS TEXT)", &[app]),
        ("UPDATE apps SET app_id = 0", &[app]),
        ("UPDATE apps SET app_id = 9007199254740992", &[app]),
        ("UPDATE app_secrets SET hash = 'sha256:00'", &[app]),
        ("UPDATE app_secrets SET hash = 'sx_secret_in_clear'", &[app]),
        ("INSERT INTO app_secrets VALUES (1, 0, '', 0, NULL, NULL)", &[app]),
        ("UPDATE installations SET status = 'paused'", &[pair, number]),
        ("UPDATE installations SET scopes = 'read:\"orders\"'", &[pair, number]),
        ("UPDATE installations SET scopes = CAST(zeroblob(5000) AS TEXT)", &[pair, number]),
        ("UPDATE access_tokens SET scopes = 'é'", &[token]),
        ("UPDATE access_tokens SET store_id = -1", &[token]),
        ("UPDATE access_tokens SET store_id = 9007199254740992", &[token]),
        ("DROP TABLE app_secrets", &[app]),
        ("DROP TABLE access_tokens", &[token]),
        ("ALTER TABLE apps RENAME COLUMN client_id TO id", &[app, pair, number, token]),
    ];
    for (sql, look_ups) in rows {
        let fixture = Fixture::new();
        let insert =
            "INSERT INTO access_tokens VALUES (zeroblob(32), 1, 22, NULL, 9, NULL, 0, NULL, NULL, NULL)";
        fixture.stranger().execute(insert, []).unwrap();
        let replica = fixture.replica();
        for look_up in [app, shop, pair, number, token] {
            assert_eq!(look_up(&replica), Ok(true), "warm");
        }
        fixture
            .stranger()
            .execute_batch(&format!("{sql}; INSERT INTO changes (kind, key) VALUES ('all', '')"))
            .unwrap();
        replica.catch_up().unwrap();
        for look_up in *look_ups {
            assert_eq!(look_up(&replica), Err(Unavailable), "{sql}");
        }
    }
}

#[test]
fn a_client_id_that_cannot_exist_is_not_found() {
    let fixture = Fixture::new();
    let replica = fixture.replica();
    for text in ["", "a b", "é", "a\u{0}", "sx_app_1 ", &"a".repeat(129)] {
        assert!(replica.app(text).unwrap().is_none(), "{text:?}");
    }
    assert!(replica.installation(AppId(-1), store(22)).unwrap().is_none());
    assert!(replica.installation_by_id(InstallationId(i64::MIN)).unwrap().is_none());
    assert!(replica.access_token(&TOKEN).unwrap().is_none());
}

fn remove(fixture: &Fixture) {
    for file in ["storegate.db", "storegate.db-wal", "storegate.db-shm"] {
        let _ = fs::remove_file(fixture.folder.path().join(file));
    }
}

#[test]
fn a_file_that_goes_away_is_unavailable_until_one_is_back() {
    let fixture = Fixture::new();
    let replica = fixture.replica();
    let _watch = replica.watch().unwrap();
    assert!(replica.store(store(22)).unwrap().is_some() && replica.health().problem.is_none());
    remove(&fixture);
    eventually("the loss is noticed", || replica.store(store(22)).is_err());
    assert!(replica.app("sx_app_1").is_err() && replica.app("nobody").is_err(), "nor not found");
    assert!(replica.health().problem.is_some() && replica.catch_up().is_err());
    assert_eq!(replica.cached().stores, 0, "nothing is left in memory");

    // Another replica takes its place: what is answered is of that one.
    let other = Fixture::new();
    done(other.writer().add_store(store(23), None, None, None));
    other.stranger().execute("DELETE FROM stores WHERE store_id = 22", []).unwrap();
    fs::rename(other.path(), fixture.path()).unwrap();
    eventually("the new file is taken", || replica.store(store(23)).is_ok_and(|found| found.is_some()));
    assert!(replica.store(store(22)).unwrap().is_none() && replica.health().problem.is_none());
    done(fixture.writer().set_store_status(store(23), crate::model::StoreStatus::Suspended));
    assert_eq!(replica.store(store(23)).unwrap().unwrap().status, crate::model::StoreStatus::Suspended);
}

#[test]
fn a_file_that_is_no_replica_keeps_it_unavailable() {
    let fixture = Fixture::new();
    let replica = fixture.replica();
    remove(&fixture);
    assert!(replica.catch_up().is_err());
    let newer = Fixture::new();
    newer.stranger().pragma_update(None, "user_version", 99).unwrap();
    let newer = fs::read(newer.path()).unwrap();
    for content in [&b""[..], b"SQLite format 3\0", &[0xA5; 10_000], &newer] {
        fs::write(fixture.path(), content).unwrap();
        assert!(replica.catch_up().is_err() && replica.store(store(22)).is_err());
        assert!(replica.health().problem.is_some());
        remove(&fixture);
    }
    fs::rename(Fixture::new().path(), fixture.path()).unwrap();
    replica.catch_up().unwrap();
    assert!(replica.store(store(22)).unwrap().is_some());
}

#[test]
fn the_log_of_a_former_file_is_never_played_into_another() {
    let fixture = Fixture::new();
    let replica = fixture.replica();
    done(fixture.writer().add_store(store(23), None, None, None));
    replica.catch_up().unwrap();
    assert!(fs::metadata(fixture.folder.path().join("storegate.db-wal")).unwrap().len() > 0);
    let other = Fixture::new();
    fs::rename(other.path(), fixture.path()).unwrap();
    assert!(replica.catch_up().is_err());
    let problem = replica.health().problem.unwrap();
    assert!(problem.contains("-wal") && problem.contains("remove it"), "{problem}");
    fs::remove_file(fixture.folder.path().join("storegate.db-wal")).unwrap();
    fs::remove_file(fixture.folder.path().join("storegate.db-shm")).unwrap();
    replica.catch_up().unwrap();
    assert!(replica.store(store(22)).unwrap().is_some() && replica.store(store(23)).unwrap().is_none());
}

/// A file cut short or overwritten in place gives errors, not a crash and not "not found".
#[test]
fn a_file_that_is_damaged_in_place_is_unavailable() {
    let fixture = Fixture::new();
    fixture.stranger().query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    let replica = fixture.replica();
    let whole = fs::metadata(fixture.path()).unwrap().len();
    // From another process, so that no lock of this one is released.
    let path = fixture.path();
    let cut =
        std::process::Command::new("truncate").arg("-s").arg((whole / 2).to_string()).arg(&path).status();
    assert!(cut.unwrap().success());
    let found = [
        replica.app("sx_app_1").map(|found| found.is_some()),
        replica.store(store(22)).map(|found| found.is_some()),
        replica.installation(AppId(1), store(22)).map(|found| found.is_some()),
    ];
    assert!(!found.contains(&Ok(false)), "a damaged file said not found: {found:?}");
    assert!(found.contains(&Err(Unavailable)), "{found:?}");
}
