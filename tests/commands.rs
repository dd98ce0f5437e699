//! Every command: its JSON, its exit codes, and that a running gateway decides by the new state when
//! it returns.
#![allow(clippy::unwrap_used)]

mod common;

#[path = "commands/checking.rs"]
mod checking;
#[path = "commands/creating.rs"]
mod creating;
#[path = "commands/enforcing.rs"]
mod enforcing;
#[path = "commands/examining.rs"]
mod examining;
#[path = "commands/failing.rs"]
mod failing;
#[path = "commands/importing.rs"]
mod importing;
#[path = "commands/secrecy.rs"]
mod secrecy;
#[path = "commands/sign_in.rs"]
mod sign_in;
#[path = "commands/telling.rs"]
mod telling;
#[path = "commands/users.rs"]
mod users;

use common::Done;

/// A failed command says one clear thing on standard error and nothing on standard output.
fn failed(what: &str, done: &Done, code: i32) -> String {
    assert_eq!(done.code, code, "{what}: {done:?}");
    assert_eq!(done.out, "", "{what}");
    assert!(done.err.trim().len() > 10, "{what}: {:?}", done.err);
    for noise in ["panicked", "RUST_BACKTRACE", "Error {", "Err(", "Some("] {
        assert!(!done.err.contains(noise), "{what}: {}", done.err);
    }
    done.err.clone()
}
