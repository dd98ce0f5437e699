//! `[log]`: where the access log goes.

use std::path::Path;

use super::raw;
use super::report::{Finding, Report};
use crate::telemetry::Destination;

/// What is logged, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// One JSON line a request; standard output by default.
    pub access: Destination,
}

impl Log {
    pub(super) fn check(raw: &raw::Log<'_>, folder: &Path, report: &Report) -> Self {
        report.holds_by_default(raw.access.key, "stdout");
        let access = match raw.access.as_ref().map(|given| (given.span(), *given.get_ref())) {
            None | Some((_, "stdout")) => Destination::Stdout,
            Some((_, "off")) => Destination::Off,
            Some((span, "")) => {
                report.push(
                    Finding::error(span, "this names no place").expected("\"stdout\", \"off\", or a file"),
                );
                Destination::Stdout
            }
            Some((_, path)) => Destination::File(folder.join(path)),
        };
        Self { access }
    }
}
