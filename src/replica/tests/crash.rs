//! A writer in another process, killed at any moment: what it was told is done stays done, what it had
//! half done is not there, and the gateway goes on.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use super::*;
use crate::gate::Directory;
use crate::model::{StoreStatus, TokenDigest};

const PATH: &str = "STOREGATE_CRASH_TEST_REPLICA";

/// The other process: this test, run again with the replica's path in its environment.
#[test]
fn the_writer_that_is_killed() {
    let Some(path) = std::env::var_os(PATH) else { return };
    let mut writer = Writer::open(path.as_ref(), None).unwrap();
    loop {
        let token = done(writer.issue_token(&client("sx_app_1"), store(22), Duration::from_secs(600), None));
        let digest = TokenDigest::of(token.access_token.expose().as_bytes());
        println!("issued {}", data_encoding::HEXLOWER.encode(&digest.0));
        assert_eq!(done(writer.revoke_token(&token.access_token)), Revocation::Revoked);
        println!("revoked {}", data_encoding::HEXLOWER.encode(&digest.0));
        let lines: String =
            (1000..3000).map(|n| format!("{{\"type\":\"store\",\"store_id\":{n}}}\n")).collect();
        let bad = format!("{lines}x");
        refused(writer.import(bad.as_bytes(), |_| ()));
    }
}

#[test]
fn an_acknowledged_change_survives_the_death_of_its_writer() {
    let fixture = Fixture::new();
    let replica = fixture.replica();
    let _watch = replica.watch().unwrap();
    for lines in [1, 2, 5, 8] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "replica::tests::crash::the_writer_that_is_killed", "--nocapture"])
            .env(PATH, fixture.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        // The harness may put its own words before the first of ours.
        let said = output.filter_map(|line| {
            let (what, hex) = line.rsplit_once(' ')?;
            let digest = data_encoding::HEXLOWER.decode(hex.as_bytes()).ok()?.try_into().ok()?;
            Some((what.ends_with("revoked"), TokenDigest(digest)))
        });
        let mut heard = 0;
        for (revoked, digest) in said.take(lines) {
            heard += 1;
            // In force here before the other process has said so; it may be further by now.
            let found = replica.access_token(&digest).unwrap().unwrap();
            assert!(found.revoked || !revoked, "a revoked token is accepted");
        }
        assert_eq!(heard, lines, "the other process ended by itself");
        child.kill().unwrap(); // SIGKILL
        child.wait().unwrap();
        let sound: String =
            fixture.stranger().query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(sound, "ok");
        assert_eq!(fixture.writer().stores().unwrap().len(), 1, "half an import is there");
        done(fixture.writer().set_store_status(store(22), StoreStatus::Suspended));
        assert_eq!(replica.store(store(22)).unwrap().unwrap().status, StoreStatus::Suspended);
        done(fixture.writer().set_store_status(store(22), StoreStatus::Active));
    }
}
