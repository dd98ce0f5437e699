//! storegate: an authentication gateway for commerce-platform store APIs.

pub mod gate;
pub mod model;
pub mod replica;
