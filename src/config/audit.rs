//! `[audit]`: how long it is known who changed what.

use std::time::Duration;

use super::raw;
use super::report::Report;
use super::value;

/// How long entries of the audit record are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Audit {
    /// Older entries go; 365 days by default.
    pub keep: Duration,
    /// Of more entries than this the oldest go; 100,000 by default.
    pub entries: usize,
}

const DAY: Duration = Duration::from_secs(86_400);

impl Audit {
    pub(super) fn check(raw: &raw::Audit<'_>, report: &Report) -> Self {
        Self {
            keep: value::duration(report, &raw.keep, DAY * 365, DAY..=DAY * 3650),
            entries: value::number(report, &raw.entries, 100_000, 1000..=10_000_000),
        }
    }
}
