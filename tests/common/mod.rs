//! What every black-box test starts from: a folder with a configuration and a seeded replica
//! ([`Place`]), a running gateway in front of an upstream that records every byte ([`Gateway`]), and a
//! client that sends exactly the bytes it is given ([`Client`]).
//!
//! Nothing here uses the library: the binary is held to what it promises to the outside.

// Each test file is a crate of its own and uses its part.
#![allow(dead_code, unused_imports)]

mod client;
pub(crate) mod gateway;
pub(crate) mod place;
mod reading;
mod session;
mod slowness;
mod upstream;
pub(crate) mod world;

pub(crate) use client::{Client, Response, ask, request};
pub(crate) use gateway::Gateway;
pub(crate) use place::{Done, Place, Settings, own_ip, wait_until};
pub(crate) use session::{Session, sign};
pub(crate) use upstream::{Exchange, RecordingUpstream};

/// Seconds since 1970.
pub(crate) fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}
