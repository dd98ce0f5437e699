//! `[limits]`: what callers may cost.

use super::raw;
use super::report::Report;
use super::value;
use crate::limits::{FailureSettings, Rate};

/// The budgets of failed attempts.
pub(super) fn check(raw: &raw::Limits, report: &Report) -> FailureSettings {
    let rate = |burst: &raw::Number, default, refill: &raw::Number, refill_default| {
        let burst = value::number(report, burst, default, 0..=10_000_000);
        let per_second = value::number(report, refill, refill_default, 1..=1_000_000);
        let burst = u32::try_from(burst).ok().filter(|&burst| burst > 0)?;
        Some(Rate { burst, per_second: per_second as f64 })
    };
    FailureSettings {
        per_address: rate(&raw.address_failures, 1000, &raw.address_failures_per_second, 20),
        per_client: rate(&raw.client_failures, 100, &raw.client_failures_per_second, 2),
    }
}
