//! The decision.

mod directory;

pub use directory::{Directory, Unavailable};
