//! The decision, by tables: what the contract promises of every credential, contradiction and route,
//! in the documented order of checks; then the gate against an independent model of it.

#![allow(clippy::unwrap_used)] // a broken fixture is a bug of this file

mod access_token;
mod again;
mod agreement;
mod allocations;
mod client_credentials;
mod contradictions;
mod forwarding;
mod heads;
mod model;
mod order;
mod request;
mod routes;
mod session_token;
mod stage;
mod unavailable;
mod world;
