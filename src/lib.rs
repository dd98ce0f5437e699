//! storegate: an authentication gateway for commerce-platform store APIs.
//!
//! A request goes through [`proxy`] (Pingora's phases), is decided by [`gate`] on records that
//! [`replica`] holds, and is refused or forwarded. Imports point one way:
//!
//! | layer | modules | knows |
//! | --- | --- | --- |
//! | outside | [`cli`], [`app`] | everything; decides nothing |
//! | edges | [`proxy`], [`admin`], [`config`], [`telemetry`], [`catalogue`] | Pingora, axum, TOML, Prometheus, the words of the errors |
//! | tokens | [`oauth`], [`idp`] | token endpoints: what may be issued, in the words of each platform; who signs in where |
//! | rules and records | [`gate`]; [`replica`], [`usage`], [`hasher`] | no socket; SQLite and bcrypt, one door each |
//! | bytes | [`wire`] | pure parsers of hostile input |
//! | words | [`model`] | ids, secrets, scopes, records |
//!
//! Invariants: a request is forwarded only with a [`gate::Permit`] (or on a route that needs none),
//! and only `gate` makes one; "cannot tell" is 503, never a refusal of the credential and never a
//! pass; an acknowledged change is enforced.

pub mod admin;
pub mod app;
mod cache;
pub mod catalogue;
pub mod cli;
pub mod config;
pub mod gate;
pub mod hasher;
pub mod idp;
pub mod limits;
pub mod model;
pub mod oauth;
pub mod proxy;
pub mod replica;
pub mod telemetry;
pub mod usage;
pub mod wire;
