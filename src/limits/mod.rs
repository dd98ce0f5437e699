//! Limits for callers: token buckets, exact, in bounded tables.
//!
//! Two kinds. Budgets of failed attempts make guessing dear and never touch who succeeds; rates bound
//! what valid requests may cost the upstream. Neither decides who a caller is.

mod accounts;
mod bucket;
mod failures;
mod quota;
mod rates;
mod shared;

pub use bucket::{Bucket, Rate};
pub use failures::{FailureBudgets, FailureSettings, ProofFee};
pub use quota::Quota;
pub use rates::{Caller, Draw, RateLimits, RateSettings, RouteRate};
pub use shared::{SharedUrl, SharedUrlError};

/// Every limit of a gateway.
#[derive(Debug)]
pub struct Limits {
    /// For those who fail.
    pub failures: FailureBudgets,
    /// For those who succeed.
    pub rates: RateLimits,
}
