//! The identity provider at its boundary: requests in, answers out, through its router, with a clock that
//! is the machine's and a replica in a temporary folder.
#![allow(clippy::unwrap_used)]

mod abuse;
mod authorize;
mod clients;
mod external;
mod flow;
mod install;
mod keys;
mod logout;
mod sessions;
mod stage;
mod token;
mod unavailable;
mod userinfo;
