//! What a gateway does by itself: recording the last uses of secrets, and sweeping.

use super::super::housekeeping::{Walk, Walked};
use super::*;
use crate::gate::Directory;

/// Notes a use of the newest generation, as the gate does.
fn use_newest(replica: &Replica, client_id: &str, at: i64) {
    replica.app(client_id).unwrap().unwrap().secrets[0].note_use(Timestamp(at));
}

/// Generation and last use, as `app show` prints them.
fn shown(fixture: &Fixture, client_id: &str) -> Vec<(i64, Option<i64>)> {
    let detail = fixture.writer().app(&client(client_id)).unwrap();
    detail.secrets.iter().map(|secret| (secret.generation, secret.last_used_at)).collect()
}

#[test]
fn the_last_use_of_each_generation_is_recorded() {
    let fixture = Fixture::new();
    let replica = fixture.replica();
    assert_eq!(replica.record_uses().unwrap(), 0, "nothing was loaded");
    replica.app("sx_app_1").unwrap();
    assert_eq!(replica.record_uses().unwrap(), 0, "nothing was used");
    assert_eq!(shown(&fixture, "sx_app_1"), [(1, None)]);

    use_newest(&replica, "sx_app_1", 1_000_019);
    assert_eq!(replica.record_uses().unwrap(), 1);
    assert_eq!(shown(&fixture, "sx_app_1"), [(1, Some(999_960))], "to the minute");
    assert_eq!(replica.record_uses().unwrap(), 0, "only what is new");
    assert_eq!(replica.position(), replica.catch_up().unwrap(), "no decision depends on it");

    // What was noted on a record outlives it: the rotation drops the record before it was recorded.
    use_newest(&replica, "sx_app_1", 2_000_000);
    done(fixture.writer().rotate_secret(&client("sx_app_1"), Some(Duration::from_secs(60))));
    replica.catch_up().unwrap();
    assert_eq!(replica.app("sx_app_1").unwrap().unwrap().secrets.len(), 2);
    replica.record_uses().unwrap();
    assert_eq!(shown(&fixture, "sx_app_1"), [(2, None), (1, Some(1_999_980))]);

    // Another gateway, or this one before a restart, has seen a later use.
    fixture.stranger().execute("UPDATE app_secrets SET last_used_at = 9000000", []).unwrap();
    use_newest(&replica, "sx_app_1", 3_000_000);
    assert_eq!(replica.record_uses().unwrap(), 1);
    assert_eq!(shown(&fixture, "sx_app_1"), [(2, Some(9_000_000)), (1, Some(9_000_000))]);
}

#[test]
fn a_generation_that_is_gone_is_forgotten() {
    let fixture = Fixture::new();
    let replica = fixture.replica();
    let held = replica.app("sx_app_1").unwrap().unwrap();
    held.secrets[0].note_use(Timestamp(600));
    done(fixture.writer().rotate_secret(&client("sx_app_1"), None));
    replica.catch_up().unwrap();
    use_newest(&replica, "sx_app_1", 1200);
    assert_eq!(replica.record_uses().unwrap(), 2);
    assert_eq!(shown(&fixture, "sx_app_1"), [(2, Some(1200))]);
    assert_eq!(replica.uses().len(), 2, "a request still holds the old record");
    held.secrets[0].note_use(Timestamp(1800));
    drop(held);
    assert_eq!(replica.record_uses().unwrap(), 1, "its last word");
    assert_eq!(replica.uses().len(), 1);
}

#[test]
fn the_ledger_is_bounded() {
    let fixture = Fixture::new();
    let mut writer = fixture.writer();
    for number in 2..=80 {
        done(writer.create_app(new_app(&format!("sx_app_{number}"))));
    }
    let replica = fixture.replica();
    for number in 1..=80 {
        use_newest(&replica, &format!("sx_app_{number}"), 600);
    }
    assert_eq!(replica.uses().len(), 50);
    assert_eq!(replica.record_uses().unwrap(), 50);
    replica.forget_everything();
    replica.record_uses().unwrap();
    assert_eq!(replica.uses().len(), 0);
    use_newest(&replica, "sx_app_80", 1200);
    assert_eq!(replica.record_uses().unwrap(), 1, "there is room again");
}

#[test]
fn a_writer_at_work_is_not_waited_for() {
    let fixture = Fixture::new();
    let replica = fixture.replica();
    use_newest(&replica, "sx_app_1", 600);
    let stranger = fixture.stranger();
    stranger.execute_batch("BEGIN IMMEDIATE").unwrap();
    let before = Instant::now();
    assert!(matches!(replica.record_uses(), Err(WriteError::Locked(_))));
    assert!(before.elapsed() < crate::replica::file::WRITER_PATIENCE);
    stranger.execute_batch("COMMIT").unwrap();
    assert_eq!(replica.record_uses().unwrap(), 1, "what was noted stays noted");
}

#[test]
fn a_gateway_that_ends_records_what_it_noted() {
    let fixture = Fixture::new();
    let replica = fixture.replica();
    let watch = replica.watch().unwrap();
    use_newest(&replica, "sx_app_1", 600);
    drop(watch);
    assert_eq!(shown(&fixture, "sx_app_1"), [(1, Some(600))]);
}

