//! `[log]`: where the access log goes and how its lines are written, and which messages are written.

use std::path::Path;

use super::raw;
use super::report::{Finding, Report};
use super::value;
use crate::telemetry::{Destination, Format, Level};

/// What is logged, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// One line a request; standard output by default.
    pub access: Destination,
    /// How that line is written; JSON by default.
    pub format: Format,
    /// From which importance on messages of the process are written; `info` by default.
    pub level: Level,
    /// How many decisions are remembered; 4096 by default.
    pub recent_decisions: usize,
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
        let format = value::word(report, &raw.format, Format::default(), &Format::NAMES);
        let level = value::word(report, &raw.level, Level::default(), &Level::NAMES);
        let recent_decisions = value::number(report, &raw.recent_decisions, 4096, 0..=1_048_576);
        Self { access, format, level, recent_decisions }
    }
}
