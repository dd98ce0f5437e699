//! A writer in another process, killed at any moment: what it was told is done stays done, what it had
//! half done is not there, and the gateway goes on.
//!
//! `STOREGATE_CRASH_ROUNDS` sets how often each kind of writer is killed (default 3).

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;

use super::*;
use crate::gate::Directory;
use crate::model::{StoreStatus, TokenDigest};

const PATH: &str = "STOREGATE_CRASH_TEST_REPLICA";
const WORK: &str = "STOREGATE_CRASH_TEST_WORK";

/// Tokens of one import: more than a batch, so that it sorts on disk.
const TOKENS: i64 = 1500;

/// The other process: this test, run again with the replica's path in its environment.
#[test]
fn the_writer_that_is_killed() {
    let (Some(path), Ok(work)) = (std::env::var_os(PATH), std::env::var(WORK)) else { return };
    let mut writer = Writer::open(path.as_ref(), None).unwrap();
    for turn in 1.. {
        match &*work {
            "token" => issue_revoke_and_fail(&mut writer),
            "import" => {
                done(writer.import(tokens(turn).as_bytes(), |_| ()));
                println!("imported {turn}");
            }
            "rotation" => {
                let secret = done(writer.rotate_secret(&client("sx_app_1"), None));
                println!("rotated {}", secret.expose());
            }
            other => panic!("no work called {other}"),
        }
    }
}

fn issue_revoke_and_fail(writer: &mut Writer) {
    let token = done(writer.issue_token(&client("sx_app_1"), store(22), Duration::from_secs(600), None));
    let digest = TokenDigest::of(token.access_token.expose().as_bytes());
    println!("issued {}", data_encoding::HEXLOWER.encode(&digest.0));
    assert_eq!(done(writer.revoke_token(&token.access_token)), Revocation::Revoked);
    println!("revoked {}", data_encoding::HEXLOWER.encode(&digest.0));
    let lines: String = (1000..3000).map(|n| format!("{{\"type\":\"store\",\"store_id\":{n}}}\n")).collect();
    let bad = format!("{lines}x");
    refused(writer.import(bad.as_bytes(), |_| ()));
}

/// The same tokens in every turn, all with the turn as their end.
fn tokens(turn: i64) -> String {
    let line = |n: i64| {
        let hash = data_encoding::HEXLOWER.encode(&TokenDigest::of(&n.to_le_bytes()).0);
        format!(
            "{{\"type\":\"access_token\",\"token_hash\":\"{hash}\",\"client_id\":\"sx_app_1\",\"store_id\":22,\"expires_at\":{turn}}}\n"
        )
    };
    (0..TOKENS).map(line).collect()
}

/// Starts the other process; gives the lines that it says.
fn start(fixture: &Fixture, work: &str) -> (Child, impl Iterator<Item = (String, String)> + use<>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "replica::tests::crash::the_writer_that_is_killed", "--nocapture"])
        .env(PATH, fixture.path())
        .env(WORK, work)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let output: ChildStdout = child.stdout.take().unwrap();
    // The harness may put its own words before the first of ours.
    let said = BufReader::new(output).lines().map_while(Result::ok).filter_map(|line| {
        let (what, value) = line.rsplit_once(' ')?;
        let what =
            ["issued", "revoked", "imported", "rotated"].into_iter().find(|word| what.ends_with(word))?;
        Some((what.to_owned(), value.to_owned()))
    });
    (child, said)
}

