//! Linearizability under fire: no acceptance of the old state begins after its end was acknowledged.
//!
//! One reader of three pauses between reading a row and filling the cache with it, so that a fill that
//! was not tied to the drop by the entry's lock would be caught within a few rounds.
//!
//! `STOREGATE_STRESS_ROUNDS` sets how many changes are made (default 60).

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use super::*;
use crate::gate::Directory;
use crate::model::TokenDigest;

fn rounds() -> usize {
    std::env::var("STOREGATE_STRESS_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(60)
}

/// Readers look tokens up through a cache that is far too small, so that fills race with drops all
/// the time, while another process's writer revokes them one by one.
#[test]
fn no_revoked_token_is_accepted_after_the_acknowledgement() {
    let fixture = Fixture::new();
    let replica =
        Replica::open(&fixture.path(), Options { cache_entries: NonZeroUsize::new(4).unwrap(), ..options() })
            .unwrap();
    let _watch = replica.watch().unwrap();
    let (mut writer, app) = (fixture.writer(), client("sx_app_1"));
    let tokens: Vec<Secret> = (0..rounds())
        .map(|_| done(writer.issue_token(&app, store(22), Duration::from_secs(3600), None)).access_token)
        .collect();
    let digests: Vec<_> = tokens.iter().map(|token| TokenDigest::of(token.expose().as_bytes())).collect();
    let acknowledged = AtomicUsize::new(0);
    let over = AtomicBool::new(false);
    thread::scope(|threads| {
        for reader in 0..3 {
            let (replica, digests, acknowledged, over) = (&replica, &digests, &acknowledged, &over);
            threads.spawn(move || {
                LINGERS.set(reader == 0);
                let mut turn = reader;
                while !over.load(Ordering::Acquire) {
                    // Close to the front, where the change is: now one that has ended, now one that has not.
                    let floor = acknowledged.load(Ordering::SeqCst);
                    let index = (floor.saturating_sub(2) + turn % 5).min(digests.len() - 1);
                    let found = replica.access_token(&digests[index]).unwrap().unwrap();
                    assert!(
                        found.revoked || index >= floor,
                        "token {index} was accepted, {floor} were revoked"
                    );
                    turn += 1;
                }
            });
        }
        for (index, token) in tokens.iter().enumerate() {
            done(writer.revoke_token(token));
            acknowledged.store(index + 1, Ordering::SeqCst);
        }
        over.store(true, Ordering::Release);
    });
}

/// The same with rotation, in process, and nothing but the drop between commit and acknowledgement.
#[test]
fn no_rotated_secret_is_accepted_after_the_acknowledgement() {
    let fixture = Fixture::new();
    let replica = fixture.replica();
    let mut writer = replica.writer().unwrap();
    let app = client("sx_app_1");
    // Generations only grow: what a reader sees must be at least what was acknowledged before.
    let acknowledged = AtomicUsize::new(1);
    let over = AtomicBool::new(false);
    thread::scope(|threads| {
        for reader in 0..3 {
            let (replica, acknowledged, over) = (&replica, &acknowledged, &over);
            threads.spawn(move || {
                LINGERS.set(reader == 0);
                while !over.load(Ordering::Acquire) {
                    let floor = acknowledged.load(Ordering::SeqCst);
                    let found = replica.app("sx_app_1").unwrap().unwrap();
                    let seen = usize::try_from(found.secrets[0].generation).unwrap();
                    assert!(seen >= floor, "generation {seen} was accepted after {floor}");
                    assert_eq!(found.secrets.len(), 1, "one state, not a mixture of two");
                }
            });
        }
        for generation in 2..rounds() + 2 {
            done(writer.rotate_secret(&app, None));
            acknowledged.store(generation, Ordering::SeqCst);
        }
        over.store(true, Ordering::Release);
    });
}