#[test]
fn a_replica_that_was_taken_away_is_not_made_anew() {
    let fixture = Fixture::new();
    let replica = fixture.replica();
    use_newest(&replica, "sx_app_1", 600);
    std::fs::remove_file(fixture.path()).unwrap();
    replica.record_uses().unwrap_err();
    assert!(!fixture.path().exists());
    std::fs::write(fixture.path(), "").unwrap();
    replica.record_uses().unwrap_err();
    assert_eq!(std::fs::metadata(fixture.path()).unwrap().len(), 0);
    Walk::default().step(&replica, Timestamp::now()).unwrap_err();
}

#[test]
fn tokens_are_swept_an_hour_after_they_expired() {
    let fixture = Fixture::new();
    let lines: String = (0..3000)
        .map(|n| {
            // Ends at 10000, 10001 and 10002, in turns.
            let end = 10_000 + n % 3;
            format!("{{\"type\":\"access_token\",\"token_hash\":\"{n:064x}\",\"client_id\":\"sx_app_1\",\"store_id\":22,\"expires_at\":{end}}}\n")
        })
        .collect();
    done(fixture.writer().import(lines.as_bytes(), |_| ()));
    let replica = fixture.replica();
    let left = || fixture.stranger().query_row("SELECT count(*) FROM access_tokens", [], |row| row.get(0));
    let mut walk = Walk::default();
    for (now, expected) in [(10_000, 3000), (13_599, 3000), (13_600, 2000), (13_601, 1000), (20_000, 0)] {
        let stranger = fixture.stranger();
        stranger.execute_batch("BEGIN IMMEDIATE").unwrap();
        if expected < 3000 {
            assert!(matches!(walk.step(&replica, Timestamp(now)), Err(WriteError::Locked(_))));
        }
        stranger.execute_batch("ROLLBACK").unwrap();
        while walk.step(&replica, Timestamp(now)).unwrap() == Walked::Part {}
        assert_eq!(left(), Ok(expected), "at {now}");
    }
}

/// However many tokens and grants there are: a step looks at 2,000, and whoever wants to write meanwhile waits
/// for one step at most.
#[test]
fn a_sweep_goes_in_small_steps() {
    const ROWS: u32 = 100_000;
    let fixture = Fixture::new();
    let stranger = fixture.stranger();
    let numbers = format!("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS})");
    let hash = |salt: u32| format!("unhex(printf('%064x', i * 10 + {salt}))");
    // Every second token has expired, and every second grant has no token left.
    let fill = format!(
        "BEGIN;
         {numbers} INSERT INTO access_tokens (token_hash, app_id, store_id, expires_at, created_at)
            SELECT {}, 1, 22, 10000 + (i % 2) * 90000, 0 FROM n;
         {numbers} INSERT INTO app_grants SELECT i, 1, 22, 'merchant:7', 'read:orders', 1, NULL FROM n;
         {numbers} INSERT INTO app_refresh_tokens SELECT {}, i, 90000, NULL, 1 FROM n WHERE i % 2 = 0;
         INSERT INTO oauth_clients (client_id, name, redirect_uris, logout_uris, scopes, status, created_at)
            VALUES ('sx_oc_1', 'One', 'https://a.example', '', 'openid', 'enabled', 1);
         {numbers} INSERT INTO identity_grants (grant_id, code_hash, client_number, kind, number, scopes,
                redirect_uri, auth_time, created_at, code_expires_at)
            SELECT i, {}, 1, 'customer', 42, 'openid', 'https://a.example', 1, 1, 61 FROM n;
         {numbers} INSERT INTO identity_tokens (grant_id, access_hash, refresh_hash, scopes, issued_at,
                access_expires_at, refresh_expires_at)
            SELECT i, {}, {}, 'openid', 1, 3601, 90000 FROM n WHERE i % 2 = 0;
         COMMIT;",
        hash(1),
        hash(2),
        hash(3),
        hash(4),
        hash(5)
    );
    stranger.execute_batch(&fill).unwrap();
    let count = |table: &str| -> u32 {
        stranger.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    };
    let tables = ["access_tokens", "app_grants", "identity_grants"];
    let all = || tables.map(count).iter().sum::<u32>();
    let replica = fixture.replica();
    let (mut walk, mut steps, mut left, mut slow) = (Walk::default(), 0, all(), 0);
    loop {
        let began = Instant::now();
        let walked = walk.step(&replica, Timestamp(20_000)).unwrap();
        slow += u32::from(began.elapsed() >= Duration::from_secs(1));
        let now = all();
        assert!(left - now <= 2000, "one step took {}", left - now);
        (steps, left) = (steps + 1, now);
        if walked == Walked::All {
            break;
        }
    }
    assert_eq!(tables.map(count), [ROWS / 2; 3]);
    assert!((150..=155).contains(&steps), "{steps} steps for three tables of {ROWS}");
    // Unhurried: the machine may be busy, may even stand still for a while, and this is not optimized. A scan of a
    // whole table is slower still.
    assert!(slow <= 3, "{slow} slow steps");
    // The next walk finds the rest when its time has come.
    while walk.step(&replica, Timestamp(200_000)).unwrap() == Walked::Part {}
    assert_eq!(tables.map(count), [0; 3]);
}
