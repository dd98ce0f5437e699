//! What must hold for whatever a client, a file or a database sends. The fuzz targets and
//! `tests/fuzz_replay.rs` check the same code: `check` of each module takes the bytes of one case and
//! panics where a property is broken.
//!
//! Each property is stated a second time and another way: by a slow reading of the rule, by a round
//! trip, or by another parser. That nothing panics comes for free.

#![allow(clippy::unwrap_used, missing_docs)] // a broken property is a panic
#![allow(unreachable_pub)] // the replay has it as a module

pub mod authorization;
pub mod config;
pub mod credentials;
pub mod field;
pub mod forwarded;
pub mod head;
pub mod host;
pub mod import;
pub mod parameters;
pub mod query;
pub mod routes;
pub mod secret_hash;
pub mod session_token;
pub mod target;
pub mod trace_context;
pub mod words;

/// A target: its name, and what checks one case.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const ALL: [Target; 16] = [
    ("authorization", authorization::check),
    ("config", config::check),
    ("credentials", credentials::check),
    ("field", field::check),
    ("forwarded", forwarded::check),
    ("head", head::check),
    ("host", host::check),
    ("import", import::check),
    ("parameters", parameters::check),
    ("query", query::check),
    ("routes", routes::check),
    ("secret_hash", secret_hash::check),
    ("session_token", session_token::check),
    ("target", target::check),
    ("trace_context", trace_context::check),
    ("words", words::check),
];

/// What another reader sees in JSON that was taken. `None`: JSON by its grammar, with a number that no double holds
/// (RFC 8259 section 6) or half a surrogate pair (section 8.2), in a value of no meaning, which ours skips.
fn json(text: &[u8]) -> Option<serde_json::Value> {
    let odd = |why: &str| why.starts_with("number out of range") || why.contains("hex escape");
    serde_json::from_slice(text).map_err(|error| assert!(odd(&error.to_string()), "{error}")).ok()
}

/// The lines of a case, without their ends.
fn lines(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    data.split(|&byte| byte == b'\n')
}

/// Optional blanks around a field value (RFC 9110 section 5.6.3) removed, in the slow way.
fn without_blanks(value: &[u8]) -> Vec<u8> {
    let is_blank = |byte: &&u8| **byte == b' ' || **byte == b'\t';
    let leading = value.iter().take_while(is_blank).count();
    let trailing = value[leading..].iter().rev().take_while(is_blank).count();
    value[leading..value.len() - trailing].to_vec()
}
