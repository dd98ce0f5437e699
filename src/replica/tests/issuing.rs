//! What token endpoints record: together, each by itself, and swept when it is over.

use super::super::housekeeping::{Walk, Walked};
use super::*;
use crate::gate::{Directory, Unavailable};
use crate::model::{AppId, TokenDigest};

fn token(number: u64, expires_at: i64) -> NewAccessToken {
    NewAccessToken {
        digest: TokenDigest::of(&number.to_be_bytes()),
        app: AppId(1),
        store: store(22),
        scopes: Some(scopes("read:orders")),
        issued_at: Timestamp(1000),
        expires_at: Timestamp(expires_at),
        secret_generation: Some(1),
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

#[test]
fn many_at_once_are_all_there() {
    let fixture = Fixture::new();
    let replica = fixture.replica();
    let queue = Arc::new(WriteQueue::start(&replica).unwrap());
    let position = replica.position();
    runtime().block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..1000 {
            let (queue, replica) = (Arc::clone(&queue), Arc::clone(&replica));
            tasks.spawn(async move {
                queue.record_access_token(token(number, 9000)).await.unwrap();
                let found = replica.access_token(&TokenDigest::of(&number.to_be_bytes())).unwrap();
                found.expect("it is there from the answer on")
            });
        }
        while let Some(found) = tasks.join_next().await {
            let found = found.unwrap();
            assert_eq!((found.secret_generation, found.expires_at), (Some(1), Timestamp(9000)));
        }
    });
    assert_eq!(replica.catch_up().unwrap(), position, "nobody has to be told of new tokens");
}

#[test]
fn one_that_fails_takes_back_only_itself() {
    let fixture = Fixture::new();
    let replica = fixture.replica();
    let queue = WriteQueue::start(&replica).unwrap();
    let wrong = NewAccessToken { store: store(99), ..token(2, 9000) };
    let (first, second, third) = runtime().block_on(async {
        // Joined, so that they may meet in one transaction.
        tokio::join!(
            queue.record_access_token(token(1, 9000)),
            queue.record_access_token(wrong),
            queue.record_access_token(token(3, 9000)),
        )
    });
    assert_eq!((first, second, third), (Ok(()), Err(Unavailable), Ok(())));
    for (number, there) in [(1u64, true), (2, false), (3, true)] {
        let found = replica.access_token(&TokenDigest::of(&number.to_be_bytes())).unwrap();
        assert_eq!(found.is_some(), there, "{number}");
    }
}

#[test]
fn a_revocation_is_in_force_when_it_is_answered() {
    let fixture = Fixture::new();
    let replica = fixture.replica();
    let queue = WriteQueue::start(&replica).unwrap();
    let digest = TokenDigest::of(&1u64.to_be_bytes());
    let revoked = || replica.access_token(&digest).unwrap().unwrap().revoked;
    runtime().block_on(async {
        queue.record_access_token(token(1, 9000)).await.unwrap();
        assert!(!revoked(), "and now it is cached");
        queue.revoke_access_token(AppId(2), digest, Timestamp(5)).await.unwrap();
        assert!(!revoked(), "another app's");
        queue.revoke_access_token(AppId(1), digest, Timestamp(5)).await.unwrap();
        assert!(revoked());
    });
}

#[test]
fn a_queue_without_a_file_answers() {
    let fixture = Fixture::new();
    let replica = fixture.replica();
    let queue = WriteQueue::start(&replica).unwrap();
    let stranger = fixture.stranger();
    stranger.execute_batch("DROP TABLE access_tokens").unwrap();
    let recorded = runtime().block_on(queue.record_access_token(token(1, 9000)));
    assert_eq!(recorded, Err(Unavailable));
}

#[test]
fn what_is_over_is_swept() {
    let fixture = Fixture::new();
    let replica = fixture.replica();
    let stranger = fixture.stranger();
    stranger
        .execute_batch(
            "INSERT INTO app_grants VALUES (1, 1, 22, 'merchant:7', '', 10, NULL), (2, 1, 22, 'merchant:7', '', 10, 20),
                (3, 1, 22, 'merchant:7', '', 10, NULL);
             INSERT INTO app_codes VALUES (zeroblob(32), 1, 22, 'merchant:7', '', 'x', 100, 1),
                (randomblob(32), 1, 22, 'merchant:7', '', 'x', 900000, NULL);
             INSERT INTO app_refresh_tokens VALUES (zeroblob(32), 1, 100, 50, 10),
                (randomblob(32), 1, 900000, NULL, 10), (randomblob(32), 2, 100, NULL, 10);
             INSERT INTO access_tokens VALUES (zeroblob(32), 1, 22, '', 900000, NULL, 0, NULL, 'merchant:7', 3);
             INSERT INTO customer_tokens VALUES (zeroblob(32), 42, 22, 100, NULL, 0),
                (randomblob(32), 42, 22, 900000, NULL, 0);",
        )
        .unwrap();
    let counts = || {
        ["app_grants", "app_codes", "app_refresh_tokens", "customer_tokens"].map(|table| {
            let sql = format!("SELECT count(*) FROM {table}");
            stranger.query_row(&sql, [], |row| row.get::<_, i64>(0)).unwrap()
        })
    };
    let mut walk = Walk::default();
    for (now, expected) in [(3_699, [3, 2, 3, 2]), (3_700, [2, 1, 1, 1]), (910_000, [0, 0, 0, 0])] {
        while walk.step(&replica, Timestamp(now)).unwrap() == Walked::Part {}
        assert_eq!(counts(), expected, "at {now}");
    }
}

#[test]
fn another_file_in_its_place_is_the_one_that_is_written() {
    let fixture = Fixture::new();
    let replica = fixture.replica();
    let queue = WriteQueue::start(&replica).unwrap();
    runtime().block_on(queue.record_access_token(token(1, 9000))).unwrap();
    let copy = fixture.folder.path().join("copy.db");
    fixture.stranger().execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
    for ending in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{ending}", fixture.path().display()));
    }
    std::fs::rename(&copy, fixture.path()).unwrap();
    runtime().block_on(queue.record_access_token(token(2, 9000))).unwrap();
    let count = |path: &std::path::Path| {
        let conn = rusqlite::Connection::open(path).unwrap();
        conn.query_row("SELECT count(*) FROM access_tokens", [], |row| row.get::<_, i64>(0)).unwrap()
    };
    assert_eq!(count(&fixture.path()), 2);
}

#[test]
fn a_panic_is_one_failure_and_no_more() {
    let fixture = Fixture::new();
    let queue = WriteQueue::start(&fixture.replica()).unwrap();
    runtime().block_on(async {
        let panicked = queue.change::<()>(|_| panic!("on purpose")).await;
        assert_eq!(panicked, Err(Unavailable));
        assert_eq!(queue.record_access_token(token(1, 9000)).await, Ok(()));
    });
}
