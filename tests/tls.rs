//! TLS on both sides, HTTP/2 and gRPC, over sockets.
#![allow(clippy::unwrap_used)]

mod common;

#[path = "tls/admin.rs"]
mod admin;
#[path = "tls/certificates.rs"]
mod certificates;
#[path = "tls/decisions.rs"]
mod decisions;
#[path = "tls/floods.rs"]
mod floods;
#[path = "tls/frames.rs"]
mod frames;
#[path = "tls/grpc.rs"]
mod grpc;
#[path = "tls/hops.rs"]
mod hops;
#[path = "tls/malformed.rs"]
mod malformed;
#[path = "tls/mutual.rs"]
mod mutual;
#[path = "tls/pki.rs"]
mod pki;
#[path = "tls/received.rs"]
mod received;
#[path = "tls/reload.rs"]
mod reload;
#[path = "tls/secure.rs"]
mod secure;
#[path = "tls/server.rs"]
mod server;
#[path = "tls/slow.rs"]
mod slow;
#[path = "tls/takeover.rs"]
mod takeover;
#[path = "tls/upstreams.rs"]
mod upstreams;