fn rounds() -> u64 {
    std::env::var("STOREGATE_CRASH_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(3)
}

/// Lets the writer do some of its work, kills it somewhere in the middle of more, and gives the last
/// thing that it said, and how many things those were. The moment is what is tried out here, so that time has to pass.
fn interrupt(fixture: &Fixture, work: &str, round: u64) -> (String, usize) {
    let (mut child, mut said) = start(fixture, work);
    let begun = Instant::now();
    let first = said.next().expect("the other process ended by itself");
    // Up to twice the time of one turn, in steps that repeat after 101 rounds.
    let turn = begun.elapsed().min(Duration::from_millis(500));
    thread::sleep(turn * u32::try_from(round * 37 % 101).unwrap() / 50);
    child.kill().unwrap(); // SIGKILL
    let (count, (_, last)) = said.fold((1, first), |(count, _), next| (count + 1, next));
    child.wait().unwrap();
    let sound: String = fixture.stranger().query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok");
    (last, count)
}

#[test]
fn an_import_that_is_killed_is_there_as_a_whole_or_not_at_all() {
    let fixture = Fixture::new();
    let replica = fixture.replica();
    let _watch = replica.watch().unwrap();
    let mut unsaid = 0;
    for round in 1..=rounds() {
        let said: i64 = interrupt(&fixture, "import", round).0.parse().unwrap();
        let (count, least, most): (i64, i64, i64) = fixture
            .stranger()
            .query_row("SELECT count(*), min(expires_at), max(expires_at) FROM access_tokens", [], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .unwrap();
        assert_eq!((count, least), (TOKENS, most), "a part of an import");
        // It may have died between the commit and its last word.
        assert!((said..=said + 1).contains(&most), "{said} was confirmed, {most} is there");
        unsaid += i64::from(most != said);
        let token = TokenDigest::of(&7i64.to_le_bytes());
        eventually("the gateway follows", || {
            replica.access_token(&token).unwrap().unwrap().expires_at == Timestamp(most)
        });
        // The next writer begins anew: its turns count from 1.
        done(fixture.writer().import(tokens(0).as_bytes(), |_| ()));
    }
    println!("{} imports killed, {unsaid} of them after the commit", rounds());
}

#[test]
fn a_rotation_that_is_killed_leaves_one_secret() {
    let fixture = Fixture::new();
    let replica = fixture.replica();
    let _watch = replica.watch().unwrap();
    let mut unsaid = 0;
    for round in 1..=rounds() {
        let before = newest(&fixture);
        let (said, rotations) = interrupt(&fixture, "rotation", round);
        replica.catch_up().unwrap();
        let found = replica.app("sx_app_1").unwrap().unwrap();
        assert_eq!(found.secrets.len(), 1);
        // The last secret that was handed out works, or one more rotation was committed.
        let more = newest(&fixture) - before - i64::try_from(rotations).unwrap();
        assert!(more == 0 || more == 1, "{more} more than were confirmed");
        assert_eq!(accepts(&replica, "sx_app_1", &said), more == 0);
        unsaid += more;
        let next = done(fixture.writer().rotate_secret(&client("sx_app_1"), None));
        assert!(accepts(&replica, "sx_app_1", next.expose()) && !accepts(&replica, "sx_app_1", &said));
    }
    println!("{} rotations killed, {unsaid} of them after the commit", rounds());
}

/// The generation of the app's only secret.
fn newest(fixture: &Fixture) -> i64 {
    let secrets = fixture.writer().app(&client("sx_app_1")).unwrap().secrets;
    assert_eq!(secrets.len(), 1);
    secrets[0].generation
}

#[test]
fn an_acknowledged_change_survives_the_death_of_its_writer() {
    let fixture = Fixture::new();
    let replica = fixture.replica();
    let _watch = replica.watch().unwrap();
    for lines in [1, 2, 5, 8] {
        let (mut child, said) = start(&fixture, "token");
        let mut heard = 0;
        for (what, hex) in said.take(lines) {
            heard += 1;
            let digest = data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap().try_into().unwrap();
            // In force here before the other process has said so; it may be further by now.
            let found = replica.access_token(&TokenDigest(digest)).unwrap().unwrap();
            assert!(found.revoked || what != "revoked", "a revoked token is accepted");
        }
        assert_eq!(heard, lines, "the other process ended by itself");
        child.kill().unwrap(); // SIGKILL
        child.wait().unwrap();
        let sound: String =
            fixture.stranger().query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(sound, "ok");
        assert_eq!(fixture.writer().stores(Page::ALL).unwrap().len(), 1, "half an import is there");
        done(fixture.writer().set_store_status(store(22), StoreStatus::Suspended));
        assert_eq!(replica.store(store(22)).unwrap().unwrap().status, StoreStatus::Suspended);
        done(fixture.writer().set_store_status(store(22), StoreStatus::Active));
    }
}
