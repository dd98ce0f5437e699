//! What `storegate check` says of five broken files, to the letter. `tests/check/NAME.toml` is the file,
//! `NAME.txt` the transcript; to take over what is said now, run with STOREGATE_TAKE_TRANSCRIPTS=1 and read
//! the difference.

#![allow(clippy::unwrap_used)] // a test may panic

mod common;

use std::path::PathBuf;

use common::place::{bare, finish};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/check")
}

fn transcript(name: &str) -> String {
    let file = format!("{name}.toml");
    let mut command = bare(&["check", "--config", &file]);
    command.current_dir(folder()).env_remove("STOREGATE_TEST_MISSING");
    command.env("STOREGATE_TEST_PORT", "eighty").env("STOREGATE_TEST_HOST", "hunter2 at home");
    let done = finish(command, "");
    assert_eq!(done.out, "", "{name}");
    format!("$ storegate check --config {file}\n{}exit code {}\n", done.err, done.code)
}

#[test]
fn broken_files_are_explained() {
    for name in ["names", "syntax", "routes", "exposed", "references"] {
        let said = transcript(name);
        assert!(!said.contains("hunter2") && said.ends_with("exit code 2\n"), "{said}");
        let path = folder().join(format!("{name}.txt"));
        if std::env::var_os("STOREGATE_TAKE_TRANSCRIPTS").is_some() {
            std::fs::write(&path, &said).unwrap();
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(said == kept, "{name}: not what tests/check/{name}.txt has:\n{said}");
    }
}
