//! `[usage]`: who calls how much, and how long that is known.

use std::time::Duration;

use super::raw;
use super::report::Report;
use super::value;
use crate::usage::Settings;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// What is counted of apps and stores, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// Whether calls are counted at all; they are by default.
    pub enabled: bool,
    /// How long counts are kept, and how many.
    pub settings: Settings,
}

impl Usage {
    pub(super) fn check(raw: &raw::Usage<'_>, report: &Report) -> Self {
        Self {
            enabled: value::flag(report, &raw.enabled, true),
            settings: Settings {
                minutes: value::duration(report, &raw.keep_minutes, DAY, HOUR..=DAY * 7),
                hours: value::duration(report, &raw.keep_hours, DAY * 30, DAY..=DAY * 365),
                days: value::duration(report, &raw.keep_days, DAY * 400, DAY..=DAY * 3650),
                pairs: value::number(report, &raw.pairs, 1000, 10..=100_000),
                top: value::number(report, &raw.top, 50, 0..=1000),
            },
        }
    }
}
