//! A writer in another process, killed at any moment: the file stays whole, and what was added is there.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use super::*;

const PATH: &str = "STOREGATE_USAGE_CRASH_TEST";

/// The other process: this test, run again with the file's path in its environment.
#[test]
fn the_writer_that_is_killed() {
    let Some(path) = std::env::var_os(PATH) else { return };
    let mut file = File::open(path.as_ref(), 100).unwrap();
    for turn in 1.. {
        file.add(&entries(&[
            (NOON, sample(1, 22, Verdict::Forwarded)),
            (NOON, sample(2, 22, Verdict::Broken)),
        ]))
        .unwrap();
        println!("\nadded {turn}");
    }
}

#[test]
fn a_kill_leaves_the_file_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("usage.db");
    let mut told = 0;
    for round in 0..3 {
        let mut writer = Command::new(std::env::current_exe().unwrap())
            .args(["usage::tests::crash::the_writer_that_is_killed", "--exact", "--nocapture"])
            .env(PATH, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(writer.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut added = lines.filter(|line| line.starts_with("added "));
        told += (0..20 + round * 7).filter(|_| added.next().is_some()).count() as u64;
        writer.kill().unwrap();
        told += added.count() as u64; // what it said before the blow
        writer.wait().unwrap();
        let rows = report(&path, &settings(), &asked(None, 0), NOON).unwrap().rows;
        assert_eq!(rows.len(), 2, "{rows:?}");
        let calls = rows[0].calls;
        assert_eq!(calls, rows[1].calls, "a batch is whole");
        assert!(calls >= told && calls <= told + round + 1, "{calls} are there, {told} were told");
        let conn = File::read(&path).unwrap().unwrap();
        let whole: String = conn.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(whole, "ok");
    }
}
