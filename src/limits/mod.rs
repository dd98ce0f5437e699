//! Limits for callers, exact and in bounded tables.
//!
//! Three kinds. Budgets of failed attempts make guessing dear and never touch who succeeds; rates bound
//! what valid requests may cost the upstream; places bound the connections that are open. None decides
//! who a caller is.

mod accounts;
mod bucket;
mod clients;
mod failures;
mod places;
mod quota;
mod rates;
mod registrations;
mod shared;
mod sign_ins;

pub use bucket::{Bucket, Rate};
pub use clients::ClientAccounts;
pub use failures::{FailureBudgets, FailureSettings, ProofFee};
pub use places::{Place, Places};
pub use quota::Quota;
pub use rates::{Caller, Draw, RateLimits, RateSettings, RouteRate};
pub use registrations::RegistrationBudgets;
pub use shared::{SharedUrl, SharedUrlError};
pub use sign_ins::{Attempt, SignInBudgets, SignInSettings};

/// The limits of requests: who fails too often, and who asks too often.
#[derive(Debug)]
pub struct Limits {
    /// For those who fail.
    pub failures: FailureBudgets,
    /// For those who succeed.
    pub rates: RateLimits,
}
