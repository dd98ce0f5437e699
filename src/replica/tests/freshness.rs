//! A change is in force when it is acknowledged, whoever made it.

use std::io::{BufRead, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Mutex;

use super::*;
use crate::gate::Directory;
use crate::model::{AppId, AppStatus, InstallationId, InstallationStatus, StoreStatus, TokenDigest};

/// Each row: a command, and what a warm gateway answers as soon as it has returned.
#[test]
fn every_command_is_in_force_when_it_returns() {
    let fixture = Fixture::new();
    let replica = fixture.replica();
    let _watch = replica.watch().unwrap();
    let (mut writer, app) = (fixture.writer(), client("sx_app_1"));
    let hour = Duration::from_secs(3600);
    let token = done(writer.issue_token(&app, store(22), hour, None)).access_token;
    let digest = TokenDigest::of(token.expose().as_bytes());
    let sid = InstallationId(fixture.installation);
    let warm = || {
        assert!(replica.store(store(22)).unwrap().is_some());
        assert!(replica.app("sx_app_1").unwrap().is_some());
        assert!(replica.installation(AppId(1), store(22)).unwrap().is_some());
        assert!(replica.installation_by_id(sid).unwrap().is_some());
        assert!(replica.access_token(&digest).unwrap().is_some());
    };
    for round in 0..20 {
        warm();
        done(writer.set_store_status(store(22), StoreStatus::Suspended));
        assert_eq!(replica.store(store(22)).unwrap().unwrap().status, StoreStatus::Suspended);
        done(writer.set_store_status(store(22), StoreStatus::Active));
        assert_eq!(replica.store(store(22)).unwrap().unwrap().status, StoreStatus::Active);

        done(writer.set_app_status(&app, AppStatus::Disabled));
        assert_eq!(replica.app("sx_app_1").unwrap().unwrap().status, AppStatus::Disabled);
        done(writer.set_app_status(&app, AppStatus::Enabled));
        assert_eq!(replica.app("sx_app_1").unwrap().unwrap().status, AppStatus::Enabled);

        let old = done(writer.rotate_secret(&app, None));
        assert!(accepts(&replica, "sx_app_1", old.expose()));
        let new = done(writer.rotate_secret(&app, None));
        assert!(!accepts(&replica, "sx_app_1", old.expose()) && accepts(&replica, "sx_app_1", new.expose()));

        let key = done(writer.rotate_signing_key(&app));
        let mac = crate::model::SessionKey::new(key.expose()).sign(b"x");
        let found = replica.app("sx_app_1").unwrap().unwrap();
        assert!(found.session_key.as_ref().unwrap().verify(b"x", &mac));

        done(writer.set_allowed_addresses(&app, &["192.0.2.1/32".parse().unwrap()]));
        assert!(!replica.app("sx_app_1").unwrap().unwrap().allowed_addresses.is_empty());

        done(writer.uninstall(&app, store(22)));
        let status = |found: Option<Arc<crate::model::Installation>>| found.unwrap().status;
        assert_eq!(
            status(replica.installation(AppId(1), store(22)).unwrap()),
            InstallationStatus::Uninstalled
        );
        assert_eq!(status(replica.installation_by_id(sid).unwrap()), InstallationStatus::Uninstalled);
        done(writer.install(&app, store(22), None));
        assert_eq!(status(replica.installation(AppId(1), store(22)).unwrap()), InstallationStatus::Active);
        assert_eq!(status(replica.installation_by_id(sid).unwrap()), InstallationStatus::Active);

        // What is new works at once, also after it was asked for in vain.
        let number = 100 + round;
        assert!(replica.store(store(number)).unwrap().is_none());
        done(writer.add_store(store(number), None, None, None));
        assert!(replica.store(store(number)).unwrap().is_some());
        let fresh = done(writer.issue_token(&app, store(22), hour, None)).access_token;
        let fresh = TokenDigest::of(fresh.expose().as_bytes());
        assert!(!replica.access_token(&fresh).unwrap().unwrap().revoked);
    }
    warm();
    done(writer.revoke_token(&token));
    assert!(replica.access_token(&digest).unwrap().unwrap().revoked);
}

#[test]
fn without_being_told_the_poller_notices() {
    let fixture = Fixture::new();
    let replica = fixture.replica();
    let delays = Arc::new(Mutex::new(Vec::new()));
    let heard = delays.clone();
    replica.on_enforced(move |delay, count| heard.lock().unwrap().push((delay, count)));
    let _watch = replica.watch().unwrap();
    assert!(replica.store(store(22)).unwrap().is_some());
    let stranger = fixture.stranger();
    stranger.execute("UPDATE stores SET status = 'suspended'", []).unwrap();
    eventually("the foreign change is seen", || {
        replica.store(store(22)).unwrap().unwrap().status == StoreStatus::Suspended
    });
    eventually("its delay is reported", || !delays.lock().unwrap().is_empty());
    let (delay, count) = delays.lock().unwrap()[0];
    assert!(count == 1 && delay < Duration::from_secs(10), "{delay:?} for {count}");
}

#[test]
fn a_foreign_replace_of_a_cached_row_is_seen() {
    let fixture = Fixture::new();
    let replica = fixture.replica();
    let token =
        done(fixture.writer().issue_token(&client("sx_app_1"), store(22), Duration::from_secs(60), None));
    let digest = TokenDigest::of(token.access_token.expose().as_bytes());
    assert!(!replica.access_token(&digest).unwrap().unwrap().revoked);
    let replace =
        "INSERT OR REPLACE INTO access_tokens SELECT token_hash, app_id, store_id, scopes, expires_at, 1,
        created_at, NULL, NULL, NULL FROM access_tokens";
    fixture.stranger().execute(replace, []).unwrap();
    let before = replica.position();
    assert!(replica.catch_up().unwrap() > before);
    assert!(replica.access_token(&digest).unwrap().unwrap().revoked);
}

/// Which store a host belongs to is kept, and that it belongs to none; each change of a store ends that.
#[test]
fn a_domain_that_moves_is_seen() {
    let fixture = Fixture::new();
    let (replica, stranger) = (fixture.replica(), fixture.stranger());
    let owner = |domain| replica.store_of_domain(domain).unwrap().map(StoreId::get);
    let rows: &[(&str, Option<u64>, Option<u64>)] = &[
        ("INSERT INTO stores VALUES (23, '', NULL, NULL, 'active', 0)", Some(22), None),
        ("UPDATE stores SET domain = 'new.example' WHERE store_id = 23", Some(22), Some(23)),
        ("UPDATE OR REPLACE stores SET domain = 'first.example' WHERE store_id = 23", Some(23), None),
        ("UPDATE stores SET domain = NULL WHERE store_id = 23", None, None),
        ("INSERT INTO stores VALUES (24, '', 'new.example', NULL, 'active', 0)", None, Some(24)),
        ("UPDATE stores SET store_id = 25 WHERE store_id = 24", None, Some(25)),
        ("DELETE FROM stores WHERE store_id = 25", None, None),
    ];
    assert_eq!((owner("first.example"), owner("new.example")), (Some(22), None));
    for (sql, first, new) in rows {
        stranger.execute(sql, []).unwrap();
        replica.catch_up().unwrap();
        assert_eq!((owner("first.example"), owner("new.example")), (*first, *new), "{sql}");
        assert_eq!(replica.cached().domains, 2, "{sql}");
    }
}

#[test]
fn noting_a_use_drops_nothing() {
    let fixture = Fixture::new();
    let replica = fixture.replica();
    let before = (replica.app("sx_app_1").unwrap().unwrap(), replica.position());
    fixture.stranger().execute("UPDATE app_secrets SET last_used_at = 1", []).unwrap();
    replica.catch_up().unwrap();
    assert!(Arc::ptr_eq(&before.0, &replica.app("sx_app_1").unwrap().unwrap()));
    assert_eq!(replica.position(), before.1);
}

#[test]
fn a_reader_that_is_too_far_behind_forgets_everything() {
    let fixture = Fixture::new();
    let replica = fixture.replica();
    assert!(replica.store(store(22)).unwrap().is_some());
    let stranger = fixture.stranger();
    stranger.execute("UPDATE stores SET status = 'suspended'", []).unwrap();
    stranger.execute("INSERT INTO changes (kind, key) VALUES ('store', 1)", []).unwrap();
    stranger.execute("DELETE FROM changes WHERE seq < (SELECT max(seq) FROM changes)", []).unwrap();
    replica.catch_up().unwrap();
    assert_eq!(replica.store(store(22)).unwrap().unwrap().status, StoreStatus::Suspended);
}

#[test]
fn an_in_process_writer_is_in_force_without_a_watch() {
    let fixture = Fixture::new();
    let replica = fixture.replica();
    assert!(accepts(&replica, "sx_app_1", fixture.secret.expose()));
    done(replica.writer(Actor::gateway()).unwrap().rotate_secret(&client("sx_app_1"), None));
    assert!(!accepts(&replica, "sx_app_1", fixture.secret.expose()));
}

#[test]
fn several_gateways_share_a_replica_and_all_confirm() {
    let fixture = Fixture::new();
    let gateways: Vec<_> = (0..3).map(|_| fixture.replica()).collect();
    let watches: Vec<_> = gateways.iter().map(|replica| replica.watch().unwrap()).collect();
    let sockets: Vec<_> = watches.iter().map(Watch::socket).collect();
    for socket in &sockets {
        assert_eq!(std::fs::metadata(socket).unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert!(gateways.iter().all(|replica| accepts(replica, "sx_app_1", fixture.secret.expose())));
    done(fixture.writer().rotate_secret(&client("sx_app_1"), None));
    assert!(!gateways.iter().any(|replica| accepts(replica, "sx_app_1", fixture.secret.expose())));
    drop(watches);
    assert!(!sockets.iter().any(|socket| socket.exists()), "a socket stayed behind");
    done(fixture.writer().rotate_secret(&client("sx_app_1"), None));
}

#[test]
fn long_paths_have_a_socket_too() {
    let fixture = Fixture::new();
    let deep = fixture.folder.path().join("d".repeat(120)).join("e".repeat(120));
    std::fs::create_dir_all(&deep).unwrap();
    let replica = Replica::open(&deep.join("storegate.db"), options()).unwrap();
    let watch = replica.watch().unwrap();
    assert!(watch.socket().exists());
    let mut writer = Writer::open(&deep.join("storegate.db"), None).unwrap();
    assert!(replica.store(store(1)).unwrap().is_none());
    done(writer.add_store(store(1), None, None, None));
    done(writer.set_store_status(store(1), StoreStatus::Suspended));
    assert_eq!(replica.store(store(1)).unwrap().unwrap().status, StoreStatus::Suspended);
}

#[test]
fn sockets_of_the_dead_are_removed_and_never_waited_for() {
    let fixture = Fixture::new();
    let beside = |pid: &str| fixture.folder.path().join(format!("storegate.db.{pid}.sock"));
    let dead = [beside("4194305"), beside(&std::process::id().to_string())];
    for socket in &dead {
        drop(UnixListener::bind(socket).unwrap()); // its file stays, nobody listens
    }
    std::fs::write(beside("note"), "not a gateway's").unwrap();
    done(fixture.writer().set_store_status(store(22), StoreStatus::Suspended));
    let replica = fixture.replica();
    let watch = replica.watch().unwrap();
    assert!(!dead[0].exists() && watch.socket() == dead[1] && beside("note").exists());
}

#[test]
fn a_gateway_that_does_not_confirm_is_named() {
    let fixture = Fixture::new();
    let socket = fixture.folder.path().join("storegate.db.77.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let answers: &[(&str, &str)] =
        &[("unreadable\n", "cannot read"), ("1\n", "is at change 1"), ("", "did not confirm")];
    for (answer, expected) in answers {
        let rotated = std::thread::scope(|threads| {
            threads.spawn(|| {
                let mut stream = listener.accept().unwrap().0;
                std::io::BufReader::new(&stream).read_line(&mut String::new()).unwrap();
                stream.write_all(answer.as_bytes()).unwrap();
            });
            fixture.writer().rotate_secret(&client("sx_app_1"), None).unwrap().acknowledge()
        });
        let error = rotated.1.unwrap_err();
        assert_eq!(error.gateways[0].0, "77");
        assert!(error.to_string().contains(expected), "{error}");
        assert!(accepts(&fixture.replica(), "sx_app_1", rotated.0.expose()), "it is committed");
    }
}

/// It waits only a moment for the line: who is slow finds it gone, before or after the line was written.
#[test]
fn a_gateway_that_did_not_read_is_told_again() {
    let fixture = Fixture::new();
    let listener = UnixListener::bind(fixture.folder.path().join("storegate.db.77.sock")).unwrap();
    std::thread::scope(|threads| {
        threads.spawn(|| {
            (0..20).for_each(|_| drop(listener.accept().unwrap()));
            let mut stream = listener.accept().unwrap().0;
            std::io::BufReader::new(&stream).read_line(&mut String::new()).unwrap();
            stream.write_all(b"1000000\n").unwrap();
        });
        done(fixture.writer().rotate_secret(&client("sx_app_1"), None));
    });
}

#[test]
fn a_silent_gateway_is_waited_for_five_seconds() {
    let fixture = Fixture::new();
    let _listener = UnixListener::bind(fixture.folder.path().join("storegate.db.77.sock")).unwrap();
    let began = Instant::now();
    let (_, enforced) = fixture.writer().rotate_secret(&client("sx_app_1"), None).unwrap().acknowledge();
    let error = enforced.unwrap_err().to_string();
    assert!(error.contains("process 77 did not") && error.contains("committed"), "{error}");
    let waited = began.elapsed();
    assert!((Duration::from_millis(4900)..Duration::from_secs(20)).contains(&waited), "{waited:?}");
}

#[test]
fn nonsense_on_the_socket_harms_nobody() {
    let fixture = Fixture::new();
    let replica = fixture.replica();
    let watch = replica.watch().unwrap();
    let long = "9".repeat(10_000);
    for line in ["", "\n", "x\n", "-1\n", "99999999999999999999\n", "\u{0}\u{0}\n", &long] {
        let mut stream = UnixStream::connect(watch.socket()).unwrap();
        let _ = stream.write_all(line.as_bytes());
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());
    }
    let _idle = UnixStream::connect(watch.socket()).unwrap();
    done(fixture.writer().set_store_status(store(22), StoreStatus::Suspended));
    assert_eq!(replica.store(store(22)).unwrap().unwrap().status, StoreStatus::Suspended);
}

#[test]
fn memory_is_bounded() {
    let fixture = Fixture::new();
    let stranger = fixture.stranger();
    stranger
        .execute_batch(
            "WITH RECURSIVE n(x) AS (SELECT 100 UNION ALL SELECT x + 1 FROM n WHERE x < 3099)
             INSERT INTO stores SELECT x, '', NULL, NULL, 'active', 0 FROM n;",
        )
        .unwrap();
    let replica = Replica::open(
        &fixture.path(),
        Options { cache_entries: NonZeroUsize::new(50).unwrap(), ..options() },
    )
    .unwrap();
    for number in 100..3100 {
        assert!(replica.store(store(number)).unwrap().is_some());
        assert!(replica.app(&format!("unknown_{number}")).unwrap().is_none());
        assert!(replica.store_of_domain(&format!("unknown-{number}.example")).unwrap().is_none());
        assert!(replica.cached().stores <= 50 && replica.cached().domains <= 50);
    }
    assert_eq!((replica.cached().stores, replica.cached().apps), (50, 0));
}
