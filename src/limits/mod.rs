//! Limits for callers: token buckets, exact, in bounded tables.
//!
//! What it deliberately does not do: decide who a caller is, or delay one whose secret is proved.

mod bucket;
mod failures;
mod places;

pub use bucket::{Bucket, Rate};
pub use failures::{FailureBudgets, FailureSettings, ProofFee};
pub use places::{Place, Places};
