//! What reaches the upstream and what comes back, byte for byte.
#![allow(clippy::unwrap_used)]

mod common;

#[path = "forwarding/bodies.rs"]
mod bodies;
#[path = "forwarding/connections.rs"]
mod connections;
#[path = "forwarding/heads.rs"]
mod heads;
#[path = "forwarding/hops.rs"]
mod hops;
#[path = "forwarding/malformed.rs"]
mod malformed;
#[path = "forwarding/malformed_heads.rs"]
mod malformed_heads;
#[path = "forwarding/smuggling.rs"]
mod smuggling;
#[path = "forwarding/upstreams.rs"]
mod upstreams;
