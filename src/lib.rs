//! storegate: an authentication gateway for commerce-platform store APIs.

pub mod config;
pub mod gate;
pub mod hasher;
pub mod model;
pub mod proxy;
pub mod wire;
