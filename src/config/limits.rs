//! `[limits]` and `rate` of a route: what callers may cost.

use super::raw;
use super::report::{Finding, Report};
use super::value;
use crate::limits::{FailureSettings, Rate, RouteRate, SharedUrl};

/// Tokens of a bucket at most.
const MOST: usize = 10_000_000;
/// Tokens that come back per second at most.
const FASTEST: usize = 1_000_000;

/// The limits of callers; those of single routes stand with the routes.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// The budgets of failed attempts.
    pub failures: FailureSettings,
    /// Requests of one app in one store; no limit by default.
    pub requests: Option<Rate>,
    /// Where the nodes of a fleet count requests together; each for itself by default.
    pub shared: Option<SharedUrl>,
}

impl Limits {
    pub(super) fn check(raw: &raw::Limits<'_>, report: &Report) -> Self {
        let budget = |burst: &raw::Number, default, refill: &raw::Number, refill_default| {
            let burst = value::number(report, burst, default, 0..=MOST);
            let per_second = value::number(report, refill, refill_default, 1..=FASTEST);
            let burst = u32::try_from(burst).ok().filter(|&burst| burst > 0)?;
            Some(Rate { burst, per_second: per_second as f64 })
        };
        let requests = rate(&raw.requests_per_second, &raw.burst, report);
        if let (None, Some(burst)) = (requests, raw.burst.as_ref().filter(|burst| *burst.get_ref() > 0)) {
            let finding = Finding::warning(burst.span(), "without `requests_per_second` nothing is limited");
            report.push(finding.help("set `limits.requests_per_second`".to_owned()));
        }
        Self {
            failures: FailureSettings {
                per_address: budget(&raw.address_failures, 1000, &raw.address_failures_per_second, 20),
                per_client: budget(&raw.client_failures, 100, &raw.client_failures_per_second, 2),
            },
            requests,
            shared: shared(&raw.shared, report),
        }
    }
}

/// What a route says of limits; `name` tells it from others.
pub(super) fn route(raw: Option<&raw::Rate>, name: impl FnOnce() -> Box<str>, report: &Report) -> RouteRate {
    let Some(raw) = raw else { return RouteRate::Everywhere };
    match rate(&raw.per_second, &raw.burst, report) {
        Some(rate) => RouteRate::Own { rate, name: name() },
        None => RouteRate::Unlimited,
    }
}

/// A rate with its burst, which is two seconds' worth by default; `None`: no limit.
fn rate(per_second: &raw::Number, burst: &raw::Number, report: &Report) -> Option<Rate> {
    let per_second = u32::try_from(value::number(report, per_second, 0, 0..=FASTEST)).ok()?;
    let burst = u32::try_from(value::number(report, burst, 0, 0..=MOST)).ok()?;
    let burst = if burst == 0 { per_second.saturating_mul(2) } else { burst };
    (per_second > 0).then_some(Rate { burst, per_second: f64::from(per_second) })
}

fn shared(given: &raw::Text<'_>, report: &Report) -> Option<SharedUrl> {
    let given = given.as_ref()?;
    match SharedUrl::parse(given.get_ref()) {
        Ok(url) => Some(url),
        Err(error) => {
            let finding = Finding::error(given.span(), error.to_string());
            report.push(
                finding.expected("a URL such as redis://127.0.0.1:6379, with or without user and password"),
            );
            None
        }
    }
}
